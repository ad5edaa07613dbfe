"""Golden values of ResNet-34 and ResNet-50 by the formula that resnet18_forward states: the published definition in NumPy, float64.

python tests/golden/resnet_forward.py
"""

import json
import os

import numpy as np
from safetensors.numpy import save_file

HERE = os.path.dirname(os.path.abspath(__file__))


def units(name, shape, salt=0):
    hashed = 0x811C9DC5
    for byte in name.encode():
        hashed = (hashed ^ byte) * 0x01000193 & 0xFFFFFFFF
    x = np.arange(int(np.prod(shape)), dtype=np.uint64) * 1664525 + 1013904223 + hashed + salt
    x &= 0xFFFFFFFF
    x = (x ^ x >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    x = (x ^ x >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    x ^= x >> 16
    return ((x >> 8) / float(1 << 24) - 0.5).reshape(shape)


def weight(name, shape):
    return (units(name, shape) * np.sqrt(24 / np.prod(shape[1:]))).astype(np.float32).astype(np.float64)


def vector(name, size):
    scale = 1 + 0.4 * units(name, (size,)) if name.endswith((".running_var", ".weight")) else 0.2 * units(name, (size,))
    return scale.astype(np.float32).astype(np.float64)


def windows(x, size, stride, padding, value=0.0):
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), constant_values=value)
    return np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))[:, :, ::stride, ::stride]


def conv(x, name, outputs, size, stride, padding):
    w = weight(name + ".weight", (outputs, x.shape[1], size, size))
    seen = windows(x, size, stride, padding)
    n, c, h, width = seen.shape[:4]
    rows = seen.transpose(0, 2, 3, 1, 4, 5).reshape(n * h * width, -1)
    return (rows @ w.reshape(outputs, -1).T).reshape(n, h, width, outputs).transpose(0, 3, 1, 2)


def norm(x, name):
    mean, var, scale, shift = (vector(f"{name}.{of}", x.shape[1])[:, None, None] for of in ("running_mean", "running_var", "weight", "bias"))
    return (x - mean) / np.sqrt(var + 1e-5) * scale + shift


def relu(x):
    return np.maximum(x, 0)


def block(x, name, channels, stride, deep):
    if deep:
        h = relu(norm(conv(x, name + ".conv1", channels, 1, 1, 0), name + ".bn1"))
        h = relu(norm(conv(h, name + ".conv2", channels, 3, stride, 1), name + ".bn2"))
        h = norm(conv(h, name + ".conv3", 4 * channels, 1, 1, 0), name + ".bn3")
    else:
        h = relu(norm(conv(x, name + ".conv1", channels, 3, stride, 1), name + ".bn1"))
        h = norm(conv(h, name + ".conv2", channels, 3, 1, 1), name + ".bn2")
    if stride != 1 or x.shape[1] != h.shape[1]:
        x = norm(conv(x, name + ".downsample.0", h.shape[1], 1, stride, 0), name + ".downsample.1")
    return relu(h + x)


def forward(blocks, deep):
    x = (4 * units("input", (2, 3, 224, 224))).astype(np.float32).astype(np.float64)
    x = relu(norm(conv(x, "conv1", 64, 7, 2, 3), "bn1"))
    x = windows(x, 3, 2, 1, -np.inf).max((-1, -2))
    found = {"out.stem": x}
    for layer, (count, channels) in enumerate(zip(blocks, (64, 128, 256, 512)), 1):
        for i in range(count):
            x = block(x, f"layer{layer}.{i}", channels, 2 if layer > 1 and i == 0 else 1, deep)
        found[f"out.layer{layer}"] = x
    probes = {name: values.reshape(-1)[:64].copy() for name, values in found.items()}
    features = x.mean((2, 3))
    probes["out.logits"] = features @ weight("fc.weight", (1000, features.shape[1])).T + vector("fc.bias", 1000)
    return probes


for name, blocks, deep in (("resnet18", (2, 2, 2, 2), False), ("resnet34", (3, 4, 6, 3), False), ("resnet50", (3, 4, 6, 3), True)):
    values, path = forward(blocks, deep), os.path.join(HERE, name + "_forward.safetensors")
    if os.path.exists(path):
        from safetensors.numpy import load_file

        known = load_file(path)
        print(name, "worst difference to what is there:", max(np.abs(values[key] - known[key]).max() for key in known))
        continue
    params = {"weights": "as resnet18_forward", "salt": 0, "blocks": blocks}
    metadata = {"op": name + "_forward", "source": "numpy, by resnet_forward.py", "params": json.dumps(params)}
    save_file(values, path, metadata)
