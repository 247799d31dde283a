//! Vibrational spectra from dynamics.

use md_core::Vec3;
use md_core::units::SPEED_OF_LIGHT_CM_PER_FS;
use rustfft::FftPlanner;
use rustfft::num_complex::Complex;

use crate::MetricError;
use crate::distribution::wasserstein_weighted;
use crate::error::{require_finite_vectors, require_length};

/// Number of frames in a segment; spectra are averaged over segments (Welch). At 1 fs this resolves 8 1/cm.
const SEGMENT: usize = 4096;

/// Vibrational density of states of a trajectory: the distribution of its kinetic energy over wavenumbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrum {
    /// Wavenumber (1/cm) and fraction of the kinetic energy; the fractions sum to 1.
    pub points: Vec<(f64, f64)>,
}

/// Accumulates the velocities of a trajectory for its [`Spectrum`].
#[derive(Debug, Clone)]
pub struct SpectrumBuilder {
    masses_amu: Vec<f64>,
    interval_fs: f64,
    /// Velocities of the current segment, for each atom and axis.
    velocities: Vec<Vec<f64>>,
    power: Vec<f64>,
}

impl SpectrumBuilder {
    /// Creates a builder for atoms of these masses (amu) and frames every `interval_fs` fs.
    ///
    /// # Errors
    /// [`MetricError::OutOfRange`] if the interval is not positive.
    pub fn new(masses_amu: &[f64], interval_fs: f64) -> Result<Self, MetricError> {
        if !(interval_fs > 0.0 && interval_fs.is_finite()) {
            return Err(MetricError::OutOfRange {
                what: "the interval between frames (fs)",
                value: interval_fs,
                expected: "a positive number",
            });
        }
        Ok(SpectrumBuilder {
            masses_amu: masses_amu.to_vec(),
            interval_fs,
            velocities: vec![Vec::new(); 3 * masses_amu.len()],
            power: vec![0.0; SEGMENT + 1],
        })
    }

    /// Adds a frame with velocities in any unit. Memory is bounded by one segment of 4096 frames.
    ///
    /// # Errors
    /// [`MetricError::Length`] or [`MetricError::NonFinite`].
    pub fn push(&mut self, velocities: &[Vec3]) -> Result<(), MetricError> {
        require_length("velocities", self.masses_amu.len(), velocities.len())?;
        require_finite_vectors("velocity", velocities)?;
        for (series, v) in self.velocities.iter_mut().zip(velocities.iter().flat_map(Vec3::iter)) {
            series.push(*v);
        }
        if self.velocities.first().is_some_and(|v| v.len() == SEGMENT) {
            self.transform();
        }
        Ok(())
    }

    /// Computes the spectrum `Σ m |FFT(w v)|²`, which is the Fourier transform of the mass-weighted velocity
    /// autocorrelation function (Wiener-Khinchin theorem), with a Hann window w and zero padding to twice the length.
    ///
    /// # Errors
    /// [`MetricError::TooFew`] below 16 frames, [`MetricError::Empty`] if all velocities are zero.
    pub fn finish(mut self) -> Result<Spectrum, MetricError> {
        let rest = self.velocities.first().map_or(0, Vec::len);
        let nothing_yet = self.power.iter().all(|p| *p == 0.0);
        if nothing_yet && rest < 16 {
            return Err(MetricError::TooFew { what: "frames of a spectrum", needed: 16, found: rest });
        }
        // A short last segment is ignored if there are complete ones.
        if nothing_yet {
            self.transform();
        }
        let total: f64 = self.power.iter().sum();
        if total <= 0.0 {
            return Err(MetricError::Empty { what: "velocities" });
        }
        let spacing = 1.0 / (2.0 * SEGMENT as f64 * self.interval_fs * SPEED_OF_LIGHT_CM_PER_FS);
        let points = self.power.iter().enumerate().map(|(k, p)| (k as f64 * spacing, p / total));
        Ok(Spectrum { points: points.collect() })
    }

    fn transform(&mut self) {
        let fft = FftPlanner::new().plan_fft_forward(2 * SEGMENT);
        for (k, series) in self.velocities.iter_mut().enumerate() {
            let n = series.len() as f64;
            let window = |i: usize| 1.0 - (std::f64::consts::TAU * (i as f64 + 0.5) / n).cos();
            let mut buffer: Vec<Complex<f64>> =
                series.iter().enumerate().map(|(i, v)| Complex::new(v * window(i), 0.0)).collect();
            buffer.resize(2 * SEGMENT, Complex::default());
            fft.process(&mut buffer);
            let mass = self.masses_amu[k / 3];
            for (power, x) in self.power.iter_mut().zip(&buffer) {
                *power += mass * x.norm_sqr();
            }
            series.clear();
        }
    }
}

impl Spectrum {
    /// The Wasserstein distance between two spectra, 1/cm: the smallest mean shift of the kinetic energy that turns one
    /// into the other.
    ///
    /// # Errors
    /// [`MetricError::Empty`] or [`MetricError::NonFinite`].
    pub fn wasserstein_per_cm(&self, other: &Spectrum) -> Result<f64, MetricError> {
        wasserstein_weighted(&self.points, &other.points)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use md_core::units::EV_PER_ANGSTROM_AMU_IN_ANGSTROM_PER_FS2;

    /// Two atoms that oscillate at the wavenumbers (1/cm) `a` and `b` with velocity amplitudes 1 and 0.5.
    fn oscillators(a: f64, b: f64, frames: usize) -> Spectrum {
        let mut builder = SpectrumBuilder::new(&[1.0, 4.0], 0.5).unwrap();
        let omega = |per_cm: f64| std::f64::consts::TAU * SPEED_OF_LIGHT_CM_PER_FS * per_cm;
        for k in 0..frames {
            let t = 0.5 * k as f64;
            let v =
                [Vec3::new((omega(a) * t).sin(), 0.0, 0.0), Vec3::new(0.0, 0.5 * (omega(b) * t).cos(), 0.0)];
            builder.push(&v).unwrap();
        }
        builder.finish().unwrap()
    }

    #[test]
    fn spectrum_peaks_have_wavenumber_and_energy_share() {
        for frames in [4096, 3000, 9000] {
            let spectrum = oscillators(1600.0, 3700.0, frames);
            let share = |from: f64, to: f64| -> f64 {
                spectrum.points.iter().filter(|(w, _)| (from..to).contains(w)).map(|(_, s)| s).sum()
            };
            // m v²: 1 x 1 and 4 x 0.25.
            assert!((share(1500.0, 1700.0) - 0.5).abs() < 0.01, "{frames}: {}", share(1500.0, 1700.0));
            assert!((share(3600.0, 3800.0) - 0.5).abs() < 0.01);
            let peak = spectrum.points.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
            assert!((peak - 1600.0).abs() < 10.0 || (peak - 3700.0).abs() < 10.0, "{peak}");
        }
        // The wavenumber of 1 eV/Å²/amu: 521.4709004 in ASE 3.29, by CODATA 2014.
        let omega = EV_PER_ANGSTROM_AMU_IN_ANGSTROM_PER_FS2.sqrt();
        let per_cm = omega / (std::f64::consts::TAU * SPEED_OF_LIGHT_CM_PER_FS);
        assert!((per_cm - 521.470898373).abs() < 1e-6);
    }

    #[test]
    fn wasserstein_of_spectra_is_mean_shift() {
        let reference = oscillators(1600.0, 3700.0, 4096);
        let shifted = oscillators(1620.0, 3700.0, 4096);
        let distance = reference.wasserstein_per_cm(&shifted).unwrap();
        assert!((distance - 10.0).abs() < 0.5, "half of the energy moved by 20: {distance}");
        assert_eq!(reference.wasserstein_per_cm(&reference).unwrap(), 0.0);
    }

    #[test]
    fn spectrum_builder_rejects_too_few_frames_or_no_motion() {
        assert!(SpectrumBuilder::new(&[1.0], 0.0).is_err());
        let mut few = SpectrumBuilder::new(&[1.0], 0.5).unwrap();
        few.push(&[Vec3::x()]).unwrap();
        assert!(matches!(few.clone().finish(), Err(MetricError::TooFew { found: 1, .. })));
        assert!(few.push(&[Vec3::x(), Vec3::x()]).is_err());
        let mut still = SpectrumBuilder::new(&[1.0], 0.5).unwrap();
        (0..20).for_each(|_| still.push(&[Vec3::zeros()]).unwrap());
        assert!(matches!(still.finish(), Err(MetricError::Empty { .. })));
    }
}
