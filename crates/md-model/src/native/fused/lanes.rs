//! Vector instructions: rows of numbers as rows of CPU registers, with the pulp crate.
//!
//! A loop uses all vector instructions of the CPU only within [`vectorised`], and only if everything it calls is
//! inlined: hence plain `for` loops there, without closures.

use std::ops::{Add, Div, Mul, Sub};

use pulp::Simd;

/// Rows are padded to a multiple of this many numbers: at least one register of the widest kind.
pub(super) const LANES: usize = 16;

/// Rounds `n` up to whole registers.
pub(crate) fn padded(n: usize) -> usize {
    n.next_multiple_of(LANES)
}

/// Defines a function whose body is compiled for each kind of vector instructions, one of which is selected at run
/// time. `$simd` is the kind; `'a` is the lifetime of all references.
macro_rules! vectorised {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident<$a:lifetime, $t:ident>($simd:ident; $($argument:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$attribute])*
        $visibility fn $name<$a, $t: crate::native::matrix::Real>($($argument: $type),*) {
            struct Kernel<$a, $t> {
                $($argument: $type,)*
                data: std::marker::PhantomData<&$a $t>,
            }
            impl<$a, $t: crate::native::matrix::Real> pulp::WithSimd for Kernel<$a, $t> {
                type Output = ();
                #[inline(always)]
                fn with_simd<S: pulp::Simd>(self, $simd: S) {
                    let Kernel { $($argument,)* data: _ } = self;
                    $body
                }
            }
            pulp::Arch::new().dispatch(Kernel { $($argument,)* data: std::marker::PhantomData });
        }
    };
}
pub(super) use vectorised;

/// The functions that pulp names by type.
pub(crate) trait Registers: Copy {
    type Of<S: Simd>: Copy;
    fn registers<S: Simd>(x: &[Self]) -> &[Self::Of<S>];
    fn registers_mut<S: Simd>(x: &mut [Self]) -> &mut [Self::Of<S>];
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Of<S>;
    fn add<S: Simd>(simd: S, a: Self::Of<S>, b: Self::Of<S>) -> Self::Of<S>;
    fn sub<S: Simd>(simd: S, a: Self::Of<S>, b: Self::Of<S>) -> Self::Of<S>;
    fn mul<S: Simd>(simd: S, a: Self::Of<S>, b: Self::Of<S>) -> Self::Of<S>;
    fn div<S: Simd>(simd: S, a: Self::Of<S>, b: Self::Of<S>) -> Self::Of<S>;
    fn mul_add<S: Simd>(simd: S, a: Self::Of<S>, b: Self::Of<S>, c: Self::Of<S>) -> Self::Of<S>;
    fn max<S: Simd>(simd: S, a: Self::Of<S>, b: Self::Of<S>) -> Self::Of<S>;
    fn sqrt<S: Simd>(simd: S, a: Self::Of<S>) -> Self::Of<S>;
    fn sum<S: Simd>(simd: S, a: Self::Of<S>) -> Self;
}

macro_rules! registers {
    ($type:ty, $registers:ident, $slice:ident, $slice_mut:ident, $splat:ident, $add:ident, $sub:ident, $mul:ident, $div:ident,
     $mul_add:ident, $max:ident, $sqrt:ident, $sum:ident) => {
        impl Registers for $type {
            type Of<S: Simd> = S::$registers;
            #[inline(always)]
            fn registers<S: Simd>(x: &[Self]) -> &[S::$registers] {
                S::$slice(x).0
            }
            #[inline(always)]
            fn registers_mut<S: Simd>(x: &mut [Self]) -> &mut [S::$registers] {
                S::$slice_mut(x).0
            }
            #[inline(always)]
            fn splat<S: Simd>(simd: S, x: Self) -> S::$registers {
                simd.$splat(x)
            }
            #[inline(always)]
            fn add<S: Simd>(simd: S, a: S::$registers, b: S::$registers) -> S::$registers {
                simd.$add(a, b)
            }
            #[inline(always)]
            fn sub<S: Simd>(simd: S, a: S::$registers, b: S::$registers) -> S::$registers {
                simd.$sub(a, b)
            }
            #[inline(always)]
            fn mul<S: Simd>(simd: S, a: S::$registers, b: S::$registers) -> S::$registers {
                simd.$mul(a, b)
            }
            #[inline(always)]
            fn div<S: Simd>(simd: S, a: S::$registers, b: S::$registers) -> S::$registers {
                simd.$div(a, b)
            }
            #[inline(always)]
            fn mul_add<S: Simd>(
                simd: S,
                a: S::$registers,
                b: S::$registers,
                c: S::$registers,
            ) -> S::$registers {
                simd.$mul_add(a, b, c)
            }
            #[inline(always)]
            fn max<S: Simd>(simd: S, a: S::$registers, b: S::$registers) -> S::$registers {
                simd.$max(a, b)
            }
            #[inline(always)]
            fn sqrt<S: Simd>(simd: S, a: S::$registers) -> S::$registers {
                simd.$sqrt(a)
            }
            #[inline(always)]
            fn sum<S: Simd>(simd: S, a: S::$registers) -> Self {
                simd.$sum(a)
            }
        }
    };
}
registers!(
    f32,
    f32s,
    as_simd_f32s,
    as_mut_simd_f32s,
    splat_f32s,
    add_f32s,
    sub_f32s,
    mul_f32s,
    div_f32s,
    mul_add_e_f32s,
    max_f32s,
    sqrt_f32s,
    reduce_sum_f32s
);
registers!(
    f64,
    f64s,
    as_simd_f64s,
    as_mut_simd_f64s,
    splat_f64s,
    add_f64s,
    sub_f64s,
    mul_f64s,
    div_f64s,
    mul_add_e_f64s,
    max_f64s,
    sqrt_f64s,
    reduce_sum_f64s
);

/// One register.
#[derive(Clone, Copy)]
pub(super) struct Lanes<S: Simd, T: Registers> {
    simd: S,
    x: T::Of<S>,
}

impl<S: Simd, T: Registers> Lanes<S, T> {
    /// Sets every lane to the same number.
    #[inline(always)]
    pub(super) fn splat(simd: S, x: T) -> Self {
        Lanes { simd, x: T::splat(simd, x) }
    }

    /// Computes self · a + b.
    #[inline(always)]
    pub(super) fn mul_add(self, a: Self, b: Self) -> Self {
        Lanes { simd: self.simd, x: T::mul_add(self.simd, self.x, a.x, b.x) }
    }

    #[inline(always)]
    pub(super) fn max(self, a: Self) -> Self {
        Lanes { simd: self.simd, x: T::max(self.simd, self.x, a.x) }
    }

    #[inline(always)]
    pub(super) fn sqrt(self) -> Self {
        Lanes { simd: self.simd, x: T::sqrt(self.simd, self.x) }
    }

    /// Sums the lanes.
    #[inline(always)]
    pub(super) fn sum(self) -> T {
        T::sum(self.simd, self.x)
    }
}

macro_rules! operator {
    ($trait:ident, $function:ident) => {
        impl<S: Simd, T: Registers> $trait for Lanes<S, T> {
            type Output = Self;
            #[inline(always)]
            fn $function(self, other: Self) -> Self {
                Lanes { simd: self.simd, x: T::$function(self.simd, self.x, other.x) }
            }
        }
    };
}
operator!(Add, add);
operator!(Sub, sub);
operator!(Mul, mul);
operator!(Div, div);

/// Computes x · y of two vectors.
#[inline(always)]
pub(super) fn dot<S: Simd, T: Registers>(x: [Lanes<S, T>; 3], y: [Lanes<S, T>; 3]) -> Lanes<S, T> {
    x[0].mul_add(y[0], x[1].mul_add(y[1], x[2] * y[2]))
}

/// A row of numbers.
#[derive(Clone, Copy)]
pub(super) struct Row<'a, S: Simd, T: Registers> {
    simd: S,
    x: &'a [T::Of<S>],
}

impl<'a, S: Simd, T: Registers> Row<'a, S, T> {
    /// Returns the numbers `from..from + width`.
    #[inline(always)]
    pub(super) fn new(simd: S, x: &'a [T], from: usize, width: usize) -> Self {
        Row { simd, x: T::registers::<S>(&x[from..from + width]) }
    }

    /// Truncates the row to `n` registers, so that no bounds checks are needed.
    #[inline(always)]
    pub(super) fn cut(self, n: usize) -> Self {
        Row { simd: self.simd, x: &self.x[..n] }
    }

    #[inline(always)]
    pub(super) fn len(self) -> usize {
        self.x.len()
    }

    #[inline(always)]
    pub(super) fn get(self, k: usize) -> Lanes<S, T> {
        Lanes { simd: self.simd, x: self.x[k] }
    }
}

/// A mutable row of numbers.
pub(super) struct RowMut<'a, S: Simd, T: Registers> {
    simd: S,
    x: &'a mut [T::Of<S>],
}

impl<'a, S: Simd, T: Registers> RowMut<'a, S, T> {
    /// Returns all of `x` as `n` registers.
    #[inline(always)]
    pub(super) fn new(simd: S, x: &'a mut [T], n: usize) -> Self {
        RowMut { simd, x: &mut T::registers_mut::<S>(x)[..n] }
    }

    #[inline(always)]
    pub(super) fn get(&self, k: usize) -> Lanes<S, T> {
        Lanes { simd: self.simd, x: self.x[k] }
    }

    #[inline(always)]
    pub(super) fn set(&mut self, k: usize, x: Lanes<S, T>) {
        self.x[k] = x.x;
    }
}

/// Returns the three components of a vector feature from a row of 3F.
#[inline(always)]
pub(super) fn components<S: Simd, T: Registers>(
    simd: S,
    x: &[T],
    atom: usize,
    f: usize,
) -> [Row<'_, S, T>; 3] {
    let row = |c: usize| Row::new(simd, x, (3 * atom + c) * f, f);
    [row(0), row(1), row(2)]
}

/// Returns the same components mutably.
#[inline(always)]
pub(super) fn components_mut<S: Simd, T: Registers>(simd: S, x: &mut [T], n: usize) -> [RowMut<'_, S, T>; 3] {
    let f = x.len() / 3;
    let (x, rest) = x.split_at_mut(f);
    let (y, z) = rest.split_at_mut(f);
    [RowMut::new(simd, x, n), RowMut::new(simd, y, n), RowMut::new(simd, z, n)]
}

/// Returns rows `i` and `j` of `width` numbers each, i < j.
#[inline(always)]
pub(super) fn two_rows<T>(x: &mut [T], i: usize, j: usize, width: usize) -> (&mut [T], &mut [T]) {
    let (before, from_j) = x.split_at_mut(j * width);
    (&mut before[i * width..(i + 1) * width], &mut from_j[..width])
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    vectorised! {
        fn numbers_in_a_register<'a, T>(_simd; found: &'a mut usize, _of: &'a T) {
            *found = size_of::<T::Of<S>>() / size_of::<T>();
        }
    }

    /// Features of the pulp crate determine the kinds compiled in: without one, loops become slow without a warning.
    #[test]
    fn register_width_matches_cpu_features() {
        let mut found = 0;
        numbers_in_a_register(&mut found, &0.0f32);
        let expected = if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
            16
        } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            8
        } else {
            1
        };
        assert_eq!(found, expected);
    }
}
