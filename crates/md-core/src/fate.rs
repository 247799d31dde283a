use crate::SystemError;
use std::fmt;

/// The outcome of one system in a run.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Fate {
    /// The system completed every step.
    Finished,
    /// The system diverged and was removed from the batch.
    Diverged {
        /// The step after which the divergence was detected.
        step: u64,
        /// The kind of divergence.
        reason: Divergence,
    },
}

/// Why a system was removed from the batch. Atoms are counted from 0 within the system.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Divergence {
    /// The energy is NaN or infinite.
    NonFiniteEnergy,
    /// The force on an atom is NaN or infinite.
    NonFiniteForce {
        /// The atom.
        atom: usize,
    },
    /// The position or velocity of an atom is NaN or infinite.
    NonFinitePosition {
        /// The atom.
        atom: usize,
    },
    /// A bonded pair exceeded its longest distance.
    BondStretched {
        /// One atom.
        i: usize,
        /// The other atom.
        j: usize,
        /// Their distance, Å.
        distance_angstrom: f64,
        /// The longest distance allowed, Å.
        limit_angstrom: f64,
    },
    /// The kinetic temperature exceeded its limit.
    TooHot {
        /// Its temperature, K.
        temperature_k: f64,
        /// The highest temperature allowed, K.
        limit_k: f64,
    },
    /// The atoms no longer form a valid [`System`](crate::System): two of them coincide, for example.
    InvalidGeometry {
        /// Why the geometry is invalid.
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
