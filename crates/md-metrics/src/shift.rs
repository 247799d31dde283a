//! Distance between the frames visited by a model and those of its reference data.

use std::collections::BTreeMap;

use md_core::{Element, Vec3};

use crate::MetricError;
use crate::error::{require_finite_vectors, require_length};
use crate::statistics::percentile;

/// Computes the shape of a molecule as numbers that do not depend on its position, its orientation or the order of
/// equal atoms: for each pair of elements the inverse distances (1/Å), sorted.
///
/// All frames of one composition have descriptors of the same length. Different geometries may share one (homometric
/// structures), which is rare and makes a shift look smaller, never larger.
///
/// # Errors
/// [`MetricError::Length`] or [`MetricError::NonFinite`].
pub fn descriptor(elements: &[Element], positions: &[Vec3]) -> Result<Vec<f64>, MetricError> {
    require_length("positions", elements.len(), positions.len())?;
    require_finite_vectors("position", positions)?;
    let mut by_pair: BTreeMap<(Element, Element), Vec<f64>> = BTreeMap::new();
    for i in 0..elements.len() {
        for j in i + 1..elements.len() {
            let pair = (elements[i].min(elements[j]), elements[i].max(elements[j]));
            by_pair.entry(pair).or_default().push(1.0 / (positions[j] - positions[i]).norm());
        }
    }
    for inverse in by_pair.values_mut() {
        inverse.sort_by(f64::total_cmp);
    }
    Ok(by_pair.into_values().flatten().collect())
}

/// Distances of visited frames from a reference set, relative to the distances between reference frames.
#[derive(Debug, Clone, PartialEq)]
pub struct DistributionShift {
    /// For each visited frame, the distance of its [`descriptor`] to the nearest one of the reference, divided by the
    /// median nearest distance among the reference frames.
    pub ratios: Vec<f64>,
    /// Median ratio: about 1 if the model stays within the reference.
    pub median_ratio: f64,
    /// Largest ratio.
    pub max_ratio: f64,
    /// Fraction of visited frames with a larger distance than 95 % of the reference frames have among themselves: about
    /// 0.05 without a shift.
    pub fraction_beyond: f64,
}

/// Computes the distances of `visited` frames from `reference` frames by their descriptors.
///
/// # Errors
/// [`MetricError::TooFew`] below one visited or three reference frames, [`MetricError::Length`] for frames of another
/// composition, [`MetricError::ZeroReference`] if all reference frames are equal.
pub fn distribution_shift(
    visited: &[Vec<f64>],
    reference: &[Vec<f64>],
) -> Result<DistributionShift, MetricError> {
    for (what, needed, found) in
        [("visited frames", 1, visited.len()), ("reference frames", 3, reference.len())]
    {
        if found < needed {
            return Err(MetricError::TooFew { what, needed, found });
        }
    }
    for other in visited.iter().chain(reference) {
        require_length("numbers of a descriptor", reference[0].len(), other.len())?;
    }
    let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt();
    let nearest = |to: &[f64], leave_out: Option<usize>| {
        let others = reference.iter().enumerate().filter(|(k, _)| Some(*k) != leave_out);
        others.map(|(_, r)| distance(to, r)).fold(f64::INFINITY, f64::min)
    };
    let own: Vec<f64> = reference.iter().enumerate().map(|(k, r)| nearest(r, Some(k))).collect();
    let (scale, far) = (percentile(&own, 50.0)?, percentile(&own, 95.0)?);
    if scale == 0.0 {
        return Err(MetricError::ZeroReference {
            what: "distance between reference frames",
            reference: scale,
        });
    }
    let away: Vec<f64> = visited.iter().map(|v| nearest(v, None)).collect();
    let ratios: Vec<f64> = away.iter().map(|d| d / scale).collect();
    Ok(DistributionShift {
        median_ratio: percentile(&ratios, 50.0)?,
        max_ratio: percentile(&ratios, 100.0)?,
        fraction_beyond: away.iter().filter(|d| **d > far).count() as f64 / away.len() as f64,
        ratios,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::tests::Noise;

    const WATER: [Element; 3] = [Element::O, Element::H, Element::H];

    fn water(noise: &mut Noise, stretch: f64) -> Vec<Vec3> {
        let shape = [Vec3::zeros(), Vec3::new(0.76, 0.59, 0.0), Vec3::new(-0.76, 0.59, 0.0)];
        shape.iter().map(|x| x * stretch + Vec3::from_fn(|_, _| 0.03 * noise.normal())).collect()
    }

    fn frames(seed: u64, n: usize, stretch: f64) -> Vec<Vec<f64>> {
        let mut noise = Noise(seed);
        (0..n).map(|_| descriptor(&WATER, &water(&mut noise, stretch)).unwrap()).collect()
    }

    #[test]
    fn descriptor_ignores_rigid_motion_and_atom_order() {
        let positions = water(&mut Noise(1), 1.0);
        let turn = nalgebra::Rotation3::new(Vec3::new(0.3, -1.0, 2.0));
        let moved: Vec<Vec3> = positions.iter().map(|x| turn * x + Vec3::repeat(5.0)).collect();
        let swapped = [moved[2], moved[0], moved[1]];
        let elements = [Element::H, Element::O, Element::H];
        let (a, b) = (descriptor(&WATER, &positions).unwrap(), descriptor(&elements, &swapped).unwrap());
        assert!(a.iter().zip(&b).all(|(x, y)| (x - y).abs() < 1e-12), "{a:?} {b:?}");
    }

    #[test]
    fn distribution_shift_detects_stretched_frames_only() {
        let reference = frames(1, 200, 1.0);
        let same = distribution_shift(&frames(2, 200, 1.0), &reference).unwrap();
        assert!((0.8..1.25).contains(&same.median_ratio), "{}", same.median_ratio);
        assert!((0.01..0.12).contains(&same.fraction_beyond), "{}", same.fraction_beyond);
        let stretched = distribution_shift(&frames(3, 50, 1.3), &reference).unwrap();
        assert!(stretched.median_ratio > 5.0 && stretched.fraction_beyond > 0.95, "{stretched:?}");
    }

    #[test]
    fn distribution_shift_rejects_incomparable_frames() {
        let reference = frames(1, 3, 1.0);
        assert!(matches!(distribution_shift(&[], &reference), Err(MetricError::TooFew { .. })));
        assert!(matches!(distribution_shift(&[vec![1.0]], &reference), Err(MetricError::Length { .. })));
        let same = vec![reference[0].clone(); 3];
        assert!(matches!(distribution_shift(&reference, &same), Err(MetricError::ZeroReference { .. })));
    }
}
