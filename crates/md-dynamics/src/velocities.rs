use md_core::units::{AMU_ANGSTROM2_PER_FS2_IN_EV, BOLTZMANN_EV_PER_K};
use md_core::{State, StepError, Vec3, mechanics};
use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};
use rand_distr::{Distribution, StandardNormal};

/// Options of [`thermalise`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VelocityOptions {
    /// Scale the velocities to exactly the kinetic temperature given. Otherwise it fluctuates from draw to draw, as in
    /// the canonical ensemble, by `T sqrt(2/n)` for n degrees of freedom.
    pub exact_temperature: bool,
}

/// Why velocities cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum VelocityError {
    /// A temperature is negative, NaN or infinite.
    #[error("system {system} is to have {temperature_k} K (expected zero or a positive number)")]
    Temperature {
        /// System of the batch.
        system: usize,
        /// The temperature given, K.
        temperature_k: f64,
    },
    /// An array does not fit the batch.
    #[error(transparent)]
    Length(#[from] StepError),
}

/// Draws the velocities of every system from the Maxwell-Boltzmann distribution at its own temperature.
///
/// Each Cartesian component of atom i is drawn with variance `k_B T / m_i`; then the translation and rotation of the
/// whole system are removed, which is an orthogonal projection in mass-weighted coordinates. The result is
/// Maxwell-Boltzmann distributed on the remaining n degrees of freedom, with a mean kinetic energy of `n k_B T / 2`:
///
/// | system | held at zero | n |
/// |---|---|---|
/// | open boundaries | momentum, angular momentum | 3N - 6 |
/// | open boundaries, all atoms on one line | the same | 3N - 5 |
/// | periodic in any direction | momentum | 3N - 3 |
/// | one atom | everything | 0: at rest, 0 K at any temperature given |
///
/// The degrees of freedom are stored in the state, for [`State::temperature_k`]. Whether a system is linear depends on
/// its positions at this call ([`mechanics::internal_degrees_of_freedom`]) and does not change as the state moves:
/// thermostats hold the missing degrees of freedom at zero, also when a bent molecule passes through a line and when a
/// linear one bends.
///
/// System `s` draws from a ChaCha12 stream keyed with only `seeds[s]` (see [`stream_seed`]), so its velocities do not
/// depend on its index or on the other systems of the batch, bit for bit.
///
/// # Errors
/// [`VelocityError`]; the state is then unchanged.
pub fn thermalise(
    state: &mut State,
    temperatures_k: &[f64],
    seeds: &[u64],
    options: &VelocityOptions,
) -> Result<(), VelocityError> {
    let batch = state.batch();
    for (what, found) in [("temperatures", temperatures_k.len()), ("seeds", seeds.len())] {
        if found != batch.n_systems() {
            return Err(StepError::Length { what, expected: batch.n_systems(), found }.into());
        }
    }
    let mut velocities = Vec::with_capacity(batch.n_atoms());
    let mut degrees_of_freedom = Vec::with_capacity(batch.n_systems());
    for (s, atoms) in batch.ranges().enumerate() {
        let temperature_k = temperatures_k[s];
        if !(temperature_k.is_finite() && temperature_k >= 0.0) {
            return Err(VelocityError::Temperature { system: s, temperature_k });
        }
        let masses = &batch.masses_amu()[atoms.clone()];
        let positions = &state.positions()[atoms];
        let periodic = batch.cell(s).is_some_and(|cell| cell.periodic().contains(&true));
        let rotations =
            if periodic { 0 } else { mechanics::rotational_degrees_of_freedom(masses, positions) };
        let n = 3 * (masses.len() - 1) - rotations;
        velocities.extend(match n {
            0 => vec![Vec3::zeros(); masses.len()],
            _ => {
                let mut drawn = draw(masses, temperature_k, seeds[s]);
                remove_rigid_motion(masses, positions, rotations, &mut drawn);
                if options.exact_temperature {
                    scale_to(temperature_k, masses, n, &mut drawn);
                }
                drawn
            }
        });
        degrees_of_freedom.push(n);
    }
    state.set_velocities(velocities, degrees_of_freedom)?;
    Ok(())
}

/// Scales the velocities of one system so that its total energy is `energy_ev`. Where the potential energy leaves less
/// than a quarter of the present kinetic energy for that, a quarter remains.
///
/// For n harmonic vibrations the canonical mean of the total energy is n k_B T above the minimum. Runs at that constant
/// energy have a mean kinetic temperature of T, whereas the energy of a canonical sample, and with it the temperature of
/// a run that starts from it, scatters by `T / sqrt(n)`.
pub fn set_total_energy(state: &mut State, system: usize, energy_ev: f64) {
    let kinetic_ev = state.kinetic_energy_ev(system);
    let wanted_ev = energy_ev - state.potential_energy_ev(system);
    if kinetic_ev > 0.0 {
        let factor = (wanted_ev / kinetic_ev).max(0.25).sqrt();
        let atoms = state.batch().range(system);
        state.velocities_mut()[atoms].iter_mut().for_each(|v| *v *= factor);
    }
}

/// Returns the seed of the random stream of one system of a campaign: FNV-1a (64 bit) over the eight bytes of
/// `campaign_seed`, least significant first, and the UTF-8 bytes of `system_id`.
///
/// It is the same on every machine and in every version. Two ids of one length that differ in one byte never collide.
///
/// Source: G. Fowler, L. C. Noll, K.-P. Vo, D. Eastlake, *The FNV Non-Cryptographic Hash Algorithm* (IETF draft).
///
/// ```
/// assert_eq!(md_dynamics::stream_seed(20251125, "water/300K/0"), 0x6946_a7d0_67e2_1bd8);
/// ```
pub fn stream_seed(campaign_seed: u64, system_id: &str) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    campaign_seed
        .to_le_bytes()
        .iter()
        .chain(system_id.as_bytes())
        .fold(OFFSET_BASIS, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

/// Creates the random stream of a seed.
pub(crate) fn stream(seed: u64) -> ChaCha12Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    ChaCha12Rng::from_seed(key)
}

/// Draws independent Maxwell-Boltzmann components, Å/fs.
fn draw(masses_amu: &[f64], temperature_k: f64, seed: u64) -> Vec<Vec3> {
    let mut stream = stream(seed);
    let mut normal = || -> f64 { StandardNormal.sample(&mut stream) };
    masses_amu
        .iter()
        .map(|m| {
            let width = (BOLTZMANN_EV_PER_K * temperature_k / (m * AMU_ANGSTROM2_PER_FS2_IN_EV)).sqrt();
            Vec3::new(normal(), normal(), normal()) * width
        })
        .collect()
}

/// Sets the momentum and, for `rotations` of 3 (or 2 for a linear molecule), the angular momentum about as many
/// principal axes ([`mechanics::rotation_axes`]) to zero. About an axis without a moment of inertia nothing is removed.
pub(crate) fn remove_rigid_motion(
    masses_amu: &[f64],
    positions: &[Vec3],
    rotations: usize,
    velocities: &mut [Vec3],
) {
    let total_mass: f64 = masses_amu.iter().sum();
    let centre = mechanics::centre_of_mass(masses_amu, positions);
    let axes = match rotations {
        0 => Vec::new(),
        _ => mechanics::rotation_axes(masses_amu, positions, rotations),
    };
    // The second pass removes the rounding errors of the first.
    for _ in 0..2 {
        let drift = mechanics::momentum(masses_amu, velocities) / total_mass;
        velocities.iter_mut().for_each(|v| *v -= drift);
        if axes.is_empty() {
            continue;
        }
        let spin = mechanics::angular_momentum(masses_amu, positions, velocities);
        let rate: Vec3 = axes.iter().map(|(axis, moment)| axis * (axis.dot(&spin) / moment)).sum();
        for (v, x) in velocities.iter_mut().zip(positions) {
            *v -= rate.cross(&(x - centre));
        }
    }
}

fn scale_to(temperature_k: f64, masses_amu: &[f64], degrees_of_freedom: usize, velocities: &mut [Vec3]) {
    let kinetic = mechanics::kinetic_energy_ev(masses_amu, velocities);
    let now = mechanics::temperature_k(kinetic, degrees_of_freedom);
    if now > 0.0 {
        let factor = (temperature_k / now).sqrt();
        velocities.iter_mut().for_each(|v| *v *= factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{argon_atom, at_rest, carbon_dioxide, water};
    use md_core::{Cell, Element, Mat3, System};
    use md_probe::random::SplitMix64;
    use proptest::prelude::*;

    const EXACT: VelocityOptions = VelocityOptions { exact_temperature: true };

    fn thermal(systems: &[System], temperature_k: f64, seeds: &[u64], options: &VelocityOptions) -> State {
        let mut state = at_rest(systems);
        thermalise(&mut state, &vec![temperature_k; systems.len()], seeds, options).unwrap();
        state
    }

    /// Returns momentum and angular momentum as fractions of their values if all contributions were parallel.
    fn rigid_motion(state: &State, s: usize) -> (f64, f64) {
        let atoms = state.batch().range(s);
        let (m, x) = (&state.batch().masses_amu()[atoms.clone()], &state.positions()[atoms.clone()]);
        let v = &state.velocities()[atoms];
        let centre = mechanics::centre_of_mass(m, x);
        let all: f64 = m.iter().zip(v).map(|(m, v)| m * v.norm()).sum();
        let all_turning: f64 =
            m.iter().zip(x).zip(v).map(|((m, x), v)| m * (x - centre).norm() * v.norm()).sum();
        let spin = mechanics::angular_momentum(m, x, v);
        (mechanics::momentum(m, v).norm() / all, spin.norm() / all_turning)
    }

    #[test]
    fn thermalise_counts_dof_by_shape_and_boundary() {
        let boxed = |periodic| Cell::new(Mat3::identity() * 10.0, periodic).unwrap();
        let systems = [
            water(),
            carbon_dioxide(),
            argon_atom(0.0),
            water().with_cell(boxed([true; 3])),
            water().with_cell(boxed([false, false, true])),
            water().with_cell(boxed([false; 3])),
            argon_atom(0.0).with_cell(boxed([true; 3])),
        ];
        let state = thermal(&systems, 300.0, &[1, 2, 3, 4, 5, 6, 7], &EXACT);
        assert_eq!(state.degrees_of_freedom(), [3, 4, 0, 6, 6, 3, 0]);
        let expected_k = [300.0, 300.0, 0.0, 300.0, 300.0, 300.0, 0.0];
        for s in 0..systems.len() {
            assert!(
                (state.temperature_k(s) - expected_k[s]).abs() < 1e-10,
                "{s}: {} K",
                state.temperature_k(s)
            );
        }
        for s in [0, 1, 5] {
            let (momentum, spin) = rigid_motion(&state, s);
            assert!(momentum < 1e-12 && spin < 1e-12, "{s}: {momentum:e}, {spin:e}");
        }
        let (momentum, spin) = rigid_motion(&state, 3);
        assert!(momentum < 1e-12, "{momentum:e}");
        assert!(spin > 1e-3, "a periodic system keeps its rotation: {spin:e}");
        assert!(state.velocities().iter().all(|v| v.iter().all(|c| c.is_finite())));
        assert_eq!(state.velocities()[6], Vec3::zeros(), "a lone atom is at rest");
    }

    #[test]
    fn thermalise_accepts_zero_kelvin_and_rejects_bad_input() {
        for options in [EXACT, VelocityOptions::default()] {
            let state = thermal(&[water()], 0.0, &[1], &options);
            assert!(state.velocities().iter().all(|v| *v == Vec3::zeros()));
            assert_eq!(state.degrees_of_freedom(), [3]);
        }
        let mut state = at_rest(&[argon_atom(0.0), water()]);
        let before = state.clone();
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            let error = thermalise(&mut state, &[1.0, bad], &[1, 2], &EXACT).unwrap_err();
            assert!(matches!(error, VelocityError::Temperature { system: 1, .. }), "{error}");
        }
        for (temperatures, seeds, message) in [
            (&[1.0][..], &[1, 2][..], "expected 2 temperatures, found 1"),
            (&[1.0; 2], &[1, 2, 3], "expected 2 seeds, found 3"),
        ] {
            let error = thermalise(&mut state, temperatures, seeds, &EXACT).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        assert_eq!(state, before);
    }

    #[test]
    fn thermalise_is_independent_of_batch() {
        let systems = [water(), carbon_dioxide(), water()];
        let seeds = [11, 12, 13];
        let together = thermal(&systems, 300.0, &seeds, &EXACT);
        for s in 0..3 {
            let alone = thermal(&systems[s..=s], 300.0, &seeds[s..=s], &EXACT);
            assert_eq!(alone.velocities(), &together.velocities()[together.batch().range(s)]);
        }
        assert_ne!(together.velocities()[..3], together.velocities()[6..], "seeds 11 and 13");
    }

    /// These numbers pin the random stream and the normal sampler: if they change, every campaign changes. Drawn by
    /// this function with rand_chacha 0.10.0 and rand_distr 0.6.0.
    #[test]
    fn draw_matches_golden_numbers() {
        let drawn = draw(&[39.948], 300.0, stream_seed(20251125, "argon"));
        let golden = Vec3::new(-0.0015999652700908573, -0.0022035394379813513, 0.001401197261663899);
        assert!((drawn[0] - golden).norm() < 1e-15, "{:?}", drawn[0]);
    }

    #[test]
    fn stream_seed_is_fnv_1a() {
        // Computed with Python from the definition; the same code gives 0x85944171f73967e8 for "foobar" without
        // a campaign seed, the value in the draft's appendix.
        for (seed, id, hash) in [
            (0, "", 0xa8c7_f832_281a_39c5),
            (1, "a", 0x529a_4ddc_8ff5_6bbf),
            (u64::MAX, "Wasser/Å", 0xa0e7_4cde_954d_7f55),
        ] {
            assert_eq!(stream_seed(seed, id), hash, "{seed} {id}");
        }
    }

    /// `2 K / k_B T` follows χ² with n degrees of freedom: mean n, variance 2 n, fourth cumulant 48 n.
    #[test]
    fn thermalise_kinetic_energy_follows_chi_squared() {
        const DRAWS: usize = 20_000;
        let seeds: Vec<u64> = (0..DRAWS as u64).collect();
        let state = thermal(&vec![water(); DRAWS], 300.0, &seeds, &VelocityOptions::default());
        let (draws, n) = (DRAWS as f64, 3.0);
        let x: Vec<f64> =
            (0..DRAWS).map(|s| 2.0 * state.kinetic_energy_ev(s) / (BOLTZMANN_EV_PER_K * 300.0)).collect();
        let mean = x.iter().sum::<f64>() / draws;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (draws - 1.0);
        assert!((mean - n).abs() < 3.0 * (2.0 * n / draws).sqrt(), "mean {mean}");
        let error_of_variance = ((48.0 * n + 2.0 * (2.0 * n).powi(2)) / draws).sqrt();
        assert!((variance - 2.0 * n).abs() < 3.0 * error_of_variance, "variance {variance}");
    }

    /// Each component is normal with variance `k_B T/m (1 - Σ q²)`, q its entries in an orthonormal basis of the
    /// mass-weighted rigid motions. Kolmogorov-Smirnov at a significance of 0.1 %.
    #[test]
    fn thermalise_components_follow_projected_maxwellian() {
        const DRAWS: usize = 20_000;
        let molecule = water();
        let seeds: Vec<u64> = (0..DRAWS as u64).map(|k| k + 1_000_000).collect();
        let state = thermal(&vec![molecule.clone(); DRAWS], 300.0, &seeds, &VelocityOptions::default());
        let kept = kept_fractions(&molecule);
        assert!((kept.iter().sum::<f64>() - 3.0).abs() < 1e-12, "3N - 6 are left");
        for (component, kept) in kept.iter().enumerate() {
            let (atom, axis) = (component / 3, component % 3);
            let mass = molecule.masses_amu()[atom];
            let width = (kept * BOLTZMANN_EV_PER_K * 300.0 / (mass * AMU_ANGSTROM2_PER_FS2_IN_EV)).sqrt();
            let mut z: Vec<f64> = (0..DRAWS).map(|s| state.velocities()[3 * s + atom][axis]).collect();
            if axis == 2 {
                // Water lies in the xy plane: all motion out of the plane is rigid.
                assert!(*kept < 1e-12 && z.iter().all(|z| z.abs() < 1e-15));
                continue;
            }
            z.iter_mut().for_each(|z| *z /= width);
            z.sort_by(f64::total_cmp);
            let distance = z
                .iter()
                .enumerate()
                .map(|(k, &z)| ((k as f64 + 0.5) / DRAWS as f64 - normal_distribution(z)).abs())
                .fold(0.0, f64::max);
            assert!(distance < 1.95 / (DRAWS as f64).sqrt(), "component {component}: {distance}");
        }
    }

    /// Computes `1 - Σ q²` per Cartesian component by Gram-Schmidt orthogonalisation.
    fn kept_fractions(molecule: &System) -> Vec<f64> {
        let motions = (0..6).map(|k| {
            let axis = Vec3::ith(k % 3, 1.0);
            let weigh = |(x, m): (&Vec3, &f64)| (if k < 3 { axis } else { axis.cross(x) }) * m.sqrt();
            let atoms = molecule.positions().iter().zip(molecule.masses_amu());
            atoms.map(weigh).flat_map(|v| [v.x, v.y, v.z]).collect::<Vec<f64>>()
        });
        let mut basis: Vec<Vec<f64>> = Vec::new();
        for mut motion in motions {
            for q in &basis {
                let overlap: f64 = q.iter().zip(&motion).map(|(a, b)| a * b).sum();
                motion.iter_mut().zip(q).for_each(|(m, q)| *m -= overlap * q);
            }
            let norm = motion.iter().map(|m| m * m).sum::<f64>().sqrt();
            basis.push(motion.iter().map(|m| m / norm).collect());
        }
        (0..3 * molecule.n_atoms()).map(|c| 1.0 - basis.iter().map(|q| q[c] * q[c]).sum::<f64>()).collect()
    }

    /// Standard normal distribution function to 1e-7 (Abramowitz and Stegun, 26.2.17).
    fn normal_distribution(z: f64) -> f64 {
        let t = 1.0 / (1.0 + 0.2316419 * z.abs());
        let poly = [1.330274429, -1.821255978, 1.781477937, -0.356563782, 0.319381530];
        let tail = poly.iter().fold(0.0, |sum, c| (sum + c) * t) * (-0.5 * z * z).exp()
            / (2.0 * std::f64::consts::PI).sqrt();
        if z > 0.0 { 1.0 - tail } else { tail }
    }

    proptest! {
        #[test]
        fn thermalise_removes_momentum_and_spin(
            jitter in prop::collection::vec((-0.6..0.6f64, -0.6..0.6f64, -0.6..0.6f64), 2..9),
            masses in prop::collection::vec(1.0..200.0f64, 8),
            shift in -50.0..50.0f64,
            temperature_k in 1.0..3000.0f64,
            seed: u64,
        ) {
            // One atom at each corner of a cube with edges of 2 Å.
            let positions: Vec<Vec3> = jitter.iter().enumerate().map(|(k, &(x, y, z))| {
                let corner = Vec3::new((k & 1) as f64, (k >> 1 & 1) as f64, (k >> 2) as f64);
                corner * 2.0 + Vec3::new(x + shift, y, z)
            }).collect();
            let n = positions.len();
            let molecule = System::new(vec![Element::C; n], positions).unwrap();
            let molecule = molecule.with_masses_amu(masses[..n].to_vec()).unwrap();
            let state = thermal(&[molecule], temperature_k, &[seed], &EXACT);
            let (momentum, spin) = rigid_motion(&state, 0);
            prop_assert!(momentum < 1e-12, "momentum {momentum:e}");
            prop_assert!(spin < 1e-12, "angular momentum {spin:e}");
            prop_assert!((state.temperature_k(0) / temperature_k - 1.0).abs() < 1e-12);
        }

        /// Nearly linear molecules: bent by any angle down to zero, of any masses, at any place.
        #[test]
        fn thermalise_near_linear_removes_rigid_motion_and_is_bounded(
            exponent in -16.0..0.0f64,
            exactly_linear in prop::bool::weighted(0.1),
            masses in prop::collection::vec(1.0..200.0f64, 4),
            n in 2..5usize,
            shift in -50.0..50.0f64,
            rotations in 2..4usize,
            seed: u64,
        ) {
            let bend = if exactly_linear { 0.0 } else { 10_f64.powf(exponent) };
            let turn = SplitMix64::new(seed).rotation();
            // Every second atom lies off the line, some of the offset out of the plane.
            let offsets = [0.0, bend, 0.0, -0.5 * bend];
            let positions: Vec<Vec3> = (0..n).map(|k| {
                let out = if k == 3 { 0.3 * bend } else { 0.0 };
                turn * Vec3::new(1.2 * k as f64, offsets[k], out) + Vec3::repeat(shift)
            }).collect();
            let masses = &masses[..n];
            let before = draw(masses, 300.0, seed);
            let mut after = before.clone();
            remove_rigid_motion(masses, &positions, rotations, &mut after);
            // A projection adds no energy.
            let energy = |v: &[Vec3]| mechanics::kinetic_energy_ev(masses, v);
            prop_assert!(energy(&after) <= energy(&before) * (1.0 + 1e-9), "{} {}", energy(&before), energy(&after));
            let mut again = after.clone();
            remove_rigid_motion(masses, &positions, rotations, &mut again);
            let scale = before.iter().map(Vec3::norm).fold(0.0, f64::max);
            for (a, b) in after.iter().zip(&again) {
                prop_assert!((a - b).norm() < 1e-8 * scale, "{a} {b}");
            }
            // About every axis with a moment, and about 3 only if the bend is larger than rounding.
            let momentum = mechanics::momentum(masses, &after).norm();
            prop_assert!(momentum < 1e-12 * masses.iter().sum::<f64>() * scale, "momentum {momentum:e}");
            let spin = mechanics::angular_momentum(masses, &positions, &after);
            for (axis, moment) in mechanics::rotation_axes(masses, &positions, rotations) {
                // Rounding of positions far from the origin.
                let all = masses.iter().sum::<f64>() * scale * (1.0 + shift.abs());
                prop_assert!(axis.dot(&spin).abs() < 1e-12 * all, "{} about a moment of {moment:e}", axis.dot(&spin));
            }
            let found = mechanics::rotation_axes(masses, &positions, 3).len();
            if n > 2 && bend > 1e-4 {
                prop_assert_eq!(found, 3);
            }
            if n == 2 || bend < 1e-9 {
                prop_assert_eq!(found, 2);
            }
        }
    }
}
