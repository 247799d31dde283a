"""Harmonic frequencies of the reference, PBE0-D3(BJ)/def2-TZVP as in dft.py, by central differences of forces.

    OMP_NUM_THREADS=1 venv/bin/python frequencies.py [MOLECULE ...]

Prints, per molecule, `frequencies_per_cm` for a campaign file. Alanine takes an hour.
"""

import sys

import numpy as np
from ase import units
from ase.io import read
from scipy.optimize import minimize

from common import DATA
from dft import pbe0

STEP = 0.01  # Å


def frequencies(molecule):
    atoms = read(DATA / "molecules" / f"{molecule}.xyz")

    def energy_and_gradient(x):
        energy, forces = pbe0(atoms.numbers, x.reshape(-1, 3))
        return energy, -forces.ravel()

    x = minimize(
        energy_and_gradient, atoms.positions.ravel(), jac=True, method="BFGS", options={"gtol": 2e-3}
    ).x
    hessian = np.empty((x.size, x.size))  # eV/Å²
    for k in range(x.size):
        step = np.zeros_like(x)
        step[k] = STEP
        forward, backward = energy_and_gradient(x + step)[1], energy_and_gradient(x - step)[1]
        hessian[k] = (forward - backward) / (2 * STEP)
    root = np.sqrt(np.repeat(atoms.get_masses(), 3))
    eigenvalues = np.linalg.eigvalsh(0.5 * (hessian + hessian.T) / np.outer(root, root))
    vibrations = eigenvalues[6:]  # ascending: translations and rotations of a bent molecule come first
    omega = np.sign(vibrations) * np.sqrt(np.abs(vibrations))  # in units of ASE's time
    return omega * units._hbar * units.s / units._e / units.invcm


if __name__ == "__main__":
    for molecule in sys.argv[1:] or ["water", "methane", "alanine"]:
        print(molecule, "frequencies_per_cm =", [round(float(f), 1) for f in frequencies(molecule)], flush=True)
