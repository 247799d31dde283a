//! Criteria for properties of the energy surface.

use md_results::GateId;

use super::{barrier, gate};
use crate::{Criterion, Theme, evidence};

const ROUNDING: &str = "far above rounding in f64 (1e-12), far below k_B T at 100 K (9 meV)";

pub(super) const ROWS: &[Criterion] = &[
    gate(
        GateId::Repeatability,
        "repeatability_ev",
        "same positions, same energy and forces",
        "the larger of max |E − E′| and max |F − F′| between the answers to the same positions asked three \
         times, with a question about displaced positions in between",
        1e-9,
        Theme::Repeatability,
        "a potential is a function of the positions",
    ),
    gate(
        GateId::ForceGradient,
        "force_gradient_ev_per_angstrom",
        "gradient error of the forces",
        "max |F + ∂E/∂x| over all coordinates, ∂E/∂x by central differences of 10⁻⁴ Å with Richardson's \
         extrapolation, at a displaced copy of the structure and at frames of its own runs",
        1e-4,
        Theme::Gradient,
        ROUNDING,
    ),
    gate(
        GateId::StructureGradient,
        "structure_gradient_ev_per_angstrom",
        "gradient error at the structure",
        "max |F + ∂E/∂x| over all coordinates at the structure file, ∂E/∂x by central differences of 10⁻⁴ Å \
         with Richardson's extrapolation",
        1e-4,
        Theme::Smoothness,
        ROUNDING,
    ),
    gate(
        GateId::LoopWork,
        "loop_work_ev",
        "work around a closed loop",
        "max |∮ F·dx| around 4 random triangles in the space of all coordinates, corners up to 0.03 Å away \
         along each, by Gauss-Legendre quadrature; the worst of the structure, a displaced copy and frames \
         of its own runs counts",
        1e-4,
        Theme::Gradient,
        ROUNDING,
    ),
    gate(
        GateId::Kink,
        "kink_ev_per_angstrom",
        "kink of the energy",
        "max |2 K(h/2) − K(h)| over all coordinates with K(h) = (E(x+h) + E(x−h) − 2 E(x)) / h and h = 10⁻⁴ \
         Å: by how much the slope jumps; the worst of the structure, a displaced copy and frames of its own \
         runs counts",
        1e-3,
        Theme::Smoothness,
        ROUNDING,
    ),
    gate(
        GateId::RotationEnergy,
        "rotation_energy_ev",
        "energy change on rotation",
        "max |E(Qx) − E(x)| over 32 random rotations Q about the centroid; the worst of the structure, a \
         displaced copy and frames of its own runs counts",
        1e-4,
        Theme::Symmetry,
        ROUNDING,
    ),
    gate(
        GateId::RotationForce,
        "rotation_force_ev_per_angstrom",
        "force error on rotation",
        "max |F(Qx) − Q F(x)| on an atom over 32 random rotations Q about the centroid; the worst of the \
         structure, a displaced copy and frames of its own runs counts, a structure with a kink left out",
        1e-3,
        Theme::Symmetry,
        ROUNDING,
    ),
    gate(
        GateId::ReflectionEnergy,
        "reflection_energy_ev",
        "energy change on reflection",
        "max |E(Qx) − E(x)| over 32 random mirrored rotations Q (determinant −1) about the centroid; the \
         worst of the structure, a displaced copy and frames of its own runs counts",
        1e-4,
        Theme::Symmetry,
        ROUNDING,
    ),
    gate(
        GateId::TranslationEnergy,
        "translation_energy_ev",
        "energy change on translation",
        "max |E(x + t) − E(x)| over 32 random shifts t of up to 10 Å along each axis; the worst of the \
         structure, a displaced copy and frames of its own runs counts",
        1e-4,
        Theme::Symmetry,
        ROUNDING,
    ),
    gate(
        GateId::PermutationEnergy,
        "permutation_energy_ev",
        "energy change on permutation",
        "max |E(Px) − E(x)| over 32 random orders P in which the same atoms are listed; the worst of the \
         structure, a displaced copy and frames of its own runs counts",
        1e-4,
        Theme::Symmetry,
        ROUNDING,
    ),
    gate(
        GateId::NetForce,
        "net_force_ev_per_angstrom",
        "net force",
        "|Σ F| over all atoms; the worst of the structure, a displaced copy and frames of its own runs \
         counts",
        1e-3,
        Theme::Symmetry,
        ROUNDING,
    ),
    gate(
        GateId::NetTorque,
        "net_torque_ev",
        "net torque",
        "|Σ (x − c) × F| over all atoms, c the centroid; the worst of the structure, a displaced copy and \
         frames of its own runs counts",
        1e-3,
        Theme::Symmetry,
        ROUNDING,
    ),
    gate(
        GateId::ExtensivityEnergy,
        "extensivity_ev",
        "size consistency",
        "|E(A + B) − E(A) − E(B)| of the molecule A and a turned copy B, 60 Å away; the worst of the \
         structure, a displaced copy and frames of its own runs counts",
        1e-4,
        Theme::Locality,
        ROUNDING,
    ),
    gate(
        GateId::ExtensivityForce,
        "locality_ev_per_angstrom",
        "locality",
        "max |F(A + B) − F(A)| on an atom of the molecule A or of B, when B, a turned copy, is 60 Å away and \
         when it is not there; the worst of the structure, a displaced copy and frames of its own runs \
         counts",
        1e-4,
        Theme::Locality,
        ROUNDING,
    ),
    gate(
        GateId::RayEnergyJump,
        "energy_jump_ev",
        "energy jump as an atom leaves",
        "max |ΔE + ∫ F·dx| over 10⁻⁷ Å, found by bisection, as an atom leaves the displaced structure along \
         each of 8 random rays, 12 Å long, on which it comes no nearer to any atom than at the start or than \
         2 sums of covalent radii",
        1e-3,
        Theme::Smoothness,
        "a tenth of k_B T at 100 K",
    ),
    gate(
        GateId::RayForceJump,
        "force_jump_ev_per_angstrom",
        "force jump as an atom leaves",
        "max |ΔF| of all atoms together over 10⁻⁷ Å, found by bisection, as an atom leaves the displaced \
         structure along each of 8 random rays, 12 Å long, on which it comes no nearer to any atom than at \
         the start or than 2 sums of covalent radii",
        1e-2,
        Theme::Smoothness,
        "a twentieth of the accuracy asked of forces",
    ),
    gate(
        GateId::DimerEnergyJump,
        "dimer_energy_jump_ev",
        "energy jump at the cutoff of dimers",
        "max |ΔE + ∫ F·dr| over 10⁻⁷ Å, found by bisection, of two atoms alone between 0.75 sums of covalent \
         radii and 8 Å; the worst pair of elements counts",
        1e-3,
        Theme::Smoothness,
        "a tenth of k_B T at 100 K",
    )
    .of_element_pairs(),
    gate(
        GateId::DimerForceJump,
        "dimer_force_jump_ev_per_angstrom",
        "force jump at the cutoff of dimers",
        "max |ΔF| of both atoms together over 10⁻⁷ Å, found by bisection, of two atoms alone between 0.75 \
         sums of covalent radii and 8 Å; the worst pair of elements counts",
        1e-2,
        Theme::Smoothness,
        "a twentieth of the accuracy asked of forces",
    )
    .of_element_pairs(),
    barrier(
        GateId::DimerWall,
        "dimer_barrier_over_reach",
        "barrier of dimers / reach",
        "(E_top − E_well) / (k_B T ln(10¹³/s · t)) of two atoms alone on the way from the well inwards to 0.3 sums of \
         covalent radii, E_top the highest point in front of the first fall of more than 0.05 eV, or of all; the \
         lowest pair of elements counts",
        Theme::ShortRange,
    )
    .of_element_pairs(),
    gate(
        GateId::DimerDeepHole,
        "dimer_deep_hole_ev",
        "spurious minimum behind the barrier of dimers",
        "largest fall of E(r) below the highest point so far on the way from the well inwards to 0.3 sums of \
         covalent radii, however high; the worst pair of elements counts",
        0.05,
        Theme::ShortRange,
        "the campaign's own",
    )
    .of_element_pairs()
    .only_where_asked(),
    gate(
        GateId::DimerFlips,
        "dimer_force_flips",
        "force flips of dimers",
        "changes of sign of the force along r of two atoms alone from 0.3 sums of covalent radii to 8 Å, \
         forces below 0.01 eV/Å left out, less the one from repulsion to attraction; the worst pair of \
         elements counts",
        4.0,
        Theme::ShortRange,
        "the campaign's own",
    )
    .of_element_pairs()
    .only_where_asked(),
    gate(
        GateId::DimerTortuosity,
        "dimer_tortuosity",
        "tortuosity of dimer curves",
        "Σ |ΔE| / (E_first + E_last − 2 E_min) of two atoms alone from 0.3 sums of covalent radii to 8 Å, 1 \
         for a curve with one minimum; the worst pair of elements counts",
        1.5,
        Theme::ShortRange,
        "the campaign's own",
    )
    .of_element_pairs()
    .only_where_asked(),
    barrier(
        GateId::BondBarrier,
        "bond_barrier_over_reach",
        "barrier along bonds / reach",
        "(E_top − E_min) / (k_B T ln(10¹³/s · t)) of every bond that is stretched and squeezed from the model's own \
         minimum, what is on one side of it rigid (in a ring: its two atoms with what hangs on them), E_top the highest \
         point in front of the first fall of more than 0.05 eV; up to 3 eV, twice the length, 0.3 sums of covalent radii, or \
         where another pair of atoms comes within 1.3; the lowest bond counts",
        Theme::Well,
    ),
    barrier(
        GateId::ContactBarrier,
        "contact_barrier_over_reach",
        "barrier of contacts / reach",
        "(E_top − E_min) / (k_B T ln(10¹³/s · t)) of atoms without a bond that are brought together from the \
         model's own minimum while the rest relaxes, by the potential of the runs, E_top the highest point in front of the first state within \
         1.5 sums of covalent radii that is more than 0.05 eV below all states outside them, or more than 1 eV \
         below the minimum anywhere; up to 3 eV; of each pair of elements the nearest two atoms, and the nearest \
         that more than two bonds separate",
        Theme::Well,
    ),
    gate(
        GateId::PrecisionForce,
        "precision_force_ev_per_angstrom",
        "force in the format of the runs against f64",
        "max |F − F₆₄| on an atom between the potential of the runs and the same function in f64; the worst \
         of the structure, a displaced copy and frames of its own runs counts, a structure with a kink left \
         out",
        1e-2,
        Theme::Precision,
        "a twentieth of the accuracy asked of forces",
    ),
    gate(
        GateId::EquivalenceEnergy,
        "equivalence_energy_ev",
        "energy against the reference implementation",
        "|E − E_plain| between the potential of the runs and burn's tensor operations in f64; the worst of \
         the structure, a displaced copy and frames of its own runs counts, a structure with a kink left out",
        1e-2,
        Theme::Implementation,
        "as forces: far below the accuracy asked of a model",
    ),
    gate(
        GateId::EquivalenceForce,
        "equivalence_force_ev_per_angstrom",
        "force against the reference implementation",
        "max |F − F_plain| on an atom between the potential of the runs and burn's tensor operations in f64; \
         the worst of the structure, a displaced copy and frames of its own runs counts, a structure with a \
         kink left out",
        1e-2,
        Theme::Implementation,
        "a twentieth of the accuracy asked of forces",
    ),
    gate(
        GateId::PrecisionDrift,
        "precision_drift_meV_per_atom_per_ps",
        "energy drift of rounding",
        "|a − a₆₄| / N of the slopes a of the total energy, by least squares, in two runs of 500 steps of \
         0.5 fs at 300 K from the displaced structure, one in the format of the runs and one in f64",
        1.0,
        Theme::Precision,
        "the bar of the drift itself",
    ),
    gate(
        GateId::RelaxedBonds,
        "relaxed_bond_error_A",
        "bond lengths of the minimum",
        "max |r − r₀| over all bonds after relaxation with the model, r₀ the length in the structure file",
        0.1,
        Theme::Minimum,
        "methods of quantum chemistry differ by 0.02 Å",
    ),
    gate(
        GateId::ImaginaryMode,
        "imaginary_mode_per_cm",
        "imaginary mode of the minimum",
        "max(0, −ν̃) of the lowest wavenumber ν̃ = √λ / 2πc at the minimum, negative where it is imaginary, λ the eigenvalues \
         of M^−½ H M^−½ without rigid motions. A structure that relaxes to a saddle point is followed downhill: if no bond \
         angle of the minimum beside it differs by 15° or more, as for a rotor, that minimum counts, otherwise the saddle",
        30.0,
        Theme::Minimum,
        "soft torsions make less by the error of their softness; a planar atom that turns pyramidal changes its angles by 13°",
    ),
    gate(
        GateId::HessianAsymmetry,
        "hessian_asymmetry_ev_per_angstrom2",
        "asymmetry of the Hessian",
        "max |H_ij − H_ji| at the relaxed molecule, H = −∂F/∂x by central differences D of 2·10⁻⁵ and 10⁻⁵ Å \
         with Richardson's extrapolation; its error is 2 max |A_ij|, A the change of D − Dᵀ between the two \
         steps",
        1e-2,
        Theme::Gradient,
        "1e-3 of the stiffness of a bond",
    ),
    gate(
        GateId::FrequencyError,
        "frequency_error_percent",
        "vibrational frequencies, mean error",
        "100 ⟨|ν̃ − ν̃_ref| / ν̃_ref⟩ over all vibrations at the relaxed molecule, both lists in ascending \
         order",
        5.0,
        Theme::Minimum,
        "methods of quantum chemistry differ by 5 %; forces that are 10 % too soft shift all by 5 %",
    )
    .where_given(evidence::has_reference_frequencies),
];
