"""PBE0-D3(BJ)/def2-TZVP labels for test frames, beside the teacher's."""

import logging

import numpy as np
from ase.data import chemical_symbols
from ase.units import Bohr, Hartree
from pyscf import dft, gto, lib

from common import DFT_FRAMES, read_frames, seed, write_frames

BASIS = "def2-tzvp"
GRID = 3
CONVERGENCE = 1e-8  # Hartree
TEMPERATURES = [300, 600]  # K

log = logging.getLogger(__name__)


def pbe0(numbers, positions):
    """Energy in eV and forces in eV/Å. D3(BJ): S. Grimme et al., J. Comput. Chem. 2011, 32, 1456."""
    lib.num_threads(1)
    atoms = [(chemical_symbols[z], x) for z, x in zip(numbers, positions)]
    molecule = gto.M(atom=atoms, basis=BASIS, unit="Angstrom", verbose=0)
    method = dft.RKS(molecule, xc="PBE0").density_fit()
    method.disp = "d3bj"
    method.conv_tol = CONVERGENCE
    method.grids.level = GRID
    energy = method.kernel()
    if not method.converged:
        raise RuntimeError(f"no convergence at {positions.tolist()}")
    return energy * Hartree, -method.nuc_grad_method().kernel() * Hartree / Bohr


def frames(molecule, out):
    """A random subset of test/<molecule>_*K, half at each temperature; a smaller one is a part of a larger one. Kept as
    it grows in dft/<molecule>.part.extxyz.gz, so that an interrupted run goes on where it stopped."""
    share = DFT_FRAMES[molecule] // len(TEMPERATURES)
    chosen = []
    for t in TEMPERATURES:
        test = read_frames(out / "test" / f"{molecule}_{t}K.extxyz.gz")
        order = np.random.default_rng(seed(molecule, t, "dft")).permutation(len(test))
        chosen.append([test[k] for k in order[:share]])
    chosen = [frame for pair in zip(*chosen) for frame in pair]
    part = out / "dft" / f"{molecule}.part.extxyz.gz"
    done = read_frames(part)[: len(chosen)] if part.exists() else []
    for frame in chosen[len(done) :]:
        frame.teacher_energy, frame.teacher_forces = frame.energy, frame.forces
        frame.energy, frame.forces = pbe0(frame.numbers, frame.positions)
        done.append(frame)
        write_frames(part, done)
        log.info("%s: %d of %d at PBE0", molecule, len(done), len(chosen))
    part.unlink()
    return sorted(done, key=lambda frame: frame.temperature)
