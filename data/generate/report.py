"""Prints the measured numbers of README.md from the files: python report.py"""

import numpy as np
from ase.data import atomic_masses
from ase.units import fs, kB

from common import DATA, DFT_FRAMES, HELD_OUT, SMALL, TRAINED, read_frames


def std(frames):
    return np.std([f.forces for f in frames])


def counts():
    print("| molecule | atoms | training: md, near_minimum, short_range | std: md, all | test: 300 K, 600 K | std |")
    print("|---|---|---|---|---|---|")
    for molecule in TRAINED + HELD_OUT:
        folder, kinds, spread = DATA / "test" / "held_out", "none (held out)", ""
        if molecule in TRAINED:
            folder = DATA / "test"
            frames = read_frames(DATA / "train" / f"{molecule}.extxyz.gz")
            by_kind = {k: [f for f in frames if f.kind == k] for k in ("md", "near_minimum", "short_range")}
            kinds = ", ".join(str(len(v)) for v in by_kind.values())
            spread = f"{std(by_kind['md']):.2f}, {std(frames):.2f}"
        test = [read_frames(folder / f"{molecule}_{t}K.extxyz.gz") for t in (300, 600)]
        numbers = ", ".join(str(len(t)) for t in test)
        spreads = ", ".join(f"{std(t):.2f}" for t in test)
        print(f"| {molecule} | {len(test[0][0].numbers)} | {kinds} | {spread} | {numbers} | {spreads} |")


def teacher_errors():
    """The energy error is of differences: each source's mean over the molecule's frames is taken off."""
    print("\n| molecule | frames | force RMSE (eV/Å) 300 K, 600 K, all | force MAE | energy RMSE (meV/atom) |")
    print("|---|---|---|---|---|")
    for molecule in DFT_FRAMES:
        frames = read_frames(DATA / "dft" / f"{molecule}.extxyz.gz")
        errors = {t: [f.teacher_forces - f.forces for f in frames if f.temperature == t] for t in (300, 600)}
        everything = np.array(errors[300] + errors[600])
        rmse = ", ".join(f"{np.sqrt(np.mean(np.square(e))):.4f}" for e in (*errors.values(), everything))
        energy = np.std([f.teacher_energy - f.energy for f in frames]) / len(frames[0].numbers) * 1e3
        print(f"| {molecule} | {len(frames)} | {rmse} | {np.abs(everything).mean():.4f} | {energy:.2f} |")


def conservation():
    print("\n| trajectory | frames | mean temperature (K) | drift (meV/atom/ps) | std of the total energy (meV/atom) |")
    print("|---|---|---|---|---|")
    for molecule in SMALL:
        for path in sorted((DATA / "trajectories").glob(f"{molecule}_*.extxyz.gz")):
            frames = read_frames(path)
            count = len(frames[0].numbers)
            masses = atomic_masses[frames[0].numbers][:, None]
            kinetic = np.array([0.5 * (masses * (f.velocities / fs) ** 2).sum() for f in frames])
            total = 1e3 * (kinetic + [f.energy for f in frames]) / count
            time = np.array([f.time for f in frames]) / 1e3
            slope = np.polyfit(time, total, 1)[0]
            kelvin = 2 * kinetic.mean() / (kB * (3 * count - 6))
            print(f"| {path.name} | {len(frames)} | {kelvin:.0f} | {slope:.4f} | {total.std():.3f} |")


if __name__ == "__main__":
    counts()
    teacher_errors()
    conservation()
