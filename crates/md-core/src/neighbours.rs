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

/// Number of atoms up to which a loop over all pairs is faster than cells.
const FEW: usize = 200;

/// Calls `visit` for every pair with `distance <= cutoff` (Å), ordered by `i`, then `j`.
///
/// The cost is linear in the number of atoms: above a few hundred atoms it uses cell lists (M. P. Allen, D. J.
/// Tildesley, Computer Simulation of Liquids, ch. 5.3). An atom whose position is not finite has no neighbours.
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
    let pair = |i: usize, j: usize| {
        let displacement = positions[j] - positions[i];
        let squared = displacement.norm_squared();
        (squared <= cutoff_squared).then(|| Pair { i, j, displacement, distance: squared.sqrt() })
    };
    if positions.len() <= FEW {
        for i in 0..positions.len() {
            for j in i + 1..positions.len() {
                if let Some(pair) = pair(i, j) {
                    visit(pair);
                }
            }
        }
        return;
    }
    let cells = Cells::new(positions, cutoff);
    let mut of_atom = Vec::new();
    for (i, x) in positions.iter().enumerate() {
        of_atom.clear();
        for run in cells.around(x) {
            of_atom.extend(run.iter().filter(|&&j| j > i).filter_map(|&j| pair(i, j)));
        }
        of_atom.sort_unstable_by_key(|pair| pair.j);
        of_atom.iter().copied().for_each(&mut visit);
    }
}

/// Atoms sorted into the cells of a grid, each at least as wide as the cutoff.
struct Cells {
    origin: Vec3,
    per_angstrom: Vec3,
    counts: [usize; 3],
    /// Index in `atoms` of the first atom of each cell, then the end of the last cell.
    starts: Vec<usize>,
    atoms: Vec<usize>,
}

impl Cells {
    fn new(positions: &[Vec3], cutoff: f64) -> Self {
        let is_finite = |x: &&Vec3| x.iter().all(|c| c.is_finite());
        let (low, high) = positions
            .iter()
            .filter(is_finite)
            .fold((Vec3::repeat(f64::INFINITY), Vec3::repeat(f64::NEG_INFINITY)), |(low, high), x| {
                (low.inf(x), high.sup(x))
            });
        let extent = (high - low).map(|d| d.max(0.0));
        // There are at most as many cells as atoms, however far apart the atoms are.
        let mut edge = cutoff.max(f64::MIN_POSITIVE);
        let along = |edge: f64| extent.map(|d| (d / edge).floor().max(1.0));
        while along(edge).product() > positions.len() as f64 {
            edge *= 1.25;
        }
        let counts = along(edge);
        let mut cells = Cells {
            origin: low,
            per_angstrom: counts.zip_map(&extent, |n, d| if n > 1.0 { n / d } else { 0.0 }),
            counts: [counts.x as usize, counts.y as usize, counts.z as usize],
            starts: vec![0; counts.product() as usize + 1],
            atoms: Vec::new(),
        };
        let finite = || positions.iter().enumerate().filter(|(_, x)| is_finite(x));
        let of_atoms: Vec<(usize, usize)> = finite().map(|(i, x)| (i, cells.number(cells.cell(x)))).collect();
        for &(_, cell) in &of_atoms {
            cells.starts[cell + 1] += 1;
        }
        for cell in 1..cells.starts.len() {
            cells.starts[cell] += cells.starts[cell - 1];
        }
        let mut next = cells.starts.clone();
        cells.atoms = vec![0; of_atoms.len()];
        for (i, cell) in of_atoms {
            cells.atoms[next[cell]] = i;
            next[cell] += 1;
        }
        cells
    }

    fn cell(&self, x: &Vec3) -> [usize; 3] {
        let place = (x - self.origin).component_mul(&self.per_angstrom);
        // The conversion saturates, at 0 for NaN.
        std::array::from_fn(|c| (place[c] as usize).min(self.counts[c] - 1))
    }

    fn number(&self, [x, y, z]: [usize; 3]) -> usize {
        (x * self.counts[1] + y) * self.counts[2] + z
    }

    /// Returns the atoms of the cell of `x` and of its neighbour cells, in slices.
    fn around(&self, x: &Vec3) -> impl Iterator<Item = &[usize]> {
        let cell = self.cell(x);
        let near = move |c: usize| cell[c].saturating_sub(1)..(cell[c] + 2).min(self.counts[c]);
        near(0).flat_map(move |x| {
            near(1).map(move |y| {
                let z = near(2);
                let (first, last) = (self.number([x, y, z.start]), self.number([x, y, z.end - 1]));
                &self.atoms[self.starts[first]..self.starts[last + 1]]
            })
        })
    }
}
