//! The message kernels: one cube per receiving atom, with its units over features and a loop over its neighbours.
//! Nothing is scattered, so results do not depend on the order of cubes. The formulae are those of the CPU version
//! (`native::fused::message`).

use cubecl::prelude::*;

use super::Edges;
use super::geometry::{ORDER, PER_EDGE, stored};
use super::gpu::{self, Buffer, Gpu, Number, tally};

/// Offsets of the weights for values and for derivatives in the data of an edge.
const VALUES: usize = 4;
const SLOPES: usize = VALUES + ORDER;

/// Interpolates the table column `entry` over six rows, with the weights in the edge data `g` from `weights` on.
#[cube]
fn look_up<F: Float + CubeElement>(
    table: &Array<F>,
    geometry: &Array<F>,
    entry: usize,
    g: usize,
    stride: usize,
    #[comptime] weights: usize,
) -> F {
    let mut sum = geometry[g + weights] * table[entry];
    #[unroll]
    for r in 1..ORDER {
        sum += geometry[g + weights + r] * table[entry + r * stride];
    }
    sum
}

/// Computes the features after the messages: s \[N, F\] and v \[N, 3F\] before them, plus the contributions of the
/// neighbours.
///
/// m \[N, `blocks` F\] and u \[N, 3F\] are sent; w₀, w₂, w₁ are concatenated in `table`. Before the first message there
/// is no u, and v is 0 (neither is read). Without `has_m2`, m₂ = 1.
#[cube(launch_unchecked)]
pub(super) fn message_forward<F: Float + CubeElement>(
    ran: &mut Array<u32>,
    count: &Array<u32>,
    neighbours: &Array<u32>,
    rows: &Array<u32>,
    geometry: &Array<F>,
    table: &Array<F>,
    m: &Array<F>,
    u: &Array<F>,
    s: &Array<F>,
    v: &Array<F>,
    s_out: &mut Array<F>,
    v_out: &mut Array<F>,
    atoms: usize,
    capacity: usize,
    width: usize,
    #[comptime] blocks: usize,
    #[comptime] has_u: bool,
    #[comptime] has_m2: bool,
) {
    tally(ran);
    let i = CUBE_POS;
    if i >= atoms {
        terminate!();
    }
    let parts = comptime!(if has_u { 3usize } else { 2usize });
    let stride = parts * width;
    let neighbours_of_i = stored(count[i], capacity);
    let mut k = UNIT_POS as usize;
    while k < width {
        let at = i * width + k;
        let mut scalar = s[at];
        let mut x = F::new(0.0);
        let mut y = F::new(0.0);
        let mut z = F::new(0.0);
        if has_u {
            x = v[3 * i * width + k];
            y = v[(3 * i + 1) * width + k];
            z = v[(3 * i + 2) * width + k];
        }
        for n in 0..neighbours_of_i {
            let e = i * capacity + n;
            let j = neighbours[e] as usize;
            let g = e * comptime!(PER_EDGE);
            let row = rows[e] as usize * stride + k;
            scalar += m[j * blocks * width + k] * look_up(table, geometry, row, g, stride, VALUES);
            let mut along = look_up(table, geometry, row + width, g, stride, VALUES);
            if has_m2 {
                along *= m[(j * blocks + 1) * width + k];
            }
            x += geometry[g] * along;
            y += geometry[g + 1] * along;
            z += geometry[g + 2] * along;
            if has_u {
                let w1 = look_up(table, geometry, row + 2 * width, g, stride, VALUES);
                x += u[3 * j * width + k] * w1;
                y += u[(3 * j + 1) * width + k] * w1;
                z += u[(3 * j + 2) * width + k] * w1;
            }
        }
        s_out[at] = scalar;
        v_out[3 * i * width + k] = x;
        v_out[(3 * i + 1) * width + k] = y;
        v_out[(3 * i + 2) * width + k] = z;
        k += CUBE_DIM as usize;
    }
}

/// Computes the gradient of [`message_forward`], given that with respect to s and v after it: with respect to
/// positions, whose negative is added to `forces` \[N, 3\]; and, if there is a u, with respect to m and u. If `keeps`
/// is true, these are s and v themselves, whose gradients `by_s` and `by_v` also pass through. Number of units of a
/// cube: `units`, a power of two.
#[cube(launch_unchecked)]
pub(super) fn message_backward<F: Float + CubeElement>(
    ran: &mut Array<u32>,
    count: &Array<u32>,
    neighbours: &Array<u32>,
    rows: &Array<u32>,
    geometry: &Array<F>,
    table: &Array<F>,
    m: &Array<F>,
    u: &Array<F>,
    by_s: &Array<F>,
    by_v: &Array<F>,
    by_m: &mut Array<F>,
    by_u: &mut Array<F>,
    forces: &mut Array<F>,
    atoms: usize,
    capacity: usize,
    width: usize,
    #[comptime] blocks: usize,
    #[comptime] has_u: bool,
    #[comptime] has_m2: bool,
    #[comptime] keeps: bool,
    #[comptime] units: usize,
) {
    tally(ran);
    let i = CUBE_POS;
    if i >= atoms {
        terminate!();
    }
    let parts = comptime!(if has_u { 3usize } else { 2usize });
    let stride = parts * width;
    let neighbours_of_i = stored(count[i], capacity);
    let mut fx = F::new(0.0);
    let mut fy = F::new(0.0);
    let mut fz = F::new(0.0);
    let mut k = UNIT_POS as usize;
    while k < width {
        let (x, y, z) = (3 * i * width + k, (3 * i + 1) * width + k, (3 * i + 2) * width + k);
        let g_i = by_s[i * width + k];
        let m0_i = m[i * blocks * width + k];
        let mut m2_i = F::new(1.0);
        if has_m2 {
            m2_i = m[(i * blocks + 1) * width + k];
        }
        let mut by_m0 = F::new(0.0);
        let mut by_m2 = F::new(0.0);
        let mut by_ux = F::new(0.0);
        let mut by_uy = F::new(0.0);
        let mut by_uz = F::new(0.0);
        if keeps {
            by_m0 = g_i;
            by_ux = by_v[x];
            by_uy = by_v[y];
            by_uz = by_v[z];
        }
        for n in 0..neighbours_of_i {
            let e = i * capacity + n;
            let j = neighbours[e] as usize;
            let g = e * comptime!(PER_EDGE);
            let (rx, ry, rz) = (geometry[g], geometry[g + 1], geometry[g + 2]);
            let row = rows[e] as usize * stride + k;
            let (jx, jy, jz) = (3 * j * width + k, (3 * j + 1) * width + k, (3 * j + 2) * width + k);
            let g_j = by_s[j * width + k];
            let slope0 = look_up(table, geometry, row, g, stride, SLOPES);
            let mut by_distance = (g_i * m[j * blocks * width + k] + g_j * m0_i) * slope0;
            // Through r̂ w₂.
            let mut m2_j = F::new(1.0);
            if has_m2 {
                m2_j = m[(j * blocks + 1) * width + k];
            }
            let qx = by_v[x] * m2_j - by_v[jx] * m2_i;
            let qy = by_v[y] * m2_j - by_v[jy] * m2_i;
            let qz = by_v[z] * m2_j - by_v[jz] * m2_i;
            let along = rx * qx + ry * qy + rz * qz;
            let w2 = look_up(table, geometry, row + width, g, stride, VALUES);
            by_distance += along * look_up(table, geometry, row + width, g, stride, SLOPES);
            if has_u {
                let w0 = look_up(table, geometry, row, g, stride, VALUES);
                by_m0 += g_j * w0;
                if has_m2 {
                    by_m2 -= (rx * by_v[jx] + ry * by_v[jy] + rz * by_v[jz]) * w2;
                }
                let w1 = look_up(table, geometry, row + 2 * width, g, stride, VALUES);
                by_ux += by_v[jx] * w1;
                by_uy += by_v[jy] * w1;
                by_uz += by_v[jz] * w1;
                let by_w1 = by_v[x] * u[jx]
                    + by_v[jx] * u[x]
                    + by_v[y] * u[jy]
                    + by_v[jy] * u[y]
                    + by_v[z] * u[jz]
                    + by_v[jz] * u[z];
                by_distance += by_w1 * look_up(table, geometry, row + 2 * width, g, stride, SLOPES);
            }
            let across = w2 * geometry[g + 3];
            let radial = by_distance - along * across;
            fx += radial * rx + qx * across;
            fy += radial * ry + qy * across;
            fz += radial * rz + qz * across;
        }
        if has_u {
            by_m[i * blocks * width + k] = by_m0;
            if has_m2 {
                by_m[(i * blocks + 1) * width + k] = by_m2;
            }
            by_u[x] = by_ux;
            by_u[y] = by_uy;
            by_u[z] = by_uz;
        }
        k += CUBE_DIM as usize;
    }
    let unit = UNIT_POS as usize;
    let mut sums = SharedMemory::<F>::new(comptime!(3 * units));
    sums[unit] = fx;
    sums[units + unit] = fy;
    sums[2 * units + unit] = fz;
    sync_cube();
    #[unroll]
    for round in 0..comptime!(units.ilog2() as usize) {
        let half = comptime!(units >> (round + 1));
        if unit < half {
            #[unroll]
            for c in 0..3usize {
                let other = sums[c * units + unit + half];
                sums[c * units + unit] += other;
            }
        }
        sync_cube();
    }
    if unit < 3 {
        forces[3 * i + unit] += sums[unit * units];
    }
}

/// The messages that atoms send.
pub(super) struct Messages<'a> {
    /// F, padded.
    pub(super) width: usize,
    /// w₀, w₂ and, if there is a u, w₁, concatenated.
    pub(super) table: &'a Buffer,
    /// m₀ and possibly m₂ and others, \[N, `blocks` F\].
    pub(super) m: &'a Buffer,
    pub(super) blocks: usize,
    /// Otherwise m₂ = 1.
    pub(super) has_m2: bool,
    pub(super) u: Option<&'a Buffer>,
    /// Whether m and u are s and v themselves.
    pub(super) is_own: bool,
}

impl Messages<'_> {
    /// Computes s and v after the messages. `v` is not read if there is no u.
    pub(super) fn message_forward<R: Runtime, T: Number>(
        &self,
        gpu: &Gpu<R, T>,
        edges: &Edges,
        s: &Buffer,
        v: &Buffer,
    ) -> [Buffer; 2] {
        let atoms = edges.count.len();
        let (s_out, v_out) = (gpu.numbers(s.len()), gpu.numbers(3 * s.len()));
        launch!(
            message_forward,
            gpu,
            gpu::cubes(atoms),
            CubeDim::new_1d(self.units() as u32),
            edges.count.arg(),
            edges.neighbours.arg(),
            edges.rows.arg(),
            edges.geometry.arg(),
            self.table.arg(),
            self.m.arg(),
            self.u.unwrap_or(gpu.none()).arg(),
            s.arg(),
            v.arg(),
            s_out.arg(),
            v_out.arg(),
            atoms,
            edges.capacity,
            self.width,
            self.blocks,
            self.u.is_some(),
            self.has_m2,
        );
        [s_out, v_out]
    }

    /// Computes the gradient with respect to m and u, if there is a u, given that with respect to s and v after the
    /// messages; the gradient with respect to positions is added to `forces`.
    pub(super) fn message_backward<R: Runtime, T: Number>(
        &self,
        gpu: &Gpu<R, T>,
        edges: &Edges,
        by_s: &Buffer,
        by_v: &Buffer,
        forces: &Buffer,
    ) -> Option<[Buffer; 2]> {
        let atoms = edges.count.len();
        let by_sent = self.u.map(|u| [gpu.numbers(self.m.len()), gpu.numbers(u.len())]);
        let (by_m, by_u) = by_sent.as_ref().map_or((gpu.none(), gpu.none()), |[by_m, by_u]| (by_m, by_u));
        launch!(
            message_backward,
            gpu,
            gpu::cubes(atoms),
            CubeDim::new_1d(self.units() as u32),
            edges.count.arg(),
            edges.neighbours.arg(),
            edges.rows.arg(),
            edges.geometry.arg(),
            self.table.arg(),
            self.m.arg(),
            self.u.unwrap_or(gpu.none()).arg(),
            by_s.arg(),
            by_v.arg(),
            by_m.arg(),
            by_u.arg(),
            forces.arg(),
            atoms,
            edges.capacity,
            self.width,
            self.blocks,
            self.u.is_some(),
            self.has_m2,
            self.is_own,
            self.units(),
        );
        by_sent
    }

    /// Number of units of a cube.
    fn units(&self) -> usize {
        self.width.next_power_of_two().min(256)
    }
}
