use crate::SystemError;
use std::fmt;

/// What became of one system in a run.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Fate {
    /// It did every step.
    Finished,
    /// It left the batch.
    Diverged {
        /// The step after which it was found out.
        step: u64,
        /// What was found.
        reason: Divergence,
    },
}

/// Why a system left the batch. Atoms are counted from 0 within the system.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Divergence {
    /// Its energy is NaN or infinite.
    NonFiniteEnergy,
    /// The force on this atom is NaN or infinite.
    NonFiniteForce {
        /// The atom.
        atom: usize,
    },
    /// This atom's position or velocity is NaN or infinite.
    NonFinitePosition {
        /// The atom.
        atom: usize,
    },
    /// A bonded pair came further apart than allowed.
    BondStretched {
        /// One atom.
        i: usize,
        /// The other atom.
        j: usize,
        /// Their distance, Å.
        distance_angstrom: f64,
        /// What was allowed, Å.
        limit_angstrom: f64,
    },
    /// The kinetic temperature ran away.
    TooHot {
        /// Its temperature, K.
        temperature_k: f64,
        /// What was allowed, K.
        limit_k: f64,
    },
    /// Its atoms no longer form a [`System`](crate::System): two of them coincide, say.
    InvalidGeometry {
        /// What is wrong with it.
        error: SystemError,
    },
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Divergence::NonFiniteEnergy => write!(f, "the energy is not finite"),
            Divergence::NonFiniteForce { atom } => write!(f, "the force on atom {atom} is not finite"),
            Divergence::NonFinitePosition { atom } => {
                write!(f, "the position or velocity of atom {atom} is not finite")
            }
            Divergence::BondStretched { i, j, distance_angstrom, limit_angstrom } => write!(
                f,
                "the bond {i}-{j} stretched to {distance_angstrom:.3} Å (limit {limit_angstrom:.3} Å)"
            ),
            Divergence::TooHot { temperature_k, limit_k } => {
                write!(f, "the temperature rose to {temperature_k:.0} K (limit {limit_k:.0} K)")
            }
            Divergence::InvalidGeometry { error } => write!(f, "the geometry became invalid: {error}"),
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Finished => write!(f, "finished"),
            Fate::Diverged { step, reason } => write!(f, "diverged at step {step}: {reason}"),
        }
    }
}
