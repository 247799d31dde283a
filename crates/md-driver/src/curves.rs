//! Series for plots.

use anyhow::Result;
use md_core::units::MEV_PER_EV;
use md_core::{Element, Potential, System, mechanics};
use md_metrics::{DecimatedSeries, Spectrum, histogram};
use md_probe::DimerScan;
use md_results::{Column, Series, SeriesId};
use serde::{Deserialize, Serialize};

/// Maximum number of samples of a run.
const SAMPLES_OF_RUN: usize = 240;

/// Maximum number of points of a scatter plot, and number of bins of a distribution.
const POINTS: usize = 1200;
const BINS: usize = 80;

/// Range of a histogram of errors in units of their root mean square; the outermost bins include all larger errors.
const HISTOGRAM_REACH: f64 = 4.0;

/// Number of points of a rotation, and of the path of an atom that leaves its molecule.
const TURN_POINTS: usize = 120;
const LEAVING_POINTS: usize = 240;

/// Largest wave number of a spectrum, 1/cm: molecules have no vibrations beyond.
const SPECTRUM_TO_PER_CM: f64 = 4500.0;

/// Energies of a run, thinned out as it grows.
#[derive(Serialize, Deserialize)]
pub struct EnergyTrace {
    conserved_ev: DecimatedSeries,
    kinetic_ev: DecimatedSeries,
    potential_ev: DecimatedSeries,
}

impl Default for EnergyTrace {
    fn default() -> Self {
        let [conserved_ev, kinetic_ev, potential_ev] = [(); 3].map(|()| DecimatedSeries::new(SAMPLES_OF_RUN));
        EnergyTrace { conserved_ev, kinetic_ev, potential_ev }
    }
}

impl EnergyTrace {
    /// Adds a sample.
    pub fn push(&mut self, time_ps: f64, conserved_ev: f64, kinetic_ev: f64, potential_ev: f64) {
        self.conserved_ev.push(time_ps, conserved_ev);
        self.kinetic_ev.push(time_ps, kinetic_ev);
        self.potential_ev.push(time_ps, potential_ev);
    }

    /// Returns energies per atom and temperature of a run with the given numbers of atoms and degrees of freedom.
    pub fn series(
        &self,
        [model, molecule, run]: [&str; 3],
        atoms: usize,
        degrees_of_freedom: usize,
    ) -> Vec<Series> {
        let values =
            |series: &DecimatedSeries| series.points().into_iter().map(|(_, y)| y).collect::<Vec<f64>>();
        let times = || self.conserved_ev.points().into_iter().map(|(x, _)| x);
        let per_atom = MEV_PER_EV / atoms as f64;
        let from =
            |values: &[f64], zero: f64| values.iter().map(|e| (e - zero) * per_atom).collect::<Vec<f64>>();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let [conserved, kinetic, potential] =
            [&self.conserved_ev, &self.kinetic_ev, &self.potential_ev].map(values);
        let Some(&first) = conserved.first() else { return Vec::new() };
        let one = |id: SeriesId, y: Vec<Column>| Series {
            id,
            model: model.to_owned(),
            molecule: molecule.to_owned(),
            subject: Some(run.to_owned()),
            x: Column::new("time", "ps", times()),
            y,
        };
        let temperature = kinetic.iter().map(|&e| mechanics::temperature_k(e, degrees_of_freedom));
        let unit = "meV/atom";
        [
            one(
                SeriesId::Energy,
                vec![
                    Column::new("conserved energy, change", unit, from(&conserved, first)),
                    Column::new("kinetic energy, from its mean", unit, from(&kinetic, mean(&kinetic))),
                    Column::new("potential energy, from its mean", unit, from(&potential, mean(&potential))),
                ],
            ),
            one(SeriesId::Temperature, vec![Column::new("kinetic temperature", "K", temperature)]),
        ]
        .into_iter()
        .filter(is_finite)
        .collect()
    }
}

/// Returns predicted against reference force components (eV/Å) and a histogram of the errors on the frames of a file.
pub fn force_errors([model, molecule, file]: [&str; 3], pairs: &[[f64; 2]]) -> Vec<Series> {
    let errors: Vec<f64> = pairs.iter().map(|[predicted, reference]| predicted - reference).collect();
    let rms = (errors.iter().map(|e| e * e).sum::<f64>() / errors.len().max(1) as f64).sqrt();
    if !(rms > 0.0 && rms.is_finite()) {
        return Vec::new();
    }
    let reach = HISTOGRAM_REACH * rms;
    let width = 2.0 * reach / BINS as f64;
    // The outermost bins include larger errors.
    let inside = errors.iter().map(|e| e.clamp(-reach + 0.5 * width, reach - 0.5 * width));
    let counts = histogram(inside, (-reach, reach), BINS);
    let sample = || pairs.iter().step_by(pairs.len().div_ceil(POINTS));
    let one = |id: SeriesId, x: Column, y: Column| Series {
        id,
        model: model.to_owned(),
        molecule: molecule.to_owned(),
        subject: Some(file.to_owned()),
        x,
        y: vec![y],
    };
    vec![
        one(
            SeriesId::ForceParity,
            Column::new("reference force component", "eV/Å", sample().map(|p| p[1])),
            Column::new("predicted force component", "eV/Å", sample().map(|p| p[0])),
        ),
        one(
            SeriesId::ForceErrorHistogram,
            Column::new("error of a force component", "eV/Å", middles((-reach, reach), BINS)),
            Column::new("force components", "", counts.into_iter().map(|n| n as f64)),
        ),
    ]
}

/// Returns the distributions of bond lengths (Å) of a model and of its reference.
pub fn bond_lengths([model, molecule]: [&str; 2], of_model: &[f64], of_reference: &[f64]) -> Option<Series> {
    let all = || of_model.iter().chain(of_reference).copied();
    let range = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    let width = (range.1 - range.0) / BINS as f64;
    if of_model.is_empty() || of_reference.is_empty() || !(width > 0.0 && width.is_finite()) {
        return None;
    }
    let density = |lengths: &[f64]| {
        let per_count = 1.0 / (width * lengths.len() as f64);
        histogram(lengths.iter().copied(), range, BINS).into_iter().map(move |n| n as f64 * per_count)
    };
    Some(Series {
        id: SeriesId::BondLengths,
        model: model.to_owned(),
        molecule: molecule.to_owned(),
        subject: None,
        x: Column::new("bond length", "Å", middles(range, BINS)),
        y: vec![
            Column::new("model", "1/Å", density(of_model)),
            Column::new("reference", "1/Å", density(of_reference)),
        ],
    })
}

/// Returns the vibrational spectra of a model and of its reference at the same wave numbers.
pub fn spectra([model, molecule]: [&str; 2], of_model: &Spectrum, of_reference: &Spectrum) -> Series {
    let bins = 3 * BINS;
    let width = SPECTRUM_TO_PER_CM / bins as f64;
    let density = |spectrum: &Spectrum| {
        let mut sums = vec![0.0; bins];
        for (at, share) in &spectrum.points {
            if let Some(sum) = sums.get_mut((at / width) as usize) {
                *sum += share / width;
            }
        }
        sums
    };
    Series {
        id: SeriesId::Spectrum,
        model: model.to_owned(),
        molecule: molecule.to_owned(),
        subject: None,
        x: Column::new("wavenumber", "1/cm", middles((0.0, SPECTRUM_TO_PER_CM), bins)),
        y: vec![
            Column::new("model", "cm", density(of_model)),
            Column::new("reference", "cm", density(of_reference)),
        ],
    }
}

/// Returns a dimer curve whose energy is zero at the largest distance.
pub fn dimer(model: &str, [a, b]: [Element; 2], scan: &DimerScan) -> Option<Series> {
    let apart_ev = scan.points.last()?[1];
    let series = Series {
        id: SeriesId::Dimer,
        model: model.to_owned(),
        molecule: format!("{}-{}", a.symbol(), b.symbol()),
        subject: None,
        x: Column::new("distance", "Å", scan.points.iter().map(|p| p[0])),
        y: vec![Column::new("energy", "eV", scan.points.iter().map(|p| p[1] - apart_ev))],
    };
    Some(series).filter(is_finite)
}

/// Scans a rotation of the molecule about an axis and the removal of one of its atoms.
///
/// # Errors
/// The potential failed.
pub fn scans(
    potential: &mut dyn Potential,
    [model, molecule]: [&str; 2],
    system: &System,
    reach_angstrom: f64,
) -> Result<Vec<Series>> {
    let one = |id: SeriesId, x: (&str, &str), y: &str, points: &[[f64; 2]]| Series {
        id,
        model: model.to_owned(),
        molecule: molecule.to_owned(),
        subject: None,
        x: Column::new(x.0, x.1, points.iter().map(|p| p[0])),
        y: vec![Column::new(y, "eV", points.iter().map(|p| p[1]))],
    };
    let turn = md_probe::rotation_scan(potential, system, TURN_POINTS)?;
    let leaving = md_probe::leaving_scan(potential, system, reach_angstrom, LEAVING_POINTS)?;
    let series = [
        one(SeriesId::RotationScan, ("angle", "°"), "change of energy", &turn),
        one(
            SeriesId::CutoffScan,
            ("way of the atom", "Å"),
            "energy, from that of the atom far away",
            &leaving,
        ),
    ];
    Ok(series.into_iter().filter(is_finite).collect())
}

/// Whether all values are finite; JSON cannot represent others.
fn is_finite(series: &Series) -> bool {
    series.y.iter().chain([&series.x]).flat_map(|c| &c.values).all(|x| x.is_finite())
}

fn middles((low, high): (f64, f64), bins: usize) -> impl Iterator<Item = f64> {
    let width = (high - low) / bins as f64;
    (0..bins).map(move |n| low + (n as f64 + 0.5) * width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn energy_trace_is_bounded_and_keeps_both_ends() {
        let mut trace = EnergyTrace::default();
        for n in 0..10_001 {
            let x = f64::from(n) * 1e-3;
            trace.push(x, -5.0 + 0.01 * x, 0.3, -5.3 + 0.01 * x);
        }
        let series = trace.series(["m", "water", "r0"], 2, 3);
        assert_eq!(series.iter().map(|s| s.id.name()).collect::<Vec<_>>(), ["energy", "temperature"]);
        let energy = &series[0];
        let n = energy.x.values.len();
        assert!((120..=SAMPLES_OF_RUN + 1).contains(&n), "{n}");
        assert_eq!((energy.x.values[0], energy.x.values[n - 1]), (0.0, 10.0));
        // 0.1 eV for two atoms.
        assert!((energy.y[0].values[n - 1] - 50.0).abs() < 1e-3);
        assert!(energy.y[1].values.iter().all(|e| e.abs() < 1e-9));
        // 2 K / (3 k_B)
        assert!((series[1].y[0].values[0] - 2.0 * 0.3 / (3.0 * 8.617_333e-5)).abs() < 0.01);
    }

    #[test]
    fn force_errors_histogram_is_complete_and_parity_keeps_sign() {
        let pairs: Vec<[f64; 2]> = (0..5000).map(|n| [f64::from(n % 7) + 0.1, f64::from(n % 7)]).collect();
        let series = force_errors(["m", "water", "f"], &pairs);
        let [parity, errors] = series.as_slice() else { panic!("{series:?}") };
        assert!(parity.x.values.len() <= POINTS && parity.x.values.len() > POINTS / 2);
        assert!(parity.x.values.iter().zip(&parity.y[0].values).all(|(r, p)| (p - r - 0.1).abs() < 1e-4));
        assert_eq!(errors.y[0].values.iter().sum::<f64>(), 5000.0);
        let fullest = errors.y[0].values.iter().position(|&n| n == 5000.0).unwrap();
        assert!((errors.x.values[fullest] - 0.1).abs() < 0.01);
        assert!(force_errors(["m", "water", "f"], &[]).is_empty());
    }

    #[test]
    fn bond_lengths_distribution_is_normalised() {
        let lengths: Vec<f64> = (0..1000).map(|n| 1.0 + 1e-4 * f64::from(n)).collect();
        let series = bond_lengths(["m", "water"], &lengths, &lengths[..500]).unwrap();
        // Derived from many bins, since positions are rounded.
        let width = (series.x.values[BINS - 1] - series.x.values[0]) / (BINS - 1) as f64;
        for column in &series.y {
            assert!((column.values.iter().sum::<f64>() * width - 1.0).abs() < 1e-3, "{column:?}");
        }
        assert_eq!(bond_lengths(["m", "argon"], &[], &[]), None);
    }
}
