use crate::units::EV_PER_ANGSTROM_AMU_IN_ANGSTROM_PER_FS2;
use crate::{
    Batch, Configuration, Evaluation, Potential, PotentialError, Request, StepError, System, Vec3, mechanics,
};

/// Everything that changes while a batch of systems moves, forces included; a run restarts exactly from a copy.
///
/// Invariant: `evaluation` belongs to `positions` except between [`State::drift`] and [`State::evaluate`], the
/// operations from which integrators are built.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct State {
    batch: Batch,
    positions: Vec<Vec3>,
    velocities: Vec<Vec3>,
    evaluation: Evaluation,
    degrees_of_freedom: Vec<usize>,
    step: u64,
    time_fs: f64,
}

impl State {
    /// Creates systems at rest, with the forces of `potential` at their positions.
    ///
    /// Each system has 3 N degrees of freedom until [`State::set_velocities`] changes it.
    ///
    /// # Errors
    /// See [`Potential::evaluate`].
    pub fn at_rest(systems: &[System], potential: &mut dyn Potential) -> Result<Self, StepError> {
        let batch = Batch::new(systems);
        let mut state = State {
            positions: Batch::gather_positions(systems),
            velocities: vec![Vec3::zeros(); batch.n_atoms()],
            evaluation: Evaluation::default(),
            degrees_of_freedom: batch.ranges().map(|r| 3 * r.len()).collect(),
            step: 0,
            time_fs: 0.0,
            batch,
        };
        state.evaluate(potential)?;
        Ok(state)
    }

    /// Sets all velocities (Å/fs) and the number of degrees of freedom of each system (3 N minus those held at zero: 3
    /// for the momentum of the centre of mass, 3 or 2 for rotation).
    ///
    /// # Errors
    /// [`StepError::Length`] when an array does not fit the batch.
    pub fn set_velocities(
        &mut self,
        velocities: Vec<Vec3>,
        degrees_of_freedom: Vec<usize>,
    ) -> Result<(), StepError> {
        check_length("velocities", self.batch.n_atoms(), velocities.len())?;
        check_length("degrees of freedom", self.batch.n_systems(), degrees_of_freedom.len())?;
        self.velocities = velocities;
        self.degrees_of_freedom = degrees_of_freedom;
        Ok(())
    }

    /// Updates the velocities: `v += dt F / m`. `dt_fs` in fs.
    pub fn kick(&mut self, dt_fs: f64) {
        let scale = dt_fs * EV_PER_ANGSTROM_AMU_IN_ANGSTROM_PER_FS2;
        let masses = self.batch.masses_amu();
        for ((v, f), m) in self.velocities.iter_mut().zip(&self.evaluation.forces).zip(masses) {
            *v += f * (scale / m);
        }
    }

    /// Updates the positions: `x += dt v`. The forces are stale until [`State::evaluate`].
    pub fn drift(&mut self, dt_fs: f64) {
        for (x, v) in self.positions.iter_mut().zip(&self.velocities) {
            *x += v * dt_fs;
        }
    }

    /// Computes energies and forces at the present positions.
    ///
    /// # Errors
    /// See [`Potential::evaluate`].
    pub fn evaluate(&mut self, potential: &mut dyn Potential) -> Result<(), PotentialError> {
        let configuration = Configuration { batch: &self.batch, positions: &self.positions };
        potential.evaluate(configuration, Request::FORCES, &mut self.evaluation)
    }

    /// Adds one step and `dt_fs` to the counters.
    pub fn advance(&mut self, dt_fs: f64) {
        self.step += 1;
        self.time_fs = self.step as f64 * dt_fs;
    }

    /// Replaces the contents by the result of `steps` steps of [`Potential::velocity_verlet`].
    ///
    /// # Errors
    /// [`StepError::Length`] when an array does not fit the batch.
    pub fn advance_to(
        &mut self,
        steps: u64,
        dt_fs: f64,
        positions: Vec<Vec3>,
        velocities: Vec<Vec3>,
        evaluation: Evaluation,
    ) -> Result<(), StepError> {
        let atoms = self.batch.n_atoms();
        check_length("positions", atoms, positions.len())?;
        check_length("velocities", atoms, velocities.len())?;
        check_length("forces", atoms, evaluation.forces.len())?;
        check_length("energies", self.batch.n_systems(), evaluation.energies.len())?;
        self.positions = positions;
        self.velocities = velocities;
        self.evaluation = evaluation;
        self.step += steps;
        self.time_fs = self.step as f64 * dt_fs;
        Ok(())
    }

    /// Sets step and time to 0, for example after a preparation run.
    pub fn reset_clock(&mut self) {
        self.step = 0;
        self.time_fs = 0.0;
    }

    /// Keeps only the systems `keep`, in that order, bit for bit unchanged.
    pub fn retain_systems(&mut self, keep: &[usize]) {
        self.positions = self.batch.select_atoms(keep, &self.positions);
        self.velocities = self.batch.select_atoms(keep, &self.velocities);
        self.evaluation = self.evaluation.select(&self.batch, keep);
        self.degrees_of_freedom = keep.iter().map(|&s| self.degrees_of_freedom[s]).collect();
        self.batch = self.batch.select(keep);
    }

    /// The systems.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Position of each atom, Å.
    pub fn positions(&self) -> &[Vec3] {
        &self.positions
    }

    /// Positions for modification in place, Å; call [`State::evaluate`] afterwards.
    pub fn positions_mut(&mut self) -> &mut [Vec3] {
        &mut self.positions
    }

    /// Velocity of each atom, Å/fs.
    pub fn velocities(&self) -> &[Vec3] {
        &self.velocities
    }

    /// Velocities for modification in place, Å/fs.
    pub fn velocities_mut(&mut self) -> &mut [Vec3] {
        &mut self.velocities
    }

    /// Energies (eV) and forces (eV/Å) at the present positions.
    pub fn evaluation(&self) -> &Evaluation {
        &self.evaluation
    }

    /// Degrees of freedom of each system.
    pub fn degrees_of_freedom(&self) -> &[usize] {
        &self.degrees_of_freedom
    }

    /// Number of steps made.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Simulated time, fs.
    pub fn time_fs(&self) -> f64 {
        self.time_fs
    }

    /// Potential energy of system `s`, eV.
    pub fn potential_energy_ev(&self, s: usize) -> f64 {
        self.evaluation.energies[s]
    }

    /// Kinetic energy of system `s`, eV.
    pub fn kinetic_energy_ev(&self, s: usize) -> f64 {
        let atoms = self.batch.range(s);
        mechanics::kinetic_energy_ev(&self.batch.masses_amu()[atoms.clone()], &self.velocities[atoms])
    }

    /// Kinetic temperature of system `s`, K.
    pub fn temperature_k(&self, s: usize) -> f64 {
        mechanics::temperature_k(self.kinetic_energy_ev(s), self.degrees_of_freedom[s])
    }
}

fn check_length(what: &'static str, expected: usize, found: usize) -> Result<(), StepError> {
    if expected == found { Ok(()) } else { Err(StepError::Length { what, expected, found }) }
}
