"""Whether PyTorch makes of pictures what wgraft does, with the weights of a run.

    check.py CHECKPOINT FOLDER EMBEDDINGS.npy PREDICTIONS.json

The network is loaded by the code in docs/weights.md. FOLDER holds the pictures, of the size of training; EMBEDDINGS.npy and the
.files.csv beside it are of `wgraft embed RUN FOLDER --out EMBEDDINGS.npy`, PREDICTIONS.json is of `wgraft predict RUN FOLDER --json`.
"""

import csv, json, pathlib, re, sys

import numpy, torch
from PIL import Image

TOLERANCE = 1e-4  # of the largest

checkpoint, folder, embeddings, predictions = sys.argv[1:]
guide = pathlib.Path(__file__).parents[2] / "docs/weights.md"
exec(next(code for code in re.findall(r"```python\n(.*?)```", guide.read_text(), re.S) if "def load(" in code))

net, record = load(checkpoint)
files = [row["file"] for row in csv.DictReader(open(re.sub("npy$", "files.csv", embeddings)))]
pictures = torch.stack([picture(pathlib.Path(folder) / file, record) for file in files])

features = []
last = [layer for layer in net.modules() if isinstance(layer, torch.nn.Linear)][-1]
last.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
with torch.no_grad():
    probabilities = net.double()(pictures.double()).softmax(1)

theirs, ours = features[0].numpy(), numpy.load(embeddings)
assert theirs.shape == ours.shape, f"features are {theirs.shape} in PyTorch and {ours.shape} here"
errors = {"features": float(abs(theirs - ours).max() / abs(theirs).max()), "probabilities": 0.0}

found = {pathlib.Path(each["file"]).resolve(): each for each in json.load(open(predictions))["predictions"]}
for file, row in zip(files, probabilities):
    each = found[(pathlib.Path(folder) / file).resolve()]
    assert each["name"] == record["class_names"][each["class"]], each
    errors["probabilities"] = max(errors["probabilities"], abs(row[each["class"]].item() - each["probability"]) / row.max().item())

print(f"{record['model']['kind']}, {len(files)} pictures, worst of the largest: {errors}")
sys.exit(not all(error <= TOLERANCE for error in errors.values()))
