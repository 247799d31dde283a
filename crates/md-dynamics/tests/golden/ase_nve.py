"""Writes ase_nve.json: constant-energy runs of ASE 3.29.0 to compare ours with.

    pip install ase==3.29.0 && python ase_nve.py

Units of the file: Å, Å/fs, fs, eV, amu. ASE's own time unit follows CODATA 2014 by default; here it is CODATA 2018,
as in md_core::units. Masses are ASE's, set from IUPAC 2016 as in md_core::Element.
"""

import json
from pathlib import Path

import ase
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.lj import LennardJones
from ase.calculators.morse import MorsePotential
from ase.data import atomic_masses_iupac2016
from ase.md.verlet import VelocityVerlet
from ase.units import create_units

assert ase.__version__ == "3.29.0", ase.__version__
FS = create_units("2018")["fs"]


class HarmonicBonds(Calculator):
    """E = sum over bonds of k/2 (r - r0)^2."""

    implemented_properties = ["energy", "forces"]

    def __init__(self, bonds):
        super().__init__()
        self.bonds = bonds

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        x, energy, forces = atoms.positions, 0.0, np.zeros((len(atoms), 3))
        for i, j, k, r0 in self.bonds:
            d = x[j] - x[i]
            r = np.linalg.norm(d)
            energy += 0.5 * k * (r - r0) ** 2
            f = k * (r - r0) * d / r
            forces[i] += f
            forces[j] -= f
        self.results = {"energy": energy, "forces": forces}


def run(name, symbols, positions, velocities, calculator, potential, timestep_fs, steps, every):
    atoms = Atoms(symbols, positions=positions, calculator=calculator)
    atoms.set_masses(atomic_masses_iupac2016[atoms.numbers])
    atoms.set_velocities(np.array(velocities) / FS)
    dynamics = VelocityVerlet(atoms, timestep=timestep_fs * FS)
    frames = []
    for step in range(0, steps + 1, every):
        frames.append(
            {
                "step": step,
                "positions": atoms.positions.tolist(),
                "velocities": (atoms.get_velocities() * FS).tolist(),
                "total_energy_ev": atoms.get_total_energy(),
            }
        )
        if step < steps:
            dynamics.run(every)
    return {
        "name": name,
        "symbols": symbols,
        "masses_amu": atoms.get_masses().tolist(),
        "potential": potential,
        "timestep_fs": timestep_fs,
        "frames": frames,
    }


EPSILON, SIGMA = 0.0104, 3.4  # eV, Å
D, A, R0 = 4.6, 1.9, 1.27  # eV, 1/Å, Å
BONDS = [(0, 1, 50.0, 0.96), (0, 2, 50.0, 0.96)]  # k in eV/Å², r0 in Å

runs = [
    run(
        "argon cluster",
        ["Ar"] * 4,
        [[0.0, 0.0, 0.0], [3.9, 0.1, 0.0], [1.9, 3.4, -0.1], [2.0, 1.2, 3.1]],
        [[1e-4, -5e-4, 3e-4], [-8e-4, 4e-4, 2e-4], [3e-4, 6e-4, -7e-4], [4e-4, -5e-4, 2e-4]],
        # The constant that ASE takes off so that E(rc) = 0 is 4e-23 eV at this cutoff.
        LennardJones(epsilon=EPSILON, sigma=SIGMA, rc=1e4),
        {"lennard_jones": {"epsilon_ev": EPSILON, "sigma_angstrom": SIGMA}},
        2.0,
        400,
        100,
    ),
    run(
        "hydrogen chloride",
        ["H", "Cl"],
        [[0.0, 0.0, 0.0], [0.7, 0.8, 0.9]],
        [[0.01, -0.02, 0.015], [-3e-4, 5e-4, -4e-4]],
        # ASE: E = epsilon (exp(-2 rho0 (r/r0 - 1)) - 2 exp(-rho0 (r/r0 - 1))), cut off smoothly from rcut1 * r0.
        MorsePotential(epsilon=D, rho0=A * R0, r0=R0, rcut1=1e3, rcut2=2e3),
        {"morse": {"depth_ev": D, "a_per_angstrom": A, "r0_angstrom": R0}},
        0.25,
        400,
        100,
    ),
    run(
        "water with harmonic bonds",
        ["O", "H", "H"],
        [[0.0, 0.0, 0.0], [0.99, 0.0, 0.0], [-0.25, 0.91, 0.05]],
        [[5e-4, -2e-4, 0.0], [-0.01, 0.02, 0.005], [0.004, -0.012, 0.006]],
        HarmonicBonds(BONDS),
        {"harmonic_bonds": BONDS},
        0.5,
        400,
        100,
    ),
]
header = {"made_by": "ase_nve.py, ASE 3.29.0", "units": "Å, Å/fs, fs, eV, amu", "runs": runs}
Path(__file__).with_name("ase_nve.json").write_text(json.dumps(header, indent=1, ensure_ascii=False) + "\n")
