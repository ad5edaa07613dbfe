"""The standard workloads of `wgraft bench`, done by PyTorch on the CPU: one line of JSON each. Argument: threads."""

import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

threads = int(sys.argv[1]) if len(sys.argv) > 1 else 1
torch.set_num_threads(threads)


def measure(name, calls, call):
    """Milliseconds per call: the median of five rounds, after one that warms up."""

    def one_round():
        start = time.perf_counter()
        for i in range(calls):
            call(i)
        return (time.perf_counter() - start) * 1e3 / calls

    one_round()
    ms = statistics.median(one_round() for _ in range(5))
    print(json.dumps({"peer": f"torch, {threads} threads", "name": name, "ms": round(ms, 4)}), flush=True)


def train_step(hidden, batch, calls):
    model = nn.Sequential(nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    batches = [(torch.rand(batch, 784), torch.randint(0, 10, (batch,))) for _ in range(8)]

    def step(i):
        images, labels = batches[i % 8]
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()

    measure(f"mlp 784-{hidden}-10 batch {batch}", calls, step)


def matmul(layout, m, n, k, calls):
    a = torch.rand(k, m).T if layout == "TN" else torch.rand(m, k)
    b = torch.rand(n, k).T if layout == "NT" else torch.rand(k, n)
    name = f"matmul {m}" if m == n == k else f"matmul {layout} {m}x{k}x{n}"
    measure(name, calls, lambda _: a @ b)


def nt_xent(pairs, calls):
    z = torch.randn(2 * pairs, 128, requires_grad=True)
    not_itself = torch.eye(2 * pairs) * 1e9
    other_view = (torch.arange(2 * pairs) + pairs) % (2 * pairs)

    def loss_and_gradient(_):
        z.grad = None
        unit = F.normalize(z)
        F.cross_entropy(unit @ unit.T / 0.5 - not_itself, other_view).backward()

    measure(f"nt_xent {pairs} pairs", calls, loss_and_gradient)


train_step(128, 64, 300)
train_step(512, 256, 40)
matmul("NT", 64, 128, 784, 200)
matmul("TN", 784, 128, 64, 200)
matmul("NT", 64, 10, 128, 1000)
matmul("NN", 256, 256, 256, 100)
matmul("NN", 1024, 1024, 1024, 5)
nt_xent(256, 10)
nt_xent(1024, 3)
