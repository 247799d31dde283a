//! Pairs of atoms within a cutoff, open boundaries.

use crate::Vec3;

/// A pair of atoms, `i < j`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Index of the first atom.
    pub i: usize,
    /// Index of the second atom, larger than `i`.
    pub j: usize,
    /// `x_j - x_i` in Å.
    pub displacement: Vec3,
    /// Length of `displacement` in Å.
    pub distance: f64,
}

/// Calls `visit` for every pair with `distance <= cutoff` (Å), ordered by `i`, then `j`.
///
/// Each pair of atoms is looked at once: N(N-1)/2 distances.
///
/// ```
/// use md_core::{Vec3, neighbours};
/// let chain: Vec<Vec3> = (0..4).map(|i| Vec3::new(f64::from(i), 0.0, 0.0)).collect();
/// let mut pairs = Vec::new();
/// neighbours::for_each_pair(&chain, 1.5, |p| pairs.push((p.i, p.j)));
/// assert_eq!(pairs, [(0, 1), (1, 2), (2, 3)]);
/// ```
pub fn for_each_pair(positions: &[Vec3], cutoff: f64, mut visit: impl FnMut(Pair)) {
    let cutoff_squared = cutoff * cutoff;
    for (i, xi) in positions.iter().enumerate() {
        for (j, xj) in positions.iter().enumerate().skip(i + 1) {
            let displacement = xj - xi;
            let squared = displacement.norm_squared();
            if squared <= cutoff_squared {
                visit(Pair { i, j, displacement, distance: squared.sqrt() });
            }
        }
    }
}
