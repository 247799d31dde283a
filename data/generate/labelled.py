"""Training and test frames: sampled with ANI-1ccx, labelled with SO3LR."""

import logging
import math
from dataclasses import replace

import numpy as np
from ase import Atoms
from ase.optimize import BFGS

from common import Frame, TEST_FRAMES, TEST_FRAMES_OTHER, TRAIN_FRAMES, TRAIN_FRAMES_DRUG_LIKE
from common import SMALL, on_grid, seed, start_geometry
from distort import gaussian, short_range
from dynamics import bonded, conformers, langevin
from models import so3lr, so3lr_label

log = logging.getLogger(__name__)

TRAIN_TEMPERATURES = [300, 600, 1000]  # K
TRAIN_REPLICAS = 10  # per temperature
TRAIN_STRIDE = {"water": 20.0, "methane": 20.0}  # fs, else TRAIN_STRIDE_OTHER
TRAIN_STRIDE_OTHER = 10.0  # fs
SHARE_NEAR_MINIMUM, SHARE_SHORT_RANGE = 0.10, 0.15
COLD = 100  # K, trajectories that count as near_minimum
COLD_REPLICAS = 3
COLD_SHARE = 0.35  # of near_minimum
MINIMA = 3  # at most, one of them below the geometry of molecules/
FMAX = 0.01  # eV/Å
SIGMA = (0.005, 0.05)  # Å
SPARE = 1.3  # short_range frames labelled for each that is kept
LARGEST_FORCE = 60.0  # eV/Å, a component

TEST_TEMPERATURES = [300, 600]  # K
TEST_REPLICAS = 10  # per temperature, of SMALL
TEST_REPLICAS_OTHER = 5
TEST_STRIDE = 20.0  # fs

TIMESTEP, TIMESTEP_OTHER = 0.5, 1.0  # fs, of SMALL and of the others


def train(molecule):
    """Frames of kind md, near_minimum and short_range."""
    atoms = start_geometry(molecule)
    starts, _ = conformers(molecule)
    total = TRAIN_FRAMES.get(molecule, TRAIN_FRAMES_DRUG_LIKE)
    near, short = round(SHARE_NEAR_MINIMUM * total), round(SHARE_SHORT_RANGE * total)
    cold = round(COLD_SHARE * near)
    wanted = {t: math.ceil((total - near - short) / len(TRAIN_TEMPERATURES)) for t in TRAIN_TEMPERATURES}
    wanted[COLD] = cold
    replicas = dict.fromkeys(TRAIN_TEMPERATURES, TRAIN_REPLICAS) | {COLD: COLD_REPLICAS}
    md = sample(molecule, "train", starts, wanted, replicas, TRAIN_STRIDE.get(molecule, TRAIN_STRIDE_OTHER))
    for frame in md:
        if frame.temperature == COLD:
            frame.kind = "near_minimum"
    frames = md + near_minima(molecule, atoms, starts, near - cold)
    frames = label(atoms, frames)
    rng = np.random.default_rng(seed(molecule, "short_range"))
    bonds = bonded(atoms)
    hot = [f for f in md if f.temperature != COLD]
    spare = []
    for _ in range(round(SPARE * short)):
        frame = hot[rng.integers(len(hot))]
        positions = short_range(atoms.numbers, frame.positions, bonds, rng)
        spare.append(replace(frame, positions=positions, kind="short_range"))
    return frames + label(atoms, spare)[:short]


def test(molecule, temperature):
    """Frames of kind md from trajectories and conformers (where there are several) that training has not seen."""
    _, starts = conformers(molecule)
    wanted = {temperature: TEST_FRAMES if molecule in SMALL else TEST_FRAMES_OTHER}
    replicas = {temperature: TEST_REPLICAS if molecule in SMALL else TEST_REPLICAS_OTHER}
    frames = sample(molecule, "test", starts, wanted, replicas, TEST_STRIDE)
    return label(start_geometry(molecule), frames)


def sample(molecule, purpose, starts, wanted, replicas, stride):
    """The wanted number of frames per temperature, of kind md, as evenly from the replicas as whole frames allow."""
    atoms = start_geometry(molecule)
    temperatures = [t for t in wanted for _ in range(replicas[t])]
    numbered = [r for t in wanted for r in range(replicas[t])]
    length = max(math.ceil(wanted[t] / replicas[t]) for t in wanted)
    length += length // 10 + 1  # to make up for broken replicas
    first = [starts[r % len(starts)] for r in numbered]
    timestep = TIMESTEP if molecule in SMALL else TIMESTEP_OTHER
    random_seed = seed(molecule, purpose, *wanted)
    positions, whole = langevin(atoms, first, temperatures, length, timestep, stride, random_seed)
    broken = [f"{t} K r{r:02d}" for t, r, w in zip(temperatures, numbered, whole[-1]) if not w]
    if broken:
        log.info("%s %s: broken: %s", molecule, purpose, ", ".join(broken))
    frames = []
    for t in wanted:
        columns = [c for c in range(len(temperatures)) if temperatures[c] == t]
        found = [(n, c) for n in range(length) for c in columns if whole[n, c]][: wanted[t]]
        if len(found) < wanted[t]:
            log.warning("%s %s %s K: %d of %d frames", molecule, purpose, t, len(found), wanted[t])
        for n, c in sorted(found, key=lambda nc: nc[::-1]):
            name = f"{molecule}-{purpose}-{t}K-r{numbered[c]:02d}"
            frames.append(Frame(atoms.numbers, positions[n, c], molecule, "md", t, name))
    return frames


def near_minima(molecule, atoms, starts, count):
    """Minima of SO3LR and Gaussian displacements from them."""
    rng = np.random.default_rng(seed(molecule, "near_minimum"))
    frames = []
    for k, start in enumerate(starts[:MINIMA]):
        relaxed = Atoms(atoms.numbers, start)
        relaxed.calc = so3lr()
        if not BFGS(relaxed, logfile=None).run(fmax=FMAX, steps=300):
            log.warning("%s: minimum %d not reached", molecule, k)
        name = f"{molecule}-train-minimum-r{k:02d}"
        share = count // min(MINIMA, len(starts)) + (k < count % min(MINIMA, len(starts)))
        centred = relaxed.positions - relaxed.get_center_of_mass()
        for n in range(share):
            moved = gaussian(centred, rng.uniform(*SIGMA), rng) if n else centred
            frames.append(Frame(atoms.numbers, moved, molecule, "near_minimum", 0, name))
    return frames


def label(atoms, frames):
    """Puts positions on the grid of the files, adds SO3LR labels, and drops what has a large or no finite force."""
    for frame in frames:
        frame.positions = on_grid(frame.positions)
    energies, forces = so3lr_label([Atoms(atoms.numbers, frame.positions) for frame in frames])
    kept = []
    for frame, energy, force in zip(frames, energies, forces):
        frame.energy, frame.forces = energy, force
        if np.isfinite(energy) and np.abs(force).max() < LARGEST_FORCE:  # False where a force is nan
            kept.append(frame)
    if len(kept) < len(frames):
        log.info("%s: dropped %d of %d %s", frames[0].molecule, len(frames) - len(kept), len(frames), frames[0].kind)
    return kept
