"""Names, counts, seeds, and the frame files (extended XYZ, gzip)."""

import gzip
import importlib.util
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from ase.io import read

GENERATE = Path(__file__).resolve().parent
DATA = GENERATE.parent

SMALL = ["water", "methane", "alanine"]
DRUG_LIKE = [
    "aspirin",
    "benzocaine",
    "caffeine",
    "dopamine",
    "ephedrine",
    "epinephrine",
    "ibuprofen",
    "isoniazid",
    "metformin",
    "nicotine",
    "paracetamol",
    "salicylic_acid",
]
TRAINED = SMALL + DRUG_LIKE
HELD_OUT = ["amphetamine", "phenacetin", "theobromine", "valine"]

TRAIN_FRAMES = {"water": 2000, "methane": 2000, "alanine": 5000}  # else TRAIN_FRAMES_DRUG_LIKE
TRAIN_FRAMES_DRUG_LIKE = 1200
TEST_FRAMES = 250  # per temperature, of SMALL
TEST_FRAMES_OTHER = 50  # per temperature
DFT_FRAMES = {"water": 100, "methane": 100, "alanine": 32}


@dataclass
class Frame:
    """One labelled configuration. Å, eV, eV/Å, Å/fs, K."""

    numbers: np.ndarray
    positions: np.ndarray
    molecule: str
    kind: str
    temperature: float
    trajectory: str
    energy: float = float("nan")
    forces: np.ndarray | None = None
    teacher_energy: float | None = None
    teacher_forces: np.ndarray | None = None
    velocities: np.ndarray | None = None
    time: float | None = None  # fs


def seed(*words):
    """A seed that depends on the words alone."""
    return zlib.crc32(" ".join(map(str, words)).encode())


def on_grid(positions):
    """Positions as the files hold them, with 6 decimals; to be applied before labelling."""
    return np.round(positions, 6) + 0.0


def smiles():
    """The table of molecules/generate.py."""
    spec = importlib.util.spec_from_file_location("molecules", DATA / "molecules" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SMILES


def start_geometry(molecule):
    return read(DATA / "molecules" / f"{molecule}.xyz")


def write_frames(path, frames):
    """Writes what ase.io.read reads. The bytes depend on the frames alone; an interrupted write leaves nothing."""
    text = "".join(map(_text, frames)).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        packed.write(text)
    os.replace(part, path)


def _text(frame):
    columns = [(frame.positions, 6), (frame.forces, 5)]
    properties = "species:S:1:pos:R:3:forces:R:3"
    keys = f"energy={frame.energy:.6f}"
    if frame.teacher_forces is not None:
        columns.append((frame.teacher_forces, 5))
        properties += ":so3lr_forces:R:3"
        keys += f" so3lr_energy={frame.teacher_energy:.6f}"
    if frame.velocities is not None:
        columns.append((frame.velocities, 8))
        properties += ":velocities:R:3"
    keys += f" molecule={frame.molecule} kind={frame.kind} temperature_K={frame.temperature:g}"
    keys += f" trajectory={frame.trajectory}"
    if frame.time is not None:
        keys += f" time_fs={frame.time:g}"
    rows = [f'{len(frame.numbers)}\nProperties={properties} {keys} pbc="F F F"']
    for i, z in enumerate(frame.numbers):
        fields = [f"{np.round(x, decimals) + 0.0:.{decimals}f}" for a, decimals in columns for x in a[i]]
        rows.append(" ".join([chemical_symbols[z], *fields]))
    return "\n".join(rows) + "\n"


def read_frames(path):
    """The frames of a file written by write_frames; ase.io.read does the same, far slower."""
    with gzip.open(path, "rt") as file:
        lines = file.read().splitlines()
    frames, first = [], 0
    while first < len(lines):
        count = int(lines[first])
        properties, *pairs = lines[first + 1].removesuffix(' pbc="F F F"').split()
        keys = dict(pair.split("=") for pair in pairs)
        rows = [line.split() for line in lines[first + 2 : first + 2 + count]]
        values = np.array([row[1:] for row in rows], dtype=float)
        names = properties.split(":")[3::3]  # the columns after species, three numbers each
        columns = {name: values[:, 3 * k : 3 * k + 3] for k, name in enumerate(names)}
        frames.append(
            Frame(
                np.array([atomic_numbers[row[0]] for row in rows]),
                columns["pos"],
                keys["molecule"],
                keys["kind"],
                float(keys["temperature_K"]),
                keys["trajectory"],
                float(keys["energy"]),
                columns["forces"],
                float(keys["so3lr_energy"]) if "so3lr_energy" in keys else None,
                columns.get("so3lr_forces"),
                columns.get("velocities"),
                float(keys["time_fs"]) if "time_fs" in keys else None,
            )
        )
        first += 2 + count
    return frames
