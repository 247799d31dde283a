//! Criteria for accuracy, against labelled frames and reference dynamics, and for speed.

use md_results::DistanceId;

use super::{MISSION, row};
use crate::evidence::{self, accuracy};
use crate::{Criterion, Theme};

pub(super) const ROWS: &[Criterion] = &[
    row(
        "bond_length_wasserstein_A",
        "bond lengths against reference dynamics",
        "∫ |F⁻¹(q) − G⁻¹(q)| dq between the lengths F of a bond in runs of the model and G in the reference \
         trajectories that they follow from the first frame on, mean over all bonds",
        "Å",
        Some(0.02),
        Theme::Accuracy,
        "a bond of 0.05 Å thermal width; methods of quantum chemistry differ by 0.02 Å",
        |s| accuracy::comparison(s, DistanceId::BondLength),
    )
    .where_given(accuracy::has_reference_dynamics),
    row(
        "pair_distance_wasserstein_A",
        "pair distances against reference dynamics",
        "∫ |F⁻¹(q) − G⁻¹(q)| dq between the distances F of two atoms in runs of the model and G in the \
         reference trajectories that they follow from the first frame on, mean over all pairs of atoms",
        "Å",
        Some(0.3),
        Theme::Accuracy,
        "another conformer moves pairs of atoms by 1 Å",
        |s| accuracy::comparison(s, DistanceId::PairDistance),
    )
    .where_given(accuracy::has_reference_dynamics),
    row(
        "spectrum_wasserstein_per_cm",
        "vibrational spectrum against reference dynamics",
        "∫ |F⁻¹(q) − G⁻¹(q)| dq between the vibrational spectra F of the model and G of the reference \
         trajectories, each Σ m |FFT(v)|² as a share of the kinetic energy at every wavenumber",
        "1/cm",
        None,
        Theme::Accuracy,
        "the campaign's own",
        |s| accuracy::comparison(s, DistanceId::Spectrum),
    ),
    row(
        "force_rmse_ev_per_angstrom",
        "force RMSE",
        "√(Σ |F − F_ref|² / 3N) over all N atoms of all frames of a reference file; the worst file counts",
        "eV/Å",
        Some(0.2),
        Theme::Accuracy,
        MISSION,
        accuracy::force_rmse,
    ),
    row(
        "force_slope_error",
        "force slope away from 1",
        "|s − 1| of the slope s = Σ F·F_ref / Σ F_ref² over all atoms of all frames of a reference file: below 1 forces are too \
         soft, above it too stiff; the file with the largest distance counts",
        "",
        Some(0.05),
        Theme::Accuracy,
        "forces that are 5 % too soft shift vibrations by 2.5 %; an RMSE alone is small where forces are",
        accuracy::force_slope_error,
    ),
    row(
        "force_relative_rmse",
        "force RMSE / reference force",
        "√(Σ |F − F_ref|² / Σ |F_ref|²) over all atoms of all frames of a reference file; files with a root mean square force \
         below 0.05 eV/Å, near the minimum, are left out; the worst file counts",
        "",
        Some(0.2),
        Theme::Accuracy,
        "forces then explain 96 % of the variance; 0.2 eV/Å may be a quarter of the forces of a small molecule at 300 K",
        accuracy::force_relative_rmse,
    ),
    row(
        "force_error_max_ev_per_angstrom",
        "largest force error",
        "max |F − F_ref| of one atom in one frame of all reference files",
        "eV/Å",
        Some(2.0),
        Theme::Accuracy,
        "ten times the bar of the RMSE: one atom that is pushed so wrongly has met a hole that a mean hides",
        accuracy::force_error_max,
    ),
    row(
        "energy_rmse_meV_per_atom",
        "energy RMSE after a shift",
        "√⟨(ΔE − ⟨ΔE⟩)² / N²⟩ over the frames of a reference file, ΔE = E − E_ref and ⟨ΔE⟩ its mean over the \
         frames of one composition; the worst file counts",
        "meV/atom",
        Some(20.0),
        Theme::Accuracy,
        "half of k_B T at room temperature, of an atom",
        accuracy::energy_rmse,
    ),
    row(
        "energy_rmse_of_spread",
        "energy RMSE / spread of the energies",
        "√⟨(ΔE − ⟨ΔE⟩)²⟩ / √⟨(E_ref − ⟨E_ref⟩)²⟩ over the frames of a reference file, ΔE = E − E_ref, means over the frames of \
         one composition: 1 for a constant, 1.4 for shuffled energies; files with a spread below 1 meV/atom are left out; the \
         worst file counts",
        "",
        Some(0.5),
        Theme::Accuracy,
        "energies then explain three quarters of the variance",
        accuracy::energy_rmse_of_spread,
    ),
    row(
        "energy_rank_error",
        "order of the energies against the reference",
        "1 − ρ, ρ Spearman's rank correlation of E and E_ref over the frames of a reference file: 0 for the same order, 1 for a \
         constant, 2 for the reverse; the worst file counts",
        "",
        None,
        Theme::Accuracy,
        "the campaign's own",
        accuracy::energy_rank_error,
    ),
    row(
        "distribution_shift",
        "distance of visited / reference frames",
        "median distance of visited frames to their nearest reference frame over the median of the same \
         among reference frames: |D − D′| with D the inverse distances of all pairs of atoms, sorted within \
         each pair of elements",
        "",
        None,
        Theme::Accuracy,
        "the campaign's own",
        accuracy::shift,
    ),
    row(
        "inference_ms_per_step",
        "time per NVE step",
        "median wall time of a velocity Verlet step of the molecule alone, forces and neighbours included, \
         over some 50 to 1000 steps after a warm-up",
        "ms",
        Some(10.0),
        Theme::Speed,
        MISSION,
        |s| evidence::speed(s, |speed| speed.ms_per_step),
    ),
    row(
        "cold_100_steps_s",
        "100 steps from a cold start",
        "wall time to load the model and make 100 velocity Verlet steps of the molecule, with nothing warmed \
         up",
        "s",
        Some(120.0),
        Theme::Speed,
        MISSION,
        |s| evidence::speed(s, |speed| speed.cold_100_steps_s),
    ),
];
