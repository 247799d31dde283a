"""Energy and forces of the distiller form in PyTorch, eager and compiled: the alternative to measure `mdproof bench` against.

    pip install torch safetensors ase
    python torch_compile.py CHECKPOINT STRUCTURE... [--batch N] [--threads N]

Pairs are found once, outside of what is timed; forces by autograd. Prints ms per call (median).
"""

import argparse
import json
import math
import time
from pathlib import Path

import ase.io
import torch
from safetensors.torch import load_file
from torch.nn.functional import linear, silu


def energy(w, h, z, positions, i, j):
    r = positions[j] - positions[i]
    d = r.norm(dim=1)
    unit = (r / (d + 1e-8)[:, None])[:, :, None]
    envelope = 0.5 * (torch.cos(math.pi * d / h["cutoff"]) + 1.0)
    basis = torch.exp(-(((d[:, None] - w["rbf.centers"]) / w["rbf.widths"]) ** 2)) * envelope[:, None]
    s = w["embedding.weight"][z]
    n, f = s.shape
    v = s.new_zeros(n, 3, f)

    def layer(name, x):
        return linear(x, w[name + ".weight"], w[name + ".bias"])

    for l in range(h["num_interactions"]):
        name = f"interactions.{l}."
        hidden = silu(layer(name + "message.rbf_to_scalar.0", basis))
        f0, f1, f2 = layer(name + "message.rbf_to_scalar.2", hidden).split(f, dim=1)
        sent = s[j] * f0
        v = v + torch.zeros_like(v).index_add(0, i, v[j] * f1[:, None, :] + unit * f2[:, None, :])
        s = s + torch.zeros_like(s).index_add(0, i, sent)
        norm = torch.sqrt((v * v).sum(1) + 1e-20)
        hidden = silu(layer(name + "update.update_mlp.0", torch.cat([s, norm], 1)))
        a0, a1, a2 = layer(name + "update.update_mlp.2", hidden).split(f, dim=1)
        s = s + a0
        v = v * a1[:, None, :] + torch.einsum("ab,nbf->naf", w[name + "update.mixing_matrix"], v) * a2[:, None, :]
    x = silu(layer("energy_head.0", s))
    x = silu(layer("energy_head.2", x))
    return layer("energy_head.4", x).sum()


def median_ms(call):
    for _ in range(5):
        call()
    times = []
    while len(times) < 20 or (sum(times) < 2.0 and len(times) < 1000):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * sorted(times)[len(times) // 2]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("structures", type=Path, nargs="+")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    h = json.loads((a.checkpoint / "config.json").read_text())
    w = load_file(a.checkpoint / "model.safetensors")
    for path in a.structures:
        atoms = ase.io.read(path)
        n = len(atoms)
        one = torch.tensor(atoms.positions, dtype=torch.float32)
        near = (torch.cdist(one, one) <= h["cutoff"]) & ~torch.eye(n, dtype=torch.bool)
        first, second = near.nonzero(as_tuple=True)
        i = torch.cat([first + n * b for b in range(a.batch)])
        j = torch.cat([second + n * b for b in range(a.batch)])
        z = torch.tensor(atoms.numbers).repeat(a.batch)
        positions = one.repeat(a.batch, 1).requires_grad_()

        def forces(function):
            e = function(w, h, z, positions, i, j)
            return e.detach(), -torch.autograd.grad(e, positions)[0]

        torch._dynamo.reset()
        compiled = torch.compile(energy, dynamic=False)
        (e, _), (compiled_e, _) = forces(energy), forces(compiled)
        # Inductor 2.15 miscompiles `s.index_add(0, i, s[j] * f0)` on the CPU: s is overwritten while it is read. (Forces of
        # symmetric molecules may differ: the form has a kink there.)
        assert abs(e - compiled_e) < 1e-4 * abs(e), (e, compiled_e)
        eager_ms, compiled_ms = median_ms(lambda: forces(energy)), median_ms(lambda: forces(compiled))
        print(
            f"{path.stem}: {n} atoms x {a.batch}, {a.threads} threads: E {e.item() / a.batch:.5f} eV, "
            f"eager {eager_ms:.3f} ms, torch.compile {compiled_ms:.3f} ms",
            flush=True,
        )


if __name__ == "__main__":
    main()
