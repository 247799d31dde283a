//! A small seeded generator without dependencies that gives the same numbers on all machines.

use md_core::{Mat3, Vec3};

/// SplitMix64: 64 bits of state, period 2⁶⁴, any seed is valid. For probes, not for sampling ensembles.
///
/// G. L. Steele, D. Lea, C. H. Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014.
///
/// ```
/// use md_probe::random::SplitMix64;
/// // First output of the reference implementation (S. Vigna, splitmix64.c) from state 0.
/// assert_eq!(SplitMix64::new(0).next_u64(), 0xe220a8397b1dcdaf);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// Creates a generator from `seed`.
    pub fn new(seed: u64) -> Self {
        SplitMix64(seed)
    }

    /// Returns the next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e3779b97f4a7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
        z ^ (z >> 31)
    }

    /// Returns a uniform number in [0, 1), with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns a normal number with mean 0 and variance 1 (the cosine half of G. E. P. Box and M. E. Muller, Ann. Math.
    /// Statist. 29, 610 (1958)).
    pub fn normal(&mut self) -> f64 {
        // 1 - u is never 0.
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Returns a vector with each component uniform in [-half_width, half_width).
    pub fn in_cube(&mut self, half_width: f64) -> Vec3 {
        Vec3::from_fn(|_, _| (2.0 * self.uniform() - 1.0) * half_width)
    }

    /// Returns a uniformly distributed proper rotation: a unit quaternion by the method of K. Shoemake, *Uniform random
    /// rotations*, Graphics Gems III (1992).
    pub fn rotation(&mut self) -> Mat3 {
        let (u, a, b) = (self.uniform(), self.uniform(), self.uniform());
        let ((sa, ca), (sb, cb)) =
            ((a * std::f64::consts::TAU).sin_cos(), (b * std::f64::consts::TAU).sin_cos());
        let (r, s) = ((1.0 - u).sqrt(), u.sqrt());
        let (x, y, z, w) = (r * sa, r * ca, s * sb, s * cb);
        Mat3::new(
            1.0 - 2.0 * (y * y + z * z),
            2.0 * (x * y - z * w),
            2.0 * (x * z + y * w),
            2.0 * (x * y + z * w),
            1.0 - 2.0 * (x * x + z * z),
            2.0 * (y * z - x * w),
            2.0 * (x * z - y * w),
            2.0 * (y * z + x * w),
            1.0 - 2.0 * (x * x + y * y),
        )
    }

    /// Returns a uniformly distributed permutation of `0..n` (Fisher and Yates).
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, (self.uniform() * (i + 1) as f64) as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rotation_is_proper_and_orthogonal(seed: u64) {
            let rotation = SplitMix64::new(seed).rotation();
            prop_assert!((rotation * rotation.transpose() - Mat3::identity()).norm() < 1e-14);
            prop_assert!((rotation.determinant() - 1.0).abs() < 1e-14);
        }

        #[test]
        fn permutation_holds_every_index_once(seed: u64, n in 0usize..40) {
            let mut order = SplitMix64::new(seed).permutation(n);
            order.sort_unstable();
            prop_assert_eq!(order, (0..n).collect::<Vec<_>>());
        }
    }

    /// A uniform rotation maps any vector to a uniform direction: mean 0, mean square of a component 1/3.
    #[test]
    fn rotation_is_isotropic() {
        let mut random = SplitMix64::new(7);
        let n = 20_000;
        let (mut mean, mut square) = (Vec3::zeros(), Vec3::zeros());
        for _ in 0..n {
            let x = random.rotation() * Vec3::new(0.6, 0.0, 0.8);
            mean += x / f64::from(n);
            square += x.component_mul(&x) / f64::from(n);
        }
        // Five standard errors, which are sqrt(1/3 / n) = 0.0041 and sqrt(4/45 / n) = 0.0021.
        assert!(mean.amax() < 0.0205, "{mean}");
        assert!((square - Vec3::repeat(1.0 / 3.0)).amax() < 0.0105, "{square}");
    }
}
