//! Fixtures shared by the tests of this crate.

use md_core::{
    Batch, Configuration, Element, Evaluation, Potential, PotentialError, Request, State, System, Vec3,
};

/// `½ k |x|²` for every atom; NaN for an atom further than `edge_angstrom` from the origin, and so for the energy of
/// its system. It panics on a position that is not finite, which no caller of a potential may pass.
pub struct Well {
    pub k_ev_per_angstrom2: f64,
    pub edge_angstrom: f64,
}

impl Well {
    pub fn bottomless() -> Self {
        Well { k_ev_per_angstrom2: 1.0, edge_angstrom: f64::INFINITY }
    }
}

impl Potential for Well {
    fn name(&self) -> &str {
        "well"
    }

    fn check(&self, _batch: &Batch, _request: Request) -> Result<(), PotentialError> {
        Ok(())
    }

    fn evaluate(
        &mut self,
        c: Configuration<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<(), PotentialError> {
        out.reset(c.batch, request);
        for (s, atoms) in c.batch.ranges().enumerate() {
            for a in atoms {
                let x = c.positions[a];
                assert!(x.iter().all(|c| c.is_finite()), "atom {a} of the batch is at {x}");
                // On x86 the result of 0/0 has a sign.
                let k = if x.norm() > self.edge_angstrom { -f64::NAN } else { self.k_ev_per_angstrom2 };
                out.energies[s] += 0.5 * k * x.norm_squared();
                out.forces[a] = -x * k;
            }
        }
        Ok(())
    }
}

pub fn system(symbols: &[&str], positions: &[[f64; 3]]) -> System {
    let elements: Vec<Element> = symbols.iter().map(|s| s.parse().unwrap()).collect();
    System::new(elements, positions.iter().map(|&[x, y, z]| Vec3::new(x, y, z)).collect()).unwrap()
}

pub fn water() -> System {
    system(&["O", "H", "H"], &[[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
}

pub fn carbon_dioxide() -> System {
    system(&["O", "C", "O"], &[[-0.7, -0.7, 0.6], [0.0, 0.0, 0.0], [0.7, 0.7, -0.6]])
}

pub fn argon_atom(x: f64) -> System {
    system(&["Ar"], &[[x, 0.0, 0.0]])
}

/// Creates systems at rest in [`Well::bottomless`].
pub fn at_rest(systems: &[System]) -> State {
    State::at_rest(systems, &mut Well::bottomless()).unwrap()
}
