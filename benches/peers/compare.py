"""Puts results side by side: compare.py WGRAFT.json PEER.jsonl ...

WGRAFT.json is the last line of `wgraft bench --json`; each PEER.jsonl holds what a peer printed. Ratios above 1 mean that
wgraft is faster.
"""

import json
import sys

ours = json.loads(open(sys.argv[1]).read().splitlines()[-1])
peers = {}
for path in sys.argv[2:]:
    for line in open(path):
        if line.startswith("{"):
            row = json.loads(line)
            peers.setdefault(row["name"], {})[row["peer"]] = row["ms"]

columns = sorted({peer for row in peers.values() for peer in row})
print(f"wgraft on {ours['device']}, peak {ours['roofline']['fma_gflops']:.0f} GFLOP/s\n")
print("| workload | wgraft, ms | of peak | " + " | ".join(f"{peer}, ms | ratio" for peer in columns) + " |")
print("|---|---:|---:|" + "---:|---:|" * len(columns))
for workload in ours["workloads"]:
    cells = []
    for peer in columns:
        ms = peers.get(workload["name"], {}).get(peer)
        cells.append(f"{ms:.3g} | {ms / workload['ms']:.2f}" if ms else "- | -")
    share = f"{100 * workload['fraction_of_peak']:.0f} %"
    print(f"| {workload['name']} | {workload['ms']:.3g} | {share} | " + " | ".join(cells) + " |")
