"""SO3LR trajectories at constant energy, all molecules and replicas in one batch."""

import logging
from functools import partial

import numpy as np
from ase import Atoms
from ase.units import fs, kB

from common import SMALL, Frame, on_grid, seed, start_geometry, write_frames
from dynamics import conformers, langevin
from models import so3lr_label

log = logging.getLogger(__name__)

TEMPERATURE = 300.0  # K
REPLICAS = 2
TIMESTEP = 0.5  # fs
LENGTH = 10_000  # steps
STRIDE = 4  # steps
SETTLE = 600  # steps at constant energy before each adjustment of the energy
ADJUSTMENTS = 3
FRICTION = 0.02  # 1/fs, while SO3LR takes over from the sampler
HAND_OVER = 400  # steps
TARGET_ERROR = 3.0  # K, of the mean temperature while settling; nearer needs no adjustment


def run(folder):
    """Writes <molecule>_nve_300K_<replica>.extxyz.gz with energy, forces and velocities every 2 fs."""
    systems = [(m, r, folder / f"{m}_nve_300K_{r}.extxyz.gz") for m in SMALL for r in range(REPLICAS)]
    if all(path.exists() for *_, path in systems):
        return
    state = _State([_sampled(m, r) for m, r, _ in systems])
    rng = np.random.default_rng(seed("nve"))
    for _ in range(HAND_OVER):
        state.step(partial(state.thermostat, rng))
    state.remove_rigid_motion()
    for _ in range(ADJUSTMENTS):
        log.info("settling: %s K", np.round(state.adjust(), 1).tolist())
    state.x = [on_grid(x) for x in state.x]
    state.v = [np.round(v * fs, 8) / fs for v in state.v]
    state.evaluate()
    records = [[] for _ in systems]
    for n in range(LENGTH + 1):
        if n:
            state.step()
        if n % STRIDE == 0:
            for record, x, v in zip(records, state.x, state.v):
                record.append((n * TIMESTEP, on_grid(x), v * fs))
        if n % 1000 == 0:
            log.info("%d of %d steps", n, LENGTH)
    for (m, r, path), record, atoms in zip(systems, records, state.atoms):
        energies, forces = so3lr_label([Atoms(atoms.numbers, x) for _, x, _ in record])
        keys = dict(molecule=m, kind="md", temperature=TEMPERATURE, trajectory=f"{m}-nve-300K-r{r:02d}")
        frames = [
            Frame(atoms.numbers, x, **keys, energy=e, forces=f, velocities=v, time=t)
            for (t, x, v), e, f in zip(record, energies, forces)
        ]
        write_frames(path, frames)


def _sampled(molecule, replica):
    atoms = start_geometry(molecule)
    training, test = conformers(molecule)
    start = (training + test)[replica % len(training + test)]
    random_seed = seed(molecule, "nve", replica)
    positions, _ = langevin(atoms, [start], [TEMPERATURE], 1, TIMESTEP, TIMESTEP, random_seed)
    return Atoms(atoms.numbers, positions[0, 0])


class _State:
    """Positions (Å), velocities (ASE units), forces (eV/Å) and energies (eV) of molecules far from each other."""

    def __init__(self, atoms):
        self.atoms = atoms
        self.masses = [a.get_masses()[:, None] for a in atoms]
        self.x = [a.positions.copy() for a in atoms]
        rng = np.random.default_rng(seed("nve", "velocities"))
        self.v = [np.sqrt(kB * TEMPERATURE / m) * rng.normal(size=x.shape) for m, x in zip(self.masses, self.x)]
        self.evaluate()

    def evaluate(self):
        for atoms, x in zip(self.atoms, self.x):
            atoms.positions = x
        self.energies, self.forces = so3lr_label(self.atoms)

    def step(self, middle=None):
        """Velocity Verlet; with the velocities changed by `middle` at half of the step, BAOAB."""
        h = TIMESTEP * fs
        self.v = [v + 0.5 * h * f / m for v, f, m in zip(self.v, self.forces, self.masses)]
        self.x = [x + 0.5 * h * v for x, v in zip(self.x, self.v)]
        if middle:
            self.v = [middle(v, m) for v, m in zip(self.v, self.masses)]
        self.x = [x + 0.5 * h * v for x, v in zip(self.x, self.v)]
        self.evaluate()
        self.v = [v + 0.5 * h * f / m for v, f, m in zip(self.v, self.forces, self.masses)]

    @staticmethod
    def thermostat(rng, v, m):
        keep = np.exp(-FRICTION * TIMESTEP)
        return keep * v + np.sqrt((1 - keep**2) * kB * TEMPERATURE / m) * rng.normal(size=v.shape)

    def remove_rigid_motion(self):
        """Sets the centre of mass to the origin, and linear and angular momentum to zero."""
        for k, m in enumerate(self.masses):
            x = self.x[k] - (m * self.x[k]).sum(0) / m.sum()
            v = self.v[k] - (m * self.v[k]).sum(0) / m.sum()
            inertia = (m * (x**2)).sum() * np.eye(3) - (m * x).T @ x
            v = v - np.cross(np.linalg.solve(inertia, (m * np.cross(x, v)).sum(0)), x)
            self.x[k], self.v[k] = x, v

    def temperatures(self):
        """K, of the 3N - 6 degrees of freedom that are left."""
        kinetic = [0.5 * (m * v**2).sum() for m, v in zip(self.masses, self.v)]
        return np.array([2 * k / (kB * (3 * len(m) - 6)) for k, m in zip(kinetic, self.masses)])

    def adjust(self):
        """Mean temperatures over SETTLE steps; then the energy is changed by scaling the velocities so that they would
        have come out right for equal kinetic and potential shares."""
        total = np.zeros(len(self.v))
        for _ in range(SETTLE):
            self.step()
            total += self.temperatures()
        mean = total / SETTLE
        for k, now in enumerate(self.temperatures()):
            missing = 2 * (TEMPERATURE - mean[k])
            if abs(TEMPERATURE - mean[k]) > TARGET_ERROR:
                self.v[k] = self.v[k] * np.sqrt(max(now + missing, 0.1 * now) / now)
        self.remove_rigid_motion()
        return mean
