//! Reference energies of the elements, which explain most of the energies of molecules.

use std::collections::BTreeMap;

use md_core::Element;
use nalgebra::{DMatrix, DVector};

use crate::data::LabelledSystem;

/// Singular values below this fraction of the largest count as zero.
const RANK_TOLERANCE: f64 = 1e-10;

/// Computes the energies E₀ (eV) per element that minimise Σ_frames (E − Σ_atoms E₀)², or the shortest such vector if
/// the compositions do not determine it (as for a single molecule).
///
/// Keys are chemical symbols. The frames of one composition are one row √n (n_H, n_C, …) with the right-hand side √n
/// ⟨E⟩, which has the same minimum.
pub fn reference_energies<'a>(frames: impl IntoIterator<Item = &'a LabelledSystem>) -> BTreeMap<String, f64> {
    let mut rows: BTreeMap<BTreeMap<Element, usize>, (f64, f64)> = BTreeMap::new();
    for frame in frames {
        let mut composition = BTreeMap::new();
        for &element in frame.system.elements() {
            *composition.entry(element).or_default() += 1;
        }
        let (n, sum) = rows.entry(composition).or_default();
        *n += 1.0;
        *sum += frame.energy_ev;
    }
    let elements: Vec<Element> = {
        let mut all: Vec<Element> = rows.keys().flat_map(|composition| composition.keys().copied()).collect();
        all.sort();
        all.dedup();
        all
    };
    let compositions: Vec<_> = rows.iter().collect();
    let matrix = DMatrix::from_fn(compositions.len(), elements.len(), |row, column| {
        let (composition, (n, _)) = compositions[row];
        n.sqrt() * composition.get(&elements[column]).copied().unwrap_or(0) as f64
    });
    let energies = DVector::from_iterator(rows.len(), rows.values().map(|(n, sum)| sum / n.sqrt()));
    let svd = matrix.svd(true, true);
    let threshold = RANK_TOLERANCE * svd.singular_values.max();
    // The only possible error is that U or V were not computed.
    let solution = svd.solve(&energies, threshold).unwrap_or_else(|_| DVector::zeros(elements.len()));
    std::iter::zip(elements, &solution)
        .map(|(element, energy)| (element.symbol().to_owned(), *energy))
        .collect()
}

#[cfg(test)]
mod tests {
    use md_core::{System, Vec3};
    use proptest::prelude::*;

    use super::*;

    fn frame(symbols: &str, energy_ev: f64) -> LabelledSystem {
        let elements: Vec<Element> = symbols.chars().map(|c| c.to_string().parse().unwrap()).collect();
        let positions: Vec<Vec3> = (0..elements.len()).map(|i| Vec3::new(i as f64, 0.0, 0.0)).collect();
        LabelledSystem {
            forces: vec![Vec3::zeros(); elements.len()],
            system: System::new(elements, positions).unwrap(),
            energy_ev,
            molecule: symbols.to_owned(),
            trajectory: "0".to_owned(),
            kind: None,
            file: 0,
            number: 1,
        }
    }

    proptest! {
        #[test]
        fn reference_energies_recover_known_energies(h in -20.0..0.0, c in -1100.0..0.0, o in -2100.0..0.0) {
            let molecules = ["HHO", "CHHHH", "CO", "CCHHHHHHO", "HH"];
            let frames: Vec<_> = molecules
                .iter()
                .map(|symbols| {
                    let energy = symbols.chars().map(|s| match s { 'H' => h, 'C' => c, _ => o }).sum();
                    frame(symbols, energy)
                })
                .collect();
            let found = reference_energies(&frames);
            for (symbol, expected) in [("H", h), ("C", c), ("O", o)] {
                prop_assert!(f64::abs(found[symbol] - expected) < 1e-9, "{symbol}: {}", found[symbol]);
            }
        }
    }

    #[test]
    fn reference_energies_of_one_molecule_have_least_norm() {
        // 2 H + O = -500 on average: the shortest solution is along (2, 1), -500 (2, 1)/5.
        let found = reference_energies(&[frame("HHO", -501.0), frame("OHH", -499.0)]);
        assert!((found["H"] + 200.0).abs() < 1e-10 && (found["O"] + 100.0).abs() < 1e-10);
    }

    #[test]
    fn reference_energies_weight_molecules_by_frames() {
        // H alone, three times at 1 and once at 5 eV: the mean is 2.
        let found = reference_energies(&[frame("H", 1.0), frame("H", 1.0), frame("H", 1.0), frame("H", 5.0)]);
        assert!((found["H"] - 2.0).abs() < 1e-13);
        // H at 1 (three frames) and HH at 6 (one): minimise 3 (x - 1)² + (2x - 6)², x = (3 + 12)/(3 + 4).
        let found =
            reference_energies(&[frame("H", 1.0), frame("H", 1.0), frame("H", 1.0), frame("HH", 6.0)]);
        assert!((found["H"] - 15.0 / 7.0).abs() < 1e-13);
    }
}
