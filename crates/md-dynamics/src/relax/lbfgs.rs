//! Limited-memory BFGS with a line search by slopes.

use std::collections::VecDeque;
use std::ops::Range;

use md_core::{State, Vec3};

/// Largest displacement of any atom in one step, Å.
const MAX_STEP_ANGSTROM: f64 = 0.2;

/// Stiffness that is assumed along the first direction, eV/Å²: more than that of most bonds, so that the first step is short.
const STIFFNESS_EV_PER_ANGSTROM2: f64 = 70.0;

/// Number of steps whose forces are remembered.
const MEMORY: usize = 40;

/// A step ends uphill if the slope there is more than this fraction of that at its start (the curvature condition of
/// Wolfe). It is shortened then, so many times at most.
const UPHILL: f64 = 0.9;
const SHORTENINGS: u32 = 8;

/// State of the minimisation of one system.
///
/// Every step goes along `-H g` with the estimate H of the inverse Hessian. If the force at its end points back by nearly as
/// much as it pulled at its start, a minimum along the line was overshot: the step is shortened to where the slope is zero by
/// linear interpolation. Only forces decide, so that neither rounding of the energy nor a force that is not its gradient
/// stops a descent.
///
/// Source: J. Nocedal, Math. Comput. 35, 773 (1980).
#[derive(Debug, Clone, Default)]
pub(super) struct Lbfgs {
    /// What earlier steps told about the curvature, oldest first.
    pairs: VecDeque<Pair>,
    line: Option<Line>,
    /// Factor of the first step's length, which doubles as long as no curvature is known.
    growth: f64,
}

/// A step and the change of the gradient along it.
#[derive(Debug, Clone)]
struct Pair {
    step: Vec<Vec3>,
    change: Vec<Vec3>,
    /// Product of the two, eV.
    product: f64,
}

/// The line along which the system moves.
#[derive(Debug, Clone)]
struct Line {
    start: Vec<Vec3>,
    forces: Vec<Vec3>,
    direction: Vec<Vec3>,
    /// Slope of the energy at the start, in units of the direction, eV.
    slope: f64,
    /// Fraction of the direction at which the system is.
    at: f64,
    shortenings: u32,
}

impl Lbfgs {
    /// Moves the system of these atoms to its next positions.
    pub(super) fn step(&mut self, state: &mut State, atoms: Range<usize>) {
        if let Some(line) = self.line.take() {
            let forces = &state.evaluation().forces[atoms.clone()];
            let slope = -dot(forces, &line.direction);
            if slope > UPHILL * line.slope.abs() && line.shortenings < SHORTENINGS {
                let zero = line.at * line.slope / (line.slope - slope);
                let at = zero.clamp(0.1 * line.at, 0.5 * line.at);
                self.go(state, atoms, Line { at, shortenings: line.shortenings + 1, ..line });
                return;
            }
            self.learn(&line, forces);
        }
        let forces = state.evaluation().forces[atoms.clone()].to_vec();
        let start = state.positions()[atoms.clone()].to_vec();
        let mut direction = self.direction(&forces);
        let mut slope = -dot(&forces, &direction);
        if slope >= 0.0 || !slope.is_finite() {
            self.pairs.clear();
            direction = self.direction(&forces);
            slope = -dot(&forces, &direction);
        }
        let longest = direction.iter().fold(0.0_f64, |longest, d| longest.max(d.norm()));
        let at = if longest > MAX_STEP_ANGSTROM { MAX_STEP_ANGSTROM / longest } else { 1.0 };
        self.go(state, atoms, Line { start, forces, direction, slope, at, shortenings: 0 });
    }

    fn go(&mut self, state: &mut State, atoms: Range<usize>, line: Line) {
        let places = line.start.iter().zip(&line.direction).map(|(x, d)| x + d * line.at);
        state.positions_mut()[atoms].iter_mut().zip(places).for_each(|(x, place)| *x = place);
        self.line = Some(line);
    }

    /// Remembers how the forces changed along a line. Where the curvature is negative there is no minimum to step to, and the
    /// next step is longer.
    fn learn(&mut self, line: &Line, forces: &[Vec3]) {
        let step: Vec<Vec3> = line.direction.iter().map(|d| d * line.at).collect();
        let change: Vec<Vec3> = line.forces.iter().zip(forces).map(|(before, now)| before - now).collect();
        let product = dot(&step, &change);
        if product > 1e-10 * (dot(&step, &step) * dot(&change, &change)).sqrt() {
            if self.pairs.len() == MEMORY {
                self.pairs.pop_front();
            }
            self.pairs.push_back(Pair { step, change, product });
            self.growth = 1.0;
        } else {
            self.growth = (2.0 * self.growth).max(2.0);
        }
    }

    /// Returns the direction of the next step, Å: the two loops of the paper.
    fn direction(&self, forces: &[Vec3]) -> Vec<Vec3> {
        let mut direction = forces.to_vec();
        let mut weights = Vec::with_capacity(self.pairs.len());
        for pair in self.pairs.iter().rev() {
            let weight = dot(&pair.step, &direction) / pair.product;
            add(&mut direction, -weight, &pair.change);
            weights.push(weight);
        }
        let scale = match self.pairs.back() {
            Some(last) => last.product / dot(&last.change, &last.change),
            None => self.growth.max(1.0) / STIFFNESS_EV_PER_ANGSTROM2,
        };
        direction.iter_mut().for_each(|d| *d *= scale);
        for (pair, weight) in self.pairs.iter().zip(weights.iter().rev()) {
            let back = dot(&pair.change, &direction) / pair.product;
            add(&mut direction, weight - back, &pair.step);
        }
        direction
    }
}

fn dot(a: &[Vec3], b: &[Vec3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.dot(b)).sum()
}

fn add(to: &mut [Vec3], factor: f64, vectors: &[Vec3]) {
    to.iter_mut().zip(vectors).for_each(|(to, v)| *to += v * factor);
}
