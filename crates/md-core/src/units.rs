//! Units and constants.
//!
//! The workspace computes in **eV, Å, fs, amu, K**. That set is not coherent: mass times acceleration is in amu Å/fs²,
//! not in eV/Å, so energies and mechanics are related by two conversion factors: [`AMU_ANGSTROM2_PER_FS2_IN_EV`] and
//! its inverse. Every factor is derived from the CODATA 2018 values declared at the top and from nothing else.
//!
//! Source: E. Tiesinga et al., *CODATA recommended values of the fundamental physical constants: 2018*,
//! Rev. Mod. Phys. 93, 025010 (2021). Checked against ASE 3.29 (`ase.units.create_units('2018')`).

/// Boltzmann constant in J/K (exact).
pub const BOLTZMANN_J_PER_K: f64 = 1.380649e-23;
/// Elementary charge in C (exact); also one eV in J.
pub const ELEMENTARY_CHARGE_C: f64 = 1.602176634e-19;
/// Planck constant in J s (exact).
pub const PLANCK_J_S: f64 = 6.62607015e-34;
/// Atomic mass constant in kg.
pub const ATOMIC_MASS_KG: f64 = 1.66053906660e-27;
/// Speed of light in vacuum in cm/fs (exact: 299 792 458 m/s).
pub const SPEED_OF_LIGHT_CM_PER_FS: f64 = 2.99792458e-5;
/// Hartree energy in J.
pub const HARTREE_J: f64 = 4.3597447222071e-18;
/// Bohr radius in m.
pub const BOHR_M: f64 = 5.29177210903e-11;
/// Avogadro constant in 1/mol (exact).
pub const AVOGADRO_PER_MOL: f64 = 6.02214076e23;

/// Boltzmann constant in eV/K.
///
/// ```
/// // ASE 3.29: create_units('2018')['kB']
/// assert_eq!(md_core::units::BOLTZMANN_EV_PER_K, 8.617333262145179e-05);
/// ```
pub const BOLTZMANN_EV_PER_K: f64 = BOLTZMANN_J_PER_K / ELEMENTARY_CHARGE_C;

/// One amu Å²/fs² in eV. Kinetic energy `½ m v²` with m in amu and v in Å/fs, times this factor, is in eV.
///
/// ```
/// // ASE measures time in Å sqrt(amu/eV); create_units('2018')['fs'] is 0.09822694750253277 of it.
/// let ase_fs: f64 = 0.09822694750253277;
/// let ours = md_core::units::AMU_ANGSTROM2_PER_FS2_IN_EV;
/// assert!((ours * ase_fs * ase_fs - 1.0).abs() < 1e-14);
/// ```
pub const AMU_ANGSTROM2_PER_FS2_IN_EV: f64 = ATOMIC_MASS_KG * 1e10 / ELEMENTARY_CHARGE_C;

/// 1 amu in masses of the electron (CODATA 2018: 9.1093837015e-31 kg).
pub const AMU_IN_ELECTRON_MASSES: f64 = ATOMIC_MASS_KG / 9.1093837015e-31;

/// Acceleration in Å/fs² of a mass of 1 amu under a force of 1 eV/Å.
pub const EV_PER_ANGSTROM_AMU_IN_ANGSTROM_PER_FS2: f64 = 1.0 / AMU_ANGSTROM2_PER_FS2_IN_EV;

/// One amu Å²/fs (an angular momentum) in units of ħ.
pub const AMU_ANGSTROM2_PER_FS_IN_HBAR: f64 =
    ATOMIC_MASS_KG * 1e-5 / (PLANCK_J_S / (2.0 * std::f64::consts::PI));

/// One hartree in eV.
pub const HARTREE_EV: f64 = HARTREE_J / ELEMENTARY_CHARGE_C;

/// One bohr in Å.
pub const BOHR_ANGSTROM: f64 = BOHR_M * 1e10;

/// One atomic unit of time, ħ over the Hartree energy, in fs.
pub const ATOMIC_TIME_FS: f64 = PLANCK_J_S / (2.0 * std::f64::consts::PI) / HARTREE_J * 1e15;

/// One kJ/mol in eV per particle.
pub const KJ_PER_MOL_EV: f64 = 1000.0 / (AVOGADRO_PER_MOL * ELEMENTARY_CHARGE_C);

/// One kcal/mol (thermochemical, 4.184 kJ/mol) in eV per particle.
///
/// ```
/// // ASE 3.29, units.kcal / units.mol with CODATA 2018.
/// assert!((md_core::units::KCAL_PER_MOL_EV - 0.0433641042).abs() < 1e-9);
/// ```
pub const KCAL_PER_MOL_EV: f64 = 4.184 * KJ_PER_MOL_EV;

/// Femtoseconds in one picosecond.
pub const FS_PER_PS: f64 = 1000.0;

/// Milli-electronvolts in one electronvolt.
pub const MEV_PER_EV: f64 = 1000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_agree_with_ase_codata_2018() {
        // python -c "from ase.units import create_units as c; u=c('2018'); print(u['Hartree'], u['Bohr'])"
        assert!((HARTREE_EV / 27.211386245988 - 1.0).abs() < 1e-12, "CODATA 2018: 27.211386245988(53) eV");
        assert!((BOHR_ANGSTROM / 0.529177210903 - 1.0).abs() < 1e-15);
        assert!(
            (ATOMIC_TIME_FS / 0.024188843265857 - 1.0).abs() < 1e-12,
            "CODATA 2018: 2.4188843265857(47)e-17 s"
        );
        // 1 amu Å²/fs: 1.66053906660e-27 kg * 1e-20 m² / 1e-15 s = 1.66053906660e-32 J s, against
        // ħ = 1.054571817e-34 J s (CODATA 2018).
        assert!((AMU_ANGSTROM2_PER_FS_IN_HBAR / (1.66053906660e-32 / 1.054571817e-34) - 1.0).abs() < 1e-9);
    }
}
