use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Stage;

/// Selects which of several measurements on one molecule is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// The largest.
    Largest,
    /// The smallest.
    Smallest,
}

/// Whether a gate is measured on the control. The control identifies its molecules by the order of their atoms and
/// rejects other systems (permutations, two molecules, pairs); it has one implementation and was not fitted to
/// frequencies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Control {
    Asked,
    Exempt,
}

/// Barriers in molecules are looked for up to this energy above the minimum, eV. It is crossed once in a second at 1160 K.
const BARRIER_CEILING_EV: f64 = 3.0;

struct Row {
    name: &'static str,
    unit: &'static str,
    stage: Stage,
    counts: Counts,
    control: Control,
}

/// Defines the gates: identifier, name in `results.json`, unit, stage that measures the gate, selection among several
/// measurements, and whether the gate is measured on the control.
macro_rules! gates {
    ($($id:ident, $name:literal, $unit:literal, $stage:ident, $counts:ident, $control:ident;)*) => {
        /// Identifier of a property of the energy surface, serialised as its name in `results.json`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum GateId {
            $(
                #[doc = concat!("`", $name, "`, in ", $unit, ".")]
                $id,
            )*
        }

        impl GateId {
            /// All gates.
            pub const ALL: &'static [GateId] = &[$(GateId::$id),*];

            const fn row(self) -> Row {
                match self {
                    $(GateId::$id => Row {
                        name: $name,
                        unit: $unit,
                        stage: Stage::$stage,
                        counts: Counts::$counts,
                        control: Control::$control,
                    },)*
                }
            }
        }
    };
}

gates! {
    Repeatability, "repeatability_energy", "eV, eV/Å", Gates, Largest, Asked;
    ForceGradient, "force_gradient", "eV/Å", Gates, Largest, Asked;
    StructureGradient, "structure_gradient", "eV/Å", Gates, Largest, Asked;
    LoopWork, "loop_work", "eV", Gates, Largest, Asked;
    Kink, "kink", "eV/Å", Gates, Largest, Asked;
    RotationEnergy, "rotation_energy", "eV", Gates, Largest, Asked;
    RotationForce, "rotation_force", "eV/Å", Gates, Largest, Asked;
    ReflectionEnergy, "reflection_energy", "eV", Gates, Largest, Asked;
    TranslationEnergy, "translation_energy", "eV", Gates, Largest, Asked;
    TranslationForce, "translation_force", "eV/Å", Gates, Largest, Asked;
    PermutationEnergy, "permutation_energy", "eV", Gates, Largest, Exempt;
    PermutationForce, "permutation_force", "eV/Å", Gates, Largest, Exempt;
    ExtensivityEnergy, "extensivity_energy", "eV", Gates, Largest, Exempt;
    ExtensivityForce, "extensivity_force", "eV/Å", Gates, Largest, Exempt;
    NetForce, "net_force", "eV/Å", Gates, Largest, Asked;
    NetTorque, "net_torque", "eV", Gates, Largest, Asked;
    RayEnergyJump, "ray_energy_jump", "eV", Gates, Largest, Asked;
    RayForceJump, "ray_force_jump", "eV/Å", Gates, Largest, Asked;
    DimerEnergyJump, "dimer_energy_jump", "eV", Gates, Largest, Exempt;
    DimerForceJump, "dimer_force_jump", "eV/Å", Gates, Largest, Exempt;
    DimerWall, "dimer_wall", "eV", Gates, Smallest, Exempt;
    DimerHole, "dimer_hole", "eV", Gates, Largest, Exempt;
    DimerDeepHole, "dimer_deep_hole", "eV", Gates, Largest, Exempt;
    DimerFlips, "dimer_flips", "", Gates, Largest, Exempt;
    DimerTortuosity, "dimer_tortuosity", "", Gates, Largest, Exempt;
    BondBarrier, "bond_barrier", "eV", Minimum, Smallest, Exempt;
    ContactBarrier, "contact_barrier", "eV", Minimum, Smallest, Exempt;
    PrecisionForce, "precision_force", "eV/Å", Gates, Largest, Asked;
    PrecisionDrift, "precision_drift", "meV/atom/ps", Gates, Largest, Asked;
    EquivalenceEnergy, "equivalence_energy", "eV", Gates, Largest, Exempt;
    EquivalenceForce, "equivalence_force", "eV/Å", Gates, Largest, Exempt;
    RelaxedBonds, "relaxed_bonds", "Å", Minimum, Largest, Asked;
    ImaginaryMode, "imaginary_mode", "1/cm", Minimum, Largest, Asked;
    HessianAsymmetry, "hessian_asymmetry", "eV/Å²", Minimum, Largest, Asked;
    FrequencyError, "frequency_error", "%", Minimum, Largest, Exempt;
}

impl GateId {
    /// Returns the name in `results.json`, such as `rotation_energy`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Returns the unit of the values.
    pub const fn unit(self) -> &'static str {
        self.row().unit
    }

    /// Returns the stage that measures the gate.
    pub fn stage(self) -> Stage {
        self.row().stage
    }

    /// Returns which of several measurements on one molecule is reported.
    pub fn counts(self) -> Counts {
        self.row().counts
    }

    /// Returns the energy up to which a barrier is looked for, eV: this value means that none was found.
    pub const fn ceiling_ev(self) -> Option<f64> {
        match self {
            GateId::BondBarrier | GateId::ContactBarrier => Some(BARRIER_CEILING_EV),
            _ => None,
        }
    }

    /// Whether the gate is measured on the control.
    pub const fn is_asked_of_control(self) -> bool {
        matches!(self.row().control, Control::Asked)
    }
}

impl fmt::Display for GateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for GateId {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = GateId::ALL.iter().copied().find(|id| id.name() == name);
        found.ok_or_else(|| format!("there is no gate '{name}': a newer mdproof may have written it"))
    }
}

impl TryFrom<String> for GateId {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl From<GateId> for String {
    fn from(id: GateId) -> Self {
        id.name().to_owned()
    }
}

/// A property of the energy surface, measured on one molecule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Identifier of the property.
    pub id: GateId,
    /// Model.
    pub model: String,
    /// Molecule, or [`ELEMENT_PAIRS`](crate::ELEMENT_PAIRS) for a property of the model alone.
    pub molecule: String,
    /// Measured value; absent when it was not finite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Error of the measurement itself, where known.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "crate::nan::read")]
    pub standard_error: Option<f64>,
    /// Unit.
    pub unit: String,
    /// Where the value was found: a frame, a pair of elements or a distance.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Reason why there is nothing to measure, if so: a model with a single implementation cannot be compared with
    /// another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_applicable: Option<String>,
}

impl Gate {
    /// Creates a measurement with its own error (NaN where unknown), both in the unit of the gate. A non-finite value
    /// counts as the worst.
    pub fn new(id: GateId, model: &str, molecule: &str, value: f64, error: f64, detail: &str) -> Self {
        Gate {
            id,
            model: model.to_owned(),
            molecule: molecule.to_owned(),
            value: Some(value).filter(|v| v.is_finite()),
            standard_error: Some(error).filter(|e| e.is_finite()),
            unit: id.unit().to_owned(),
            detail: detail.to_owned(),
            not_applicable: None,
        }
    }

    /// Creates a gate that is not applicable, with the reason.
    pub fn not_applicable(id: GateId, model: &str, molecule: &str, reason: &str) -> Self {
        let nothing = Gate::new(id, model, molecule, f64::NAN, f64::NAN, "");
        Gate { not_applicable: Some(reason.to_owned()), ..nothing }
    }

    /// Returns the worse of two measurements of one gate on one molecule.
    ///
    /// The largest of several uncertain values lies between their largest lower bound and their largest upper bound, the
    /// smallest between the smallest bounds. If these bounds come from different measurements, the result is known only to
    /// that interval.
    #[must_use]
    pub fn worse(self, other: Gate) -> Gate {
        if other.not_applicable.is_some() {
            return self;
        }
        if self.not_applicable.is_some() {
            return other;
        }
        // An absent value was not finite, which is the worst.
        let (Some(value), Some(new)) = (self.value, other.value) else {
            return if self.value.is_none() { self } else { other };
        };
        // The smallest is the largest with the other sign.
        let sign = if self.id.counts() == Counts::Smallest { -1.0 } else { 1.0 };
        let (value, new) = (sign * value, sign * new);
        let (error, new_error) = (self.standard_error.unwrap_or(0.0), other.standard_error.unwrap_or(0.0));
        let (low, high) = (value - error, value + error);
        let (new_low, new_high) = (new - new_error, new + new_error);
        if low >= new_low && high >= new_high {
            return self;
        }
        if new_low >= low && new_high >= high {
            return other;
        }
        let (low, high) = (low.max(new_low), high.max(new_high));
        let detail = if new > value { other.detail } else { self.detail.clone() };
        Gate {
            value: Some(sign * 0.5 * (low + high)),
            standard_error: Some(0.5 * (high - low)),
            detail,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(id: GateId, value: f64, error: f64, detail: &str) -> Gate {
        Gate::new(id, "m", "water", value, error, detail)
    }

    #[test]
    fn worse_keeps_interval_holding_the_largest() {
        let mut known = gate(GateId::Kink, 2.0, 0.5, "a");
        let mut add = |value: f64, error: f64, detail: &str| {
            known = known.clone().worse(gate(GateId::Kink, value, error, detail));
            (known.value, known.standard_error, known.detail.clone())
        };
        assert_eq!(add(1.0, 0.25, "b"), (Some(2.0), Some(0.5), "a".to_owned()));
        assert_eq!(add(4.0, 0.5, "c"), (Some(4.0), Some(0.5), "c".to_owned()));
        // The other value may be as large as 9, and the largest is at least 3.5.
        assert_eq!(add(3.0, 6.0, "d"), (Some(6.25), Some(2.75), "c".to_owned()));
        assert_eq!(add(7.0, f64::NAN, "e"), (Some(8.0), Some(1.0), "e".to_owned()));
        assert_eq!(add(f64::NAN, 1.0, "f"), (None, Some(1.0), "f".to_owned()));
        assert_eq!(add(9.0, 1.0, "g"), (None, Some(1.0), "f".to_owned()));
    }

    #[test]
    fn worse_keeps_smallest_for_at_least_gates() {
        let of = |values: [f64; 3]| {
            values
                .map(|v| gate(GateId::DimerWall, v, f64::NAN, ""))
                .into_iter()
                .reduce(Gate::worse)
                .unwrap()
                .value
        };
        assert_eq!(of([3.0, 1.0, 2.0]), Some(1.0));
        assert_eq!(of([3.0, f64::NAN, 2.0]), None);
        // One is at least 0.5 and the other at most 2.25, so that the smallest lies between.
        let smallest = gate(GateId::DimerWall, 1.5, 1.0, "a").worse(gate(GateId::DimerWall, 2.0, 0.25, "b"));
        assert_eq!((smallest.value, smallest.standard_error), (Some(1.375), Some(0.875)));
        assert_eq!(smallest.detail, "a");
    }

    #[test]
    fn worse_prefers_measured_to_not_applicable() {
        let none = Gate::not_applicable(GateId::EquivalenceForce, "m", "water", "one implementation");
        let measured = gate(GateId::EquivalenceForce, f64::NAN, f64::NAN, "");
        assert_eq!(none.clone().worse(measured.clone()), measured);
        assert_eq!(measured.clone().worse(none), measured);
    }

    #[test]
    fn gate_id_parses_its_names_and_rejects_unknown() {
        for id in GateId::ALL {
            assert_eq!(id.name().parse(), Ok(*id));
        }
        let unknown = serde_json::from_str::<GateId>("\"spin\"").unwrap_err().to_string();
        assert!(unknown.contains("there is no gate 'spin'"), "{unknown}");
    }
}
