"""Writes the ase_* files of this folder. They are what ASE 3.29.0 made of it (numpy 2.2.6):

    pip install ase==3.29.0 numpy==2.2.6 && python make_golden.py

All numbers have at most 8 decimals, so that ASE writes them exactly.
"""

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.io import write

HERE = Path(__file__).parent

water = Atoms("OHH", [[0, 0, 0.119262], [0, 0.763239, -0.477047], [0, -0.763239, -0.477047]])
water.info = {
    "name": "water, relaxed",
    "quote": 'the "best" one',
    "step": 3,
    "converged": True,
    "nested": {"a": [1, 2]},
    "matrix": np.arange(4).reshape(2, 2),
    "config_type": "single",
}
water.calc = SinglePointCalculator(
    water,
    energy=-2061.43215678,
    forces=np.array([[0, 0, 0.25], [0, 0.12345678, -0.125], [0, -0.12345678, -0.125]]),
    stress=np.array([0.1, 0.2, 0.3, 0.0, 0.0, 0.0]),
    dipole=np.array([0.0, 0.0, 0.4]),
)
bent = water.copy()
bent.positions[1] += [0.1, -0.02, 0.00000001]
bent.calc = SinglePointCalculator(bent, energy=-2060.5)
write(HERE / "ase_labelled.extxyz", [water, bent])

slab = Atoms(
    "CuOHCl",
    [[0, 0, 0], [1.8, 0, 1.25], [-0.7, 0.5, 2.5], [3, 3, -4.5]],
    cell=[[5.1, 0, 0], [0.25, 6.2, 0], [-1.5, 0.75, 12.0]],
    pbc=[True, True, False],
    tags=[0, 1, 1, 2],
    masses=[63.546, 15.999, 2.01410178, 34.96885268],
    constraint=FixAtoms([0]),
)
slab.set_array("velocities", np.array([[0, 0, 0], [0.001, 0, 0], [0, -0.002, 0], [0, 0, 0.00000003]]))
slab.set_momenta([[1, 2, 3], [0, 0, 0], [0, 0, 0], [0, 0, 0]], apply_constraint=False)
slab.set_array("REF_forces", np.array([[0.5, 0, 0], [-0.5, 0, 0], [0, 1.5, 0], [0, -1.5, 0]]))
slab.info["REF_energy"] = -12.25
write(HERE / "ase_periodic.extxyz", slab)

write(HERE / "ase_plain.xyz", water, plain=True, format="extxyz", comment="it's water (no key, no value)")

crystal = Atoms("NaCl", [[0, 0, 0], [2.82, 0, 0]], cell=[5.64] * 3, pbc=True)
write(HERE / "ase_crystal.extxyz", crystal)
