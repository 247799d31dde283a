"""Writes distiller.pt and, beside it, averaged.pt, PyTorch checkpoints, without PyTorch: CPython's own pickle module, and torch.save's layout
(protocol 2, persistent ids for storages, uncompressed zip entries), checked against files that PyTorch wrote.

Sizes: hidden_dim 8, 2 interactions, 4 radial functions, max_z 8, cutoff 4.5. Element i (row-major) of the tensor
`name` is ((i + 3 len(name)) mod 16 - 8)/16, which every floating-point format holds exactly; widths are 1, and centres
evenly spaced up to the cutoff.
Stored in unusual ways: one matrix transposed, one vector a view into a longer storage, all four number formats.

averaged.pt: hidden_dim 4, 1 interaction, 3 radial functions, cutoff 3, and beside model_state_dict an ema_state_dict of half its
numbers, but for centres and widths.
"""

import io
import json
import math
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict

torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
sys.modules |= {"torch": torch, "torch._utils": utils}


def _rebuild_tensor_v2():
    pass


_rebuild_tensor_v2.__module__ = "torch._utils"
utils._rebuild_tensor_v2 = _rebuild_tensor_v2
for storage in ["FloatStorage", "DoubleStorage", "HalfStorage", "BFloat16Storage"]:
    setattr(torch, storage, type(storage, (), {"__module__": "torch"}))


class Storage:
    def __init__(self, kind, key, length):
        self.kind, self.key, self.length = kind, key, length


class Tensor:
    def __init__(self, *arguments):
        self.arguments = arguments

    def __reduce__(self):
        return _rebuild_tensor_v2, self.arguments


class Pickler(pickle.Pickler):
    def persistent_id(self, x):
        if isinstance(x, Storage):
            return ("storage", getattr(torch, x.kind), x.key, "cpu", x.length)


def bfloat16(x):
    return struct.pack("<f", x)[2:]


ENCODE = {
    "FloatStorage": lambda x: struct.pack("<f", x),
    "DoubleStorage": lambda x: struct.pack("<d", x),
    "HalfStorage": lambda x: struct.pack("<e", x),
    "BFloat16Storage": bfloat16,
}


def shapes(f, k, layers, max_z):
    def linear(name, n_in, n_out):
        return [(f"{name}.weight", (n_out, n_in)), (f"{name}.bias", (n_out,))]

    yield from [("embedding.weight", (max_z + 1, f)), ("rbf.centers", (k,)), ("rbf.widths", (k,))]
    for layer in range(layers):
        yield from linear(f"interactions.{layer}.message.rbf_to_scalar.0", k, f)
        yield from linear(f"interactions.{layer}.message.rbf_to_scalar.2", f, 3 * f)
        yield f"interactions.{layer}.update.mixing_matrix", (3, 3)
        yield from linear(f"interactions.{layer}.update.update_mlp.0", 2 * f, f)
        yield from linear(f"interactions.{layer}.update.update_mlp.2", f, 3 * f)
    for n, n_in, n_out in [(0, f, f // 2), (2, f // 2, f // 4), (4, f // 4, 1)]:
        yield from linear(f"energy_head.{n}", n_in, n_out)


def value(name, i):
    special = {"rbf.widths": 1.0, "rbf.centers": 1.5 * i}
    return special.get(name, ((i + 3 * len(name)) % 16 - 8) / 16)


data, state, parameters = [], OrderedDict(), 0
for name, shape in shapes(8, 4, 2, 8):
    count = shape[0] * (shape[1] if len(shape) == 2 else 1)
    values = [value(name, i) for i in range(count)]
    strides = (shape[1], 1) if len(shape) == 2 else (1,)
    kind, offset = "FloatStorage", 0
    if name == "energy_head.0.weight":  # transposed
        rows, columns = shape
        values = [values[r * columns + c] for c in range(columns) for r in range(rows)]
        strides = (1, rows)
    if name == "energy_head.0.bias":  # a view from the third number on
        values, offset = [7.0, 8.0] + values, 2
    if name == "energy_head.2.bias":
        kind = "DoubleStorage"
    if name == "rbf.centers":
        kind = "HalfStorage"
    if name.endswith("update_mlp.0.bias"):
        kind = "BFloat16Storage"
    storage = Storage(kind, str(len(data)), len(values))
    data.append(b"".join(map(ENCODE[kind], values)))
    state[name] = Tensor(storage, offset, shape, strides, False, OrderedDict())
    parameters += 0 if name.startswith("rbf.") else count
state._metadata = OrderedDict([("", {"version": 1})])  # as Module.state_dict() has it

config = {"hidden_dim": 8, "num_interactions": 2, "num_rbf": 4, "cutoff": 4.5, "max_z": 8, "use_torch_cluster": True}
content = io.BytesIO()
checkpoint = {"epoch": -70000, "loss": None, "history": [1.5, 2**40], "model_state_dict": state}
Pickler(content, protocol=2).dump(checkpoint | {"config": config, "num_parameters": parameters})


def write(path, pickled, data):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        entries = [("data.pkl", pickled), ("byteorder", b"little")]
        for name, entry in entries + [(f"data/{key}", entry) for key, entry in enumerate(data)] + [("version", b"3\n")]:
            archive.writestr(zipfile.ZipInfo(f"distiller/{name}"), entry)


write(sys.argv[1], content.getvalue(), data)

data, sets = [], {}
for key, scale in [("model_state_dict", 1), ("ema_state_dict", 0.5)]:
    sets[key] = OrderedDict()
    for name, shape in shapes(4, 3, 1, 8):
        factor = 1 if name.startswith("rbf.") else scale
        values = [factor * value(name, i) for i in range(math.prod(shape))]
        storage = Storage("FloatStorage", str(len(data)), len(values))
        data.append(b"".join(map(ENCODE["FloatStorage"], values)))
        strides = (shape[1], 1) if len(shape) == 2 else (1,)
        sets[key][name] = Tensor(storage, 0, shape, strides, False, OrderedDict())
content = io.BytesIO()
config = {"hidden_dim": 4, "num_interactions": 1, "num_rbf": 3, "cutoff": 3.0, "max_z": 8}
Pickler(content, protocol=2).dump(sets | {"config": config})
write(sys.argv[1].replace("distiller.pt", "averaged.pt"), content.getvalue(), data)


# The energy of the network in plain Python, written from the formulae alone: the golden number of the tests.
# With a folder of model.safetensors and config.json as further argument: that of water, to compare with PyTorch.
def silu(z):
    return z / (1 + math.exp(-z))


def linear(w, name, x):
    weight, bias = w[f"{name}.weight"], w[f"{name}.bias"]
    return [sum(weight[o * len(x) + i] * x[i] for i in range(len(x))) + bias[o] for o in range(len(bias))]


def mlp(w, name, numbers, x):
    for n in numbers[:-1]:
        x = [silu(z) for z in linear(w, f"{name}.{n}", x)]
    return linear(w, f"{name}.{numbers[-1]}", x)


def energy(w, cutoff, layers, numbers, positions):
    n, f = len(numbers), len(w["energy_head.0.weight"]) // len(w["energy_head.0.bias"])
    s = [w["embedding.weight"][z * f : (z + 1) * f] for z in numbers]
    v = [[[0.0] * f for _ in range(3)] for _ in numbers]
    for layer in range(layers):
        new_s, new_v = [list(x) for x in s], [[list(x) for x in y] for y in v]
        for i in range(n):
            for j in range(n):
                d = math.dist(positions[i], positions[j])
                if i == j or d > cutoff:
                    continue
                unit = [(positions[j][a] - positions[i][a]) / (d + 1e-8) for a in range(3)]
                envelope = (math.cos(math.pi * d / cutoff) + 1) / 2 if d < cutoff else 0.0
                basis = [envelope * math.exp(-(((d - c) / x) ** 2)) for c, x in zip(w["rbf.centers"], w["rbf.widths"])]
                g = mlp(w, f"interactions.{layer}.message.rbf_to_scalar", [0, 2], basis)
                for k in range(f):
                    new_s[i][k] += s[j][k] * g[k]
                    for a in range(3):
                        new_v[i][a][k] += v[j][a][k] * g[f + k] + unit[a] * g[2 * f + k]
        m = w[f"interactions.{layer}.update.mixing_matrix"]
        for i in range(n):
            norms = [math.sqrt(sum(new_v[i][a][k] ** 2 for a in range(3))) for k in range(f)]
            g = mlp(w, f"interactions.{layer}.update.update_mlp", [0, 2], new_s[i] + norms)
            s[i] = [new_s[i][k] + g[k] for k in range(f)]
            mixed = [[sum(m[3 * a + b] * new_v[i][b][k] for b in range(3)) for k in range(f)] for a in range(3)]
            v[i] = [[new_v[i][a][k] * g[f + k] + mixed[a][k] * g[2 * f + k] for k in range(f)] for a in range(3)]
    return sum(mlp(w, "energy_head", [0, 2, 4], x)[0] for x in s)


def formula_weights():
    for name, shape in shapes(8, 4, 2, 8):
        count = math.prod(shape)
        yield name, [value(name, i) for i in range(count)]


WATER = [(0.0, 0.1, 0.2), (0.9, 0.3, -0.4), (-0.5, 0.8, -0.6), (3.5, 2.5, 1.5)]  # and an H, near one of them
print(repr(energy(dict(formula_weights()), 4.5, 2, [8, 1, 1, 1], WATER)), "eV")

if len(sys.argv) > 2:
    with open(f"{sys.argv[2]}/model.safetensors", "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        body = file.read()
    weights = {
        name: struct.unpack(f"<{(b - a) // 4}f", body[a:b])
        for name, (a, b) in ((name, t["data_offsets"]) for name, t in header.items() if name != "__metadata__")
    }
    config = json.load(open(f"{sys.argv[2]}/config.json"))
    with open(f"{sys.argv[2]}/../energy_force_reference.json") as file:
        for case in json.load(file)["cases"]:
            if sys.argv[2].endswith(case["model"]) and len(case["numbers"]) < 6:
                found = energy(weights, config["cutoff"], config["num_interactions"], case["numbers"], case["positions"])
                print(case["model"], case["molecule"], found - case["energy_f64"])
