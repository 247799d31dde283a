"""manifest.json: what each file holds, its checksum, and the programs that made it."""

import hashlib
import json

import numpy as np
from common import read_frames

SO3LR = "SO3LR (so3krates-torch 0.2.1)"
PBE0 = "PBE0-D3(BJ)/def2-TZVP, PySCF 2.14.0, density fitting, grid 3"
SAMPLER = "BAOAB Langevin, ANI-1ccx (torchani 2.0)"
NVE_SAMPLER = "velocity Verlet, SO3LR, 0.5 fs, constant energy"
LICENCE = "MIT OR Apache-2.0"
FOLDERS = {  # what, level, sampler
    "train": ("train", SO3LR, SAMPLER + "; distortions, see README.md"),
    "test": ("test", SO3LR, SAMPLER),
    "test/held_out": ("held_out", SO3LR, SAMPLER),
    "dft": ("dft", PBE0, SAMPLER),
    "trajectories": ("trajectory", SO3LR, NVE_SAMPLER),
}
PROGRAMS = {
    "so3krates-torch": {
        "version": "0.2.1",
        "wheel_sha256": "1e3aea516997290462a280a64486ce022472dbe1edbdab81f8446587a61899d2",
        "weights": "SO3LR, in the wheel",
        "licence": "MIT",
    },
    "torchani": {
        "version": "2.0",
        "wheel_sha256": "87db70affc847c3aa26081607166580a6e6b01f33e09218e2c5b26f66b45ed89",
        "weights": "ANI-1ccx, in the wheel; sampling only",
        "licence": "MIT",
    },
    "ase": {"version": "3.29.0"},
    "dftd3": {"version": "1.7.0"},
    "numpy": {"version": "2.2.6"},
    "pyscf": {"version": "2.14.0"},
    "pyscf-dispersion": {"version": "1.7.0"},
    "rdkit": {"version": "2026.9.1"},
    "torch": {"version": "2.9.1"},
}


def write(out):
    files = []
    for folder, (what, level, sampler) in FOLDERS.items():
        for path in sorted((out / folder).glob("*.extxyz.gz")):
            if ".part." in path.name:
                continue
            frames = read_frames(path)
            content = path.read_bytes()
            files.append(
                {
                    "path": path.relative_to(out).as_posix(),
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "bytes": len(content),
                    "n_frames": len(frames),
                    "atoms": len(frames[0].numbers),
                    "what": what,
                    "molecule": frames[0].molecule,
                    "temperature_K": sorted({round(f.temperature) for f in frames}),
                    "trajectories": len({f.trajectory for f in frames}),
                    "force_std_eV_per_A": round(float(np.std([f.forces for f in frames])), 4),
                    "level": level,
                    "sampler": sampler,
                    "licence": LICENCE,
                }
            )
    files.sort(key=lambda entry: entry["path"])
    document = {
        "command": "python data/generate/make.py",
        "files": files,
        "programs": PROGRAMS,
        "teacher_licence": "MIT",
    }
    (out / "manifest.json").write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
