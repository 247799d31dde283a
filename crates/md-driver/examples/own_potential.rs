//! Runs a campaign in memory with a potential, an integrator and a progress display of this program, and a stop flag.
//!
//! `cargo run -p md-driver --example own_potential` judges a Morse potential of copper, and one with an artificial
//! kink. The labelled frames in `own_potential/` were computed independently with ASE 3.29.0,
//! `MorsePotential(epsilon=0.3429, r0=2.866, rho0=1.3588 * 2.866)`, every 200 fs of a Langevin run at 400 K.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use md_core::{
    Batch, Configuration, Evaluation, Potential, PotentialError, Request, State, StepError,
    require_open_boundaries,
};
use md_driver::campaign::Campaign;
use md_driver::config::{Config, Integrator, MoleculeConfig, RunConfig};
use md_driver::progress::{Progress, Quiet, Ticker};
use md_results::{Results, Status, Verdict};

fn main() -> Result<(), Box<dyn Error>> {
    for (morse, expected) in [(Morse::SOUND, Verdict::Approved), (Morse::KINKED, Verdict::Rejected)] {
        let results = campaign(morse)?;
        let model = &results.models[0];
        let verdict = model.verdict.ok_or("no verdict")?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{} {}: {}", model.name, verdict.label(), model.summary)?;
        for check in model.checks.iter().filter(|check| check.status != Status::Pass) {
            writeln!(out, "  {} {} ({}): {}", check.status.label(), check.id, check.molecule, check.reason)?;
        }
        if verdict != expected {
            return Err(format!("expected {}", expected.label()).into());
        }
    }
    Ok(())
}

/// Defines and runs the campaign: a molecule, runs, a potential, an integrator.
fn campaign(morse: Morse) -> Result<Results, Box<dyn Error>> {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/own_potential");
    let mut config = Config::new("copper", 1);
    let copper = MoleculeConfig::new("Cu4", files.join("copper.xyz"));
    config.molecules.push(MoleculeConfig { references: vec![files.join("reference.xyz")], ..copper });
    let integrator = Integrator::own("leapfrog", |timestep_fs| Ok(Box::new(Leapfrog { timestep_fs })));
    config.runs.push(RunConfig { integrator, ..RunConfig::nve(2.0, 10.0, &[100.0, 300.0], 2) });
    let stop = Arc::new(AtomicBool::new(false)); // set it from a signal handler, say
    let campaign =
        Campaign::builder().config(config).model("morse", morse).progress(&Lines).stop(stop).open()?;
    Ok(campaign.run()?) // results with the verdicts; nothing is written
}

/// `E = Σ D (1 - exp(-a (r - r₀)))² - D + k |r - r_k|` over all pairs.
#[derive(Clone, Copy)]
struct Morse {
    depth_ev: f64,
    a_per_angstrom: f64,
    r0_angstrom: f64,
    kink_ev_per_angstrom: f64,
}

impl Morse {
    /// Parameters of copper, close to those of L. A. Girifalco and V. G. Weizer, Phys. Rev. 114, 687 (1959).
    const SOUND: Morse =
        Morse { depth_ev: 0.34, a_per_angstrom: 1.37, r0_angstrom: 2.866, kink_ev_per_angstrom: 0.0 };
    /// The same potential with a force that jumps at a distance of 3.2 Å.
    const KINKED: Morse = Morse { kink_ev_per_angstrom: 0.01, ..Morse::SOUND };

    /// Returns the energy of a pair and its derivative.
    fn pair(&self, r: f64) -> (f64, f64) {
        const KINK_ANGSTROM: f64 = 3.2;
        let e = (-self.a_per_angstrom * (r - self.r0_angstrom)).exp();
        let inside = (KINK_ANGSTROM - r).max(0.0);
        let slope = if inside > 0.0 { -self.kink_ev_per_angstrom } else { 0.0 };
        (
            self.depth_ev * e * (e - 2.0) + self.kink_ev_per_angstrom * inside,
            2.0 * self.depth_ev * self.a_per_angstrom * e * (1.0 - e) + slope,
        )
    }
}

impl Potential for Morse {
    fn name(&self) -> &str {
        "Morse"
    }

    fn check(&self, batch: &Batch, request: Request) -> Result<(), PotentialError> {
        require_open_boundaries(self.name(), batch, request)
    }

    fn evaluate(
        &mut self,
        c: Configuration<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<(), PotentialError> {
        self.check(c.batch, request)?;
        c.check_length()?;
        out.reset(c.batch, request);
        for (s, atoms) in c.batch.ranges().enumerate() {
            for i in atoms.clone() {
                for j in i + 1..atoms.end {
                    let d = c.positions[j] - c.positions[i];
                    let (energy, slope) = self.pair(d.norm());
                    out.energies[s] += energy;
                    if request.forces {
                        let force = d * (slope / d.norm());
                        out.forces[i] += force;
                        out.forces[j] -= force;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Velocity Verlet with half a drift at both ends: the position form of leapfrog. Its only state is its time step.
struct Leapfrog {
    timestep_fs: f64,
}

impl md_core::Integrator for Leapfrog {
    fn name(&self) -> &str {
        "leapfrog"
    }

    fn timestep_fs(&self) -> f64 {
        self.timestep_fs
    }

    fn step(&mut self, state: &mut State, potential: &mut dyn Potential) -> Result<(), StepError> {
        state.drift(0.5 * self.timestep_fs);
        state.evaluate(potential)?;
        state.kick(self.timestep_fs);
        state.drift(0.5 * self.timestep_fs);
        state.evaluate(potential)?;
        state.advance(self.timestep_fs);
        Ok(())
    }

    fn conserved_ev(&self, state: &State) -> Vec<f64> {
        let total = |s| state.potential_energy_ev(s) + state.kinetic_energy_ev(s);
        (0..state.batch().n_systems()).map(total).collect()
    }

    fn retain_systems(&mut self, _keep: &[usize]) {}
}

/// Prints a line at the start of each stage.
struct Lines;

impl Progress for Lines {
    fn stage(&self, name: &str, length: u64) -> Box<dyn Ticker> {
        self.say(&format!("{name} ({length})"));
        Box::new(Quiet)
    }

    fn steps(&self, name: &str, steps: u64) -> Box<dyn Ticker> {
        self.say(&format!("{name} ({steps} steps)"));
        Box::new(Quiet)
    }

    fn say(&self, line: &str) {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

#[test]
fn main_approves_sound_and_rejects_kinked_potential() -> Result<(), Box<dyn Error>> {
    main()
}
