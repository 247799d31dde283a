"""Batched Langevin dynamics of one molecule, and the conformers that it starts from."""

import numpy as np
import torch
from ase.data import atomic_masses, covalent_radii
from ase.units import fs, kB
from rdkit import Chem
from rdkit.Chem import AllChem

from common import seed, smiles, start_geometry
from models import ani_forces

FRICTION = 0.02  # 1/fs
EQUILIBRATION = 300.0  # fs
EMBEDDED = 30
MAX_CONFORMERS = 6
DISTINCT = 0.1  # kcal/mol, conformers nearer in energy count as one
BOND_SCALE = 1.25  # of the sum of the covalent radii, as in molecules/generate.py
BROKEN = 1.8  # of the bond's first length
FUSED = 0.9  # of the sum of the covalent radii, atoms without a bond


def bonded(atoms):
    """Boolean matrix of the covalent bonds."""
    radii = covalent_radii[atoms.numbers]
    near = atoms.get_all_distances() < BOND_SCALE * (radii[:, None] + radii)
    np.fill_diagonal(near, False)
    return near


def conformers(molecule):
    """Start positions in Å for (training, test): even and odd ranks by MMFF94 energy of distinct RDKit conformers. The
    geometry of molecules/ belongs to training, and to test where the molecule has one conformer only."""
    rdkit_molecule = Chem.AddHs(Chem.MolFromSmiles(smiles()[molecule]))
    start = start_geometry(molecule)
    assert [a.GetAtomicNum() for a in rdkit_molecule.GetAtoms()] == start.numbers.tolist(), molecule
    parameters = AllChem.ETKDGv3()
    parameters.randomSeed = seed(molecule, "conformers") % 2**31
    AllChem.EmbedMultipleConfs(rdkit_molecule, EMBEDDED, parameters)
    results = AllChem.MMFFOptimizeMoleculeConfs(rdkit_molecule, mmffVariant="MMFF94", maxIters=5000)
    kept = []
    for k in np.argsort([energy for _, energy in results], kind="stable"):
        if not kept or results[k][1] - results[kept[-1]][1] > DISTINCT:
            kept.append(int(k))
    positions = [rdkit_molecule.GetConformer(k).GetPositions() for k in kept]
    training, test = positions[0::2], positions[1::2]
    return [start.positions, *training][:MAX_CONFORMERS], (test or [start.positions])[:MAX_CONFORMERS]


def langevin(atoms, starts, temperatures, frames, timestep, stride, random_seed):
    """Positions in Å, (frames, replicas, atoms, 3), every `stride` fs of BAOAB after EQUILIBRATION, and whether each
    is whole: once a bond breaks or two atoms fuse, the rest of that replica is not.

    `starts`: (replicas, atoms, 3) Å. `temperatures`: (replicas,) K. `timestep`: fs. BAOAB: B. Leimkuhler and
    C. Matthews, Appl. Math. Res. eXpress 2013, 34."""
    generator = torch.Generator().manual_seed(random_seed)
    replicas, count = len(starts), len(atoms)
    numbers = torch.tensor(np.tile(atoms.numbers, (replicas, 1)))
    masses = torch.tensor(atomic_masses[atoms.numbers])[None, :, None]
    thermal = torch.sqrt(kB * torch.tensor(temperatures, dtype=torch.float64)[:, None, None] / masses)
    noise = lambda: torch.randn(replicas, count, 3, generator=generator, dtype=torch.float64)  # noqa: E731
    keep = np.exp(-FRICTION * timestep)
    step = timestep * fs
    equilibration, every = round(EQUILIBRATION / timestep), round(stride / timestep)
    x = torch.tensor(np.array(starts))
    v = thermal * noise()
    force = ani_forces(numbers, x)
    kept, whole = [], []
    alive = np.ones(replicas, dtype=bool)
    check = _Wholeness(atoms)
    for s in range(1, equilibration + frames * every + 1):
        v = v + 0.5 * step * force / masses
        x = x + 0.5 * step * v
        v = keep * v + np.sqrt(1 - keep**2) * thermal * noise()
        x = x + 0.5 * step * v
        force = ani_forces(numbers, x)
        v = v + 0.5 * step * force / masses
        if s % every == 0:
            alive = alive & check(x.numpy())
            if s > equilibration:
                centre = (x * masses).sum(1, keepdim=True) / masses.sum()
                kept.append((x - centre).numpy())
                whole.append(alive)
    return np.array(kept[:frames]), np.array(whole[:frames])


class _Wholeness:
    def __init__(self, atoms):
        self.pairs = np.triu_indices(len(atoms), 1)
        radii = covalent_radii[atoms.numbers]
        bonds = bonded(atoms)[self.pairs]
        first = atoms.get_all_distances()[self.pairs]
        self.shortest = np.where(bonds, 0.0, FUSED * (radii[:, None] + radii)[self.pairs])
        self.longest = np.where(bonds, BROKEN * first, np.inf)

    def __call__(self, positions):
        i, j = self.pairs
        distances = np.linalg.norm(positions[:, i] - positions[:, j], axis=-1)
        return ((distances > self.shortest) & (distances < self.longest)).all(axis=1)
