"""Script mode under SDK v3's driver: plain Python, its environment kept with the model."""

import argparse
import json
import os
import sys

import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
parser.add_argument("--rate", type=float)
args = parser.parse_args()
rows = np.loadtxt(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "iris_train.csv"), delimiter=",")
weights = np.zeros(rows.shape[1] - 1)
for epoch in range(args.epochs):
    error = rows[:, 1:] @ weights - rows[:, 0]
    weights -= args.rate * (rows[:, 1:].T @ error) / len(rows)
    print(f"epoch {epoch} loss={float(np.mean(error**2)):.6f};", flush=True)
seen = {
    "cwd": os.getcwd(),
    "argv": sys.argv[1:],
    "files": sorted(os.listdir(".")),
    "driver_env": os.path.exists("/opt/ml/input/sm_training.env"),
    "channels": sorted(os.listdir("/opt/ml/input/data")),
    "env": {k: v for k, v in os.environ.items() if k.startswith("SM_")},
    "weights": weights.tolist(),
}
with open(os.path.join(os.environ["SM_MODEL_DIR"], "seen.json"), "w") as file:
    json.dump(seen, file)
