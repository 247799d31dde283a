"""The sampler's forces (ANI-1ccx) and the teacher's labels (SO3LR), both in batches."""

import os
import warnings
from functools import cache

import numpy as np
import torch
from ase.units import Hartree

warnings.filterwarnings("ignore")
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))

LONG_RANGE_CUTOFF = 100.0  # Å, beyond the size of every molecule here
BATCH = 32


@cache
def _ani():
    import torchani

    # One network of the eight: enough to draw configurations from, and its labels are not kept.
    return torchani.models.ANI1ccx(periodic_table_index=True)[0].float()


def ani_forces(numbers, positions):
    """Forces in eV/Å (f64 tensor) at positions in Å (replicas, atoms, 3), evaluated in f32."""
    x = positions.detach().to(torch.float32, copy=True).requires_grad_()
    energies = _ani()((numbers, x)).energies
    return -torch.autograd.grad(energies.sum(), x)[0].double() * Hartree


@cache
def so3lr():
    """The calculator of so3krates-torch with the weights of its wheel, f64."""
    from so3krates_torch.calculator.so3 import SO3LRCalculator

    return SO3LRCalculator(default_dtype="float64", r_max_lr=LONG_RANGE_CUTOFF)


def so3lr_batch(structures):
    """The model's input for a list of ase.Atoms."""
    from so3krates_torch.calculator import so3

    calculator = so3lr()
    key_specification = calculator.key_specification
    key_specification.update(arrays_keys={calculator.charges_key: "Qs"})
    data = [
        so3.So3Data.from_config(
            so3.config_from_atoms(atoms, key_specification=key_specification),
            z_table=calculator.z_table,
            cutoff=calculator.r_max,
            cutoff_lr=calculator.r_max_lr,
        )
        for atoms in structures
    ]
    loader = so3.torch_geometric.dataloader.DataLoader(dataset=data, batch_size=len(data), shuffle=False)
    return next(iter(loader))


def so3lr_label(structures):
    """Energies in eV and forces in eV/Å of a list of ase.Atoms."""
    energies, forces = [], []
    for first in range(0, len(structures), BATCH):
        chunk = structures[first : first + BATCH]
        output = so3lr().models[0](so3lr_batch(chunk).to_dict(), compute_stress=False)
        energies += output["energy"].detach().tolist()
        ends = np.cumsum([len(atoms) for atoms in chunk])[:-1]
        forces += np.split(output["forces"].detach().numpy(), ends)
    return energies, forces
