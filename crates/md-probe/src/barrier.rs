use super::ProbeError;

/// A fall of the energy smaller than this is no hole, eV: k_B T at 580 K. A shallower dip holds nothing.
pub const FALL_EV: f64 = 0.05;

/// The barrier on a path that begins in a minimum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Barrier {
    /// Highest energy above the start in front of the first fall of more than [`FALL_EV`], eV; without such a fall, of
    /// the whole path. NaN if an energy is.
    pub height_ev: f64,
    /// Bound of the error of the height, eV: by how much the energy changes over the last spacing.
    pub error_ev: f64,
    /// The first fall.
    pub fall: Option<Fall>,
}

/// A fall of the energy behind a barrier.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fall {
    /// Energy by which the lowest point behind the barrier lies below its top, eV.
    pub depth_ev: f64,
    /// Energy of that point above the start, eV.
    pub bottom_ev: f64,
    /// Place of the top, Å.
    pub top_angstrom: f64,
    /// Place of the lowest point, Å.
    pub bottom_angstrom: f64,
}

impl Barrier {
    /// The path has an energy that is not a number.
    const UNKNOWN: Barrier = Barrier { height_ev: f64::NAN, error_ev: f64::NAN, fall: None };

    /// Whether one barrier is lower than another; one that is not a number is lower than any.
    pub(crate) fn is_lower_than(&self, other: &Barrier) -> bool {
        match (self.height_ev.is_nan(), other.height_ev.is_nan()) {
            (false, false) => self.height_ev < other.height_ev,
            (unknown, _) => unknown,
        }
    }
}

/// A place (Å) and its energy (eV).
pub(crate) type Point = [f64; 2];

/// New points between two known ones, in each of the refinements of an extremum.
const BETWEEN: usize = 8;
const REFINEMENTS: usize = 3;

/// Finds the barrier on the path through `points`, the first of which is the start. `energies` asks for the energies at
/// more places, by which the extrema are refined, so that the spacing of the points does not decide.
///
/// # Errors
/// Those of `energies`.
pub(crate) fn climb(
    points: &[Point],
    mut energies: impl FnMut(&[f64]) -> Result<Vec<f64>, ProbeError>,
) -> Result<Barrier, ProbeError> {
    // Behind an infinite energy nothing can be reached.
    let end = points.iter().position(|p| p[1] == f64::INFINITY).unwrap_or(points.len());
    let points = &points[..end];
    if points.is_empty() || points.iter().any(|p| !p[1].is_finite()) {
        return Ok(Barrier::UNKNOWN);
    }
    let start_ev = points[0][1];
    let around = |k: usize| [points[k.saturating_sub(1)][0], points[(k + 1).min(points.len() - 1)][0]];
    let mut top = 0;
    let mut k = 1;
    while k < points.len() {
        if points[k][1] >= points[top][1] {
            top = k;
            k += 1;
            continue;
        }
        // The refined top may be higher, and the refined bottom lower: half the fall is worth a closer look.
        if points[top][1] - points[k][1] > 0.5 * FALL_EV {
            let behind = k..points.len();
            let over = behind.clone().find(|&n| points[n][1] > points[top][1]).unwrap_or(points.len());
            let bottom = (k..over).min_by(|&a, &b| points[a][1].total_cmp(&points[b][1])).unwrap_or(k);
            let (high, error_ev) = refined(points[top], around(top), 1.0, &mut energies)?;
            let (low, _) = refined(points[bottom], around(bottom), -1.0, &mut energies)?;
            let depth_ev = high[1] - low[1];
            if depth_ev.is_nan() {
                return Ok(Barrier::UNKNOWN);
            }
            if depth_ev > FALL_EV {
                return Ok(Barrier {
                    height_ev: high[1] - start_ev,
                    error_ev,
                    fall: Some(Fall {
                        depth_ev,
                        bottom_ev: low[1] - start_ev,
                        top_angstrom: high[0],
                        bottom_angstrom: low[0],
                    }),
                });
            }
            k = over;
            continue;
        }
        k += 1;
    }
    Ok(Barrier { height_ev: points[top][1] - start_ev, error_ev: 0.0, fall: None })
}

/// Returns the extremum near a point, the highest (`sign` 1) or lowest (-1) within a range, and by how much the energy
/// differs from it one spacing away, which bounds its error.
pub(crate) fn refined(
    known: Point,
    range: [f64; 2],
    sign: f64,
    mut energies: impl FnMut(&[f64]) -> Result<Vec<f64>, ProbeError>,
) -> Result<(Point, f64), ProbeError> {
    let (mut best, mut range) = (known, range);
    for _ in 0..REFINEMENTS {
        let step = (range[1] - range[0]) / BETWEEN as f64;
        let places: Vec<f64> = (1..BETWEEN).map(|k| range[0] + step * k as f64).collect();
        for (place, energy) in places.iter().zip(energies(&places)?) {
            if energy.is_nan() {
                return Ok(([*place, f64::NAN], f64::NAN));
            }
            if sign * energy > sign * best[1] {
                best = [*place, energy];
            }
        }
        range = [best[0] - step, best[0] + step];
    }
    let beside = energies(&range)?.into_iter().map(|energy| (energy - best[1]).abs());
    Ok((best, beside.fold(0.0, f64::max)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(energy: impl Fn(f64) -> f64, spacing: f64) -> Barrier {
        let points: Vec<Point> =
            (0..).map(|k| spacing * f64::from(k)).take_while(|s| *s <= 3.0).map(|s| [s, energy(s)]).collect();
        climb(&points, |places| Ok(places.iter().map(|s| energy(*s)).collect())).unwrap()
    }

    /// A barrier of exactly 0.3 eV at 1 Å, between minima of 0 and -0.2 eV, at any spacing.
    #[test]
    fn climb_refines_extrema_between_points() {
        let energy = |s: f64| {
            let wave = (std::f64::consts::PI * s).cos();
            if s < 1.0 { 0.15 - 0.15 * wave } else { 0.05 - 0.25 * wave }
        };
        for spacing in [0.01, 0.07, 0.13] {
            let found = of(energy, spacing);
            let fall = found.fall.unwrap();
            assert!((found.height_ev - 0.3).abs() < 1e-4 && found.error_ev < 1e-3, "{spacing}: {found:?}");
            assert!((fall.top_angstrom - 1.0).abs() < 0.01, "{spacing}: {found:?}");
            assert!((fall.depth_ev - 0.5).abs() < 1e-3 && (fall.bottom_ev + 0.2).abs() < 1e-3, "{found:?}");
        }
    }

    #[test]
    fn climb_passes_dips_that_hold_nothing() {
        let found = of(|s| s + 0.04 * (20.0 * s).sin() * (2.0 - s).max(0.0), 0.03);
        assert_eq!(found.fall, None);
        assert!((found.height_ev - 3.0).abs() < 0.05, "{found:?}");
    }

    #[test]
    fn climb_is_unknown_after_nan_and_ends_at_infinity() {
        assert!(of(|s| if s > 2.0 { f64::NAN } else { s }, 0.03).height_ev.is_nan());
        let wall = of(|s| if s > 2.0 { f64::INFINITY } else { s }, 0.03);
        assert!((wall.height_ev - 2.0).abs() < 0.04 && wall.fall.is_none(), "{wall:?}");
        assert!(Barrier::UNKNOWN.is_lower_than(&wall) && !wall.is_lower_than(&Barrier::UNKNOWN));
    }
}
