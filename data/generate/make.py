"""Makes the data of this project from nothing. A file that exists is left alone.

    python -m venv venv && venv/bin/pip install -r requirements.txt
    OMP_NUM_THREADS=1 venv/bin/python make.py [--stage STAGE ...] [--molecule NAME ...] [--output FOLDER]

Stages: train, test, dft, nve, manifest. molecules/generate.py comes before them and has its own requirements.
"""

import argparse
import logging
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import common  # noqa: E402
from common import DATA, DFT_FRAMES, HELD_OUT, TRAINED  # noqa: E402

STAGES = ["train", "test", "dft", "nve", "manifest"]

log = logging.getLogger("make")


def train(out, molecules):
    for molecule in molecules(TRAINED):
        write(out / "train" / f"{molecule}.extxyz.gz", lambda m=molecule: labelled().train(m))


def test(out, molecules):
    for molecule in molecules(TRAINED + HELD_OUT):
        folder = out / "test" / "held_out" if molecule in HELD_OUT else out / "test"
        for t in labelled().TEST_TEMPERATURES:
            write(folder / f"{molecule}_{t}K.extxyz.gz", lambda m=molecule, t=t: labelled().test(m, t))


def dft(out, molecules):
    import dft as stage

    for molecule in molecules(DFT_FRAMES):
        write(out / "dft" / f"{molecule}.extxyz.gz", lambda m=molecule: stage.frames(m, out))


def nve(out, molecules):
    import nve as stage

    stage.run(out / "trajectories")


def manifest(out, molecules):
    import manifest as stage

    stage.write(out)


def labelled():
    import labelled as stage

    return stage


def write(path, frames):
    if path.exists():
        return
    start, cpu = time.monotonic(), time.process_time()
    made = frames()
    common.write_frames(path, made)
    wall, cpu = time.monotonic() - start, time.process_time() - cpu
    log.info("%s: %d frames, %d bytes, %.0f s CPU, %.0f s", path, len(made), path.stat().st_size, cpu, wall)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--molecule", nargs="+", choices=TRAINED + HELD_OUT)
    parser.add_argument("--output", type=Path, default=DATA)
    arguments = parser.parse_args()
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    wanted = arguments.molecule
    for stage in STAGES:
        if stage in arguments.stage:
            globals()[stage](arguments.output, lambda names: [n for n in names if not wanted or n in wanted])


if __name__ == "__main__":
    main()
