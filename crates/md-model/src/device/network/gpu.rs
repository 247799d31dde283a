//! A device, its arrays, and layers.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, Ordering};

use cubecl::Runtime;
use cubecl::bytes::Bytes;
use cubecl::client::ComputeClient;
use cubecl::future::block_on;
use cubecl::prelude::*;
use cubecl::server::Handle;

use super::dense::{self, SIDE, Then};
use crate::native::fused::dense::Dense;
use crate::native::matrix::Real;

/// Number of units of a cube if they are independent.
const UNITS: u32 = 128;

/// Maximum number of cubes along the first axis.
const CUBES: usize = 32_768;

/// Number of rows from which the cubes of a product are large: there are then enough of them to keep a GPU busy.
const MANY_ROWS: usize = 4096;

/// f32 or f64, on the host and on the device.
pub(super) trait Number: Real + Float + CubeElement {}

impl Number for f32 {}
impl Number for f64 {}

/// An array on the device.
#[derive(Debug, Clone)]
pub(super) struct Buffer {
    handle: Handle,
    len: usize,
}

impl Buffer {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn arg<R: Runtime>(&self) -> ArrayArg<R> {
        #[expect(unsafe_code, reason = "the library takes lengths on trust")]
        // SAFETY: `len` is the length with which the array was made.
        unsafe {
            ArrayArg::from_raw_parts(self.handle.clone(), self.len)
        }
    }
}

/// A device that computes in T.
pub(super) struct Gpu<R: Runtime, T> {
    pub(super) client: ComputeClient<R>,
    /// Name in reports.
    pub(super) implementation: &'static str,
    /// Memory for a call, bytes.
    pub(super) memory: usize,
    /// Placeholder for an argument that a kernel does not use.
    none: Buffer,
    /// Counter of the kernels that ran, incremented by them, and number of those launched.
    ran: Buffer,
    launched: AtomicU32,
    numbers: PhantomData<fn() -> T>,
}

impl<R: Runtime, T> fmt::Debug for Gpu<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu").field("implementation", &self.implementation).finish_non_exhaustive()
    }
}

/// First operation of every kernel.
#[cube]
pub(super) fn tally(ran: &mut Array<u32>) {
    if ABSOLUTE_POS == 0 {
        ran[0] += 1;
    }
}

/// Returns the launch configuration for `n` independent units: cubes, and units of a cube.
pub(super) fn over(n: usize) -> (CubeCount, CubeDim) {
    (cubes(n.div_ceil(UNITS as usize)), CubeDim::new_1d(UNITS))
}

/// Returns a grid of at least `n` cubes.
pub(super) fn cubes(n: usize) -> CubeCount {
    let across = n.clamp(1, CUBES);
    CubeCount::Static(across as u32, n.div_ceil(across) as u32, 1)
}

impl<R: Runtime, T: Number> Gpu<R, T> {
    pub(super) fn new(client: ComputeClient<R>, implementation: &'static str, memory: usize) -> Self {
        let none = Buffer { handle: client.create_from_slice(T::as_bytes(&[T::default()])), len: 1 };
        let ran = Buffer { handle: client.create_from_slice(u32::as_bytes(&[0])), len: 1 };
        let launched = AtomicU32::new(0);
        Gpu { client, implementation, memory, none, ran, launched, numbers: PhantomData }
    }

    pub(super) fn upload<E: CubeElement>(&self, values: &[E]) -> Buffer {
        Buffer { handle: self.client.create_from_slice(E::as_bytes(values)), len: values.len() }
    }

    pub(super) fn upload_rounded(&self, values: &[f64]) -> Buffer {
        let values: Vec<T> = values.iter().map(|&x| T::from_f64(x)).collect();
        self.upload(&values)
    }

    /// Allocates an uninitialised array.
    pub(super) fn reserve<E>(&self, len: usize) -> Buffer {
        Buffer { handle: self.client.empty(len * size_of::<E>()), len }
    }

    /// Allocates an uninitialised array of network values.
    pub(super) fn numbers(&self, len: usize) -> Buffer {
        self.reserve::<T>(len)
    }

    /// Waits for the device and reads the contents of arrays; an error if a kernel did not run.
    pub(super) fn read<const N: usize>(&self, buffers: [&Buffer; N]) -> Result<[Bytes; N], String> {
        let handles =
            buffers.iter().copied().chain([&self.ran]).map(|buffer| buffer.handle.clone()).collect();
        let mut read = block_on(self.client.read_async(handles)).map_err(|error| error.to_string())?;
        // The library reports no error if it cannot launch a kernel, for example for lack of memory.
        let ran = read.pop().and_then(|bytes| u32::from_bytes(&bytes).first().copied()).unwrap_or(0);
        let missing = self.launched.swap(ran, Ordering::Relaxed).wrapping_sub(ran);
        if missing != 0 {
            return Err(format!("{missing} kernels did not run (memory?)"));
        }
        read.try_into().map_err(|_| "the device returned too little".to_owned())
    }

    /// The counter that a kernel increments.
    pub(super) fn tally(&self) -> ArrayArg<R> {
        self.launched.fetch_add(1, Ordering::Relaxed);
        self.ran.arg()
    }

    /// An argument that the kernel does not use.
    pub(super) fn none(&self) -> &Buffer {
        &self.none
    }

    pub(super) fn zeros(&self, len: usize) -> Buffer {
        let zeros = self.numbers(len);
        let (cubes, units) = over(len);
        launch!(dense::clear, self, cubes, units, zeros.arg(), len);
        zeros
    }

    /// Copies rows of `width` numbers of a table.
    pub(super) fn rows(&self, table: &Buffer, indices: &Buffer, width: usize) -> Buffer {
        let n = indices.len * width;
        let out = self.numbers(n);
        let (cubes, units) = over(n);
        launch!(dense::rows, self, cubes, units, table.arg(), indices.arg(), out.arg(), width, n,);
        out
    }

    /// Computes x \[rows, k\] times b \[k, n\], with the operation on the result, into `out`.
    fn product(
        &self,
        x: &Buffer,
        b: &Buffer,
        [n, k]: [usize; 2],
        then: Then,
        operands: [&Buffer; 2],
        out: &Buffer,
    ) {
        let rows = x.len / k;
        let (tall, wide) = if rows < MANY_ROWS { (2 * SIDE, 2 * SIDE) } else { (8 * SIDE, 4 * SIDE) };
        let [bias, aside] = operands;
        launch!(
            dense::product,
            self,
            cubes(rows.div_ceil(tall) * n.div_ceil(wide)),
            CubeDim::new_2d(SIDE as u32, SIDE as u32),
            x.arg(),
            b.arg(),
            bias.arg(),
            aside.arg(),
            out.arg(),
            rows,
            n,
            k,
            tall,
            wide,
            then,
        );
    }
}

/// A layer.
#[derive(Debug)]
pub(super) struct Layer {
    n_in: usize,
    n_out: usize,
    /// \[in, out\]
    forwards: Buffer,
    /// \[out, in\]
    backwards: Buffer,
    /// \[out\]
    bias: Buffer,
}

impl Layer {
    pub(super) fn new<R: Runtime, T: Number>(gpu: &Gpu<R, T>, dense: &Dense<f64>) -> Self {
        Layer {
            n_in: dense.n_in,
            n_out: dense.n_out,
            forwards: gpu.upload_rounded(&dense.transposed),
            backwards: gpu.upload_rounded(&dense.weight),
            bias: if dense.bias.is_empty() { gpu.none.clone() } else { gpu.upload_rounded(&dense.bias) },
        }
    }

    fn after<R: Runtime, T: Number>(
        &self,
        gpu: &Gpu<R, T>,
        x: &Buffer,
        then: Then,
        aside: &Buffer,
    ) -> Buffer {
        let y = gpu.numbers(x.len / self.n_in * self.n_out);
        gpu.product(x, &self.forwards, [self.n_out, self.n_in], then, [&self.bias, aside], &y);
        y
    }

    /// x Wᵀ + b
    pub(super) fn apply<R: Runtime, T: Number>(&self, gpu: &Gpu<R, T>, x: &Buffer) -> Buffer {
        self.after(gpu, x, Then::Bias, &gpu.none)
    }

    /// x Wᵀ
    pub(super) fn apply_linear<R: Runtime, T: Number>(&self, gpu: &Gpu<R, T>, x: &Buffer) -> Buffer {
        self.after(gpu, x, Then::Store, &gpu.none)
    }

    /// silu(x Wᵀ + b), and its derivatives with respect to the argument.
    pub(super) fn apply_silu<R: Runtime, T: Number>(&self, gpu: &Gpu<R, T>, x: &Buffer) -> (Buffer, Buffer) {
        let slopes = gpu.numbers(x.len / self.n_in * self.n_out);
        let y = self.after(gpu, x, Then::Silu, &slopes);
        (y, slopes)
    }

    fn back<R: Runtime, T: Number>(
        &self,
        gpu: &Gpu<R, T>,
        by_y: &Buffer,
        then: Then,
        aside: &Buffer,
        by_x: &Buffer,
    ) {
        gpu.product(by_y, &self.backwards, [self.n_in, self.n_out], then, [&gpu.none, aside], by_x);
    }

    /// Computes the gradient with respect to x, given that with respect to y.
    pub(super) fn pull_back<R: Runtime, T: Number>(&self, gpu: &Gpu<R, T>, by_y: &Buffer) -> Buffer {
        let by_x = gpu.numbers(by_y.len / self.n_out * self.n_in);
        self.back(gpu, by_y, Then::Store, &gpu.none, &by_x);
        by_x
    }

    /// Computes the same, multiplied by `slopes`, which has the length of x.
    pub(super) fn pull_back_times<R: Runtime, T: Number>(
        &self,
        gpu: &Gpu<R, T>,
        by_y: &Buffer,
        slopes: &Buffer,
    ) -> Buffer {
        let by_x = gpu.numbers(slopes.len);
        self.back(gpu, by_y, Then::Multiply, slopes, &by_x);
        by_x
    }

    /// Computes the same, added to `by_x`.
    pub(super) fn pull_back_onto<R: Runtime, T: Number>(
        &self,
        gpu: &Gpu<R, T>,
        by_y: &Buffer,
        by_x: &Buffer,
    ) {
        self.back(gpu, by_y, Then::Add, &gpu.none, by_x);
    }

    /// Computes the energies of atoms with a layer of one output.
    pub(super) fn energies<R: Runtime, T: Number>(&self, gpu: &Gpu<R, T>, x: &Buffer) -> Buffer {
        let atoms = x.len / self.n_in;
        let energies = gpu.numbers(atoms);
        let (cubes, units) = over(atoms);
        launch!(
            dense::last_layer,
            gpu,
            cubes,
            units,
            x.arg(),
            self.backwards.arg(),
            self.bias.arg(),
            energies.arg(),
            self.n_in,
            atoms,
        );
        energies
    }

    /// Computes the gradient of the sum of [`Layer::energies`] with respect to the argument of the activation before
    /// it.
    pub(super) fn energies_back<R: Runtime, T: Number>(&self, gpu: &Gpu<R, T>, slopes: &Buffer) -> Buffer {
        let by_x = gpu.numbers(slopes.len);
        let (cubes, units) = over(slopes.len);
        launch!(
            dense::last_layer_back,
            gpu,
            cubes,
            units,
            self.backwards.arg(),
            slopes.arg(),
            by_x.arg(),
            self.n_in,
            slopes.len,
        );
        by_x
    }
}
