//! Closed-form potentials with exact forces.
//!
//! Energies in eV, lengths in Å, angles in rad. All of them treat the systems of a batch independently with open
//! boundaries, reject periodic cells and stress, and compute in f64. If two atoms coincide, energies and forces may be
//! infinite or NaN; nothing panics.
//!
//! | potential | energy | depends on the order of atoms | invariant under translation and rotation |
//! |---|---|---|---|
//! | [`LennardJones`] | all pairs | no | yes |
//! | [`Morse`] | all pairs, or a list | only with a list | yes |
//! | [`HarmonicBonds`], [`HarmonicAngles`] | a list | yes | yes |
//! | [`Control`] | bonds, angles and torsions of known molecules | yes | yes |
//! | [`Breakable`] | the same with bonds that break and atoms that repel each other | yes | yes |
//! | [`HarmonicWell`] | each atom in its own well | yes | no |

mod bonded;
mod breakable;
mod control;
mod pair;
mod well;

pub use bonded::{HarmonicAngle, HarmonicAngles, HarmonicBond, HarmonicBonds};
pub use breakable::Breakable;
pub use control::{Control, ControlError};
pub use pair::{LennardJones, Morse, Pairs};
pub use well::HarmonicWell;

use md_core::{
    Batch, Configuration, Element, Evaluation, PotentialError, Request, Vec3, require_open_boundaries,
};

/// `Potential::check` for a potential that checks each system by its elements.
fn check_each(
    name: &str,
    batch: &Batch,
    request: Request,
    fits: impl Fn(&[Element]) -> Result<(), String>,
) -> Result<(), PotentialError> {
    require_open_boundaries(name, batch, request)?;
    for (system, atoms) in batch.ranges().enumerate() {
        fits(&batch.elements()[atoms]).map_err(|reason| PotentialError::UnknownSystem {
            potential: name.to_owned(),
            system,
            reason,
        })?;
    }
    Ok(())
}

/// `Potential::evaluate` from a function that adds the forces of one system and returns its energy.
fn evaluate_each(
    c: Configuration<'_>,
    request: Request,
    out: &mut Evaluation,
    mut energy: impl FnMut(&[Element], &[Vec3], &mut [Vec3]) -> f64,
) -> Result<(), PotentialError> {
    c.check_length()?;
    out.reset(c.batch, Request::FORCES);
    for (s, atoms) in c.batch.ranges().enumerate() {
        out.energies[s] = energy(
            &c.batch.elements()[atoms.clone()],
            &c.positions[atoms.clone()],
            &mut out.forces[atoms.clone()],
        );
    }
    if !request.forces {
        out.forces.clear();
    }
    Ok(())
}

/// Checks that a list of interactions names only atoms that the system has.
fn require_atoms(named: impl IntoIterator<Item = usize>, elements: &[Element]) -> Result<(), String> {
    match named.into_iter().max() {
        Some(last) if last >= elements.len() => {
            Err(format!("it has {} atoms, but an interaction names atom {last}", elements.len()))
        }
        _ => Ok(()),
    }
}
