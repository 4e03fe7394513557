"""Script mode as users write it: a logistic regression, its environment kept in output data, a dependency of its own."""

import argparse
import json
import os
import sys
import time

import joblib
import numpy as np
import tinydb  # from requirements.txt
from sklearn.linear_model import LogisticRegression

if __name__ == "__main__":
    parser = argparse.ArgumentParser()  # names of one letter come with one dash
    parser.add_argument("-C", type=float, default=1.0)
    parser.add_argument("--max-iter", type=int, default=100)
    parser.add_argument("--mode", default="train")
    parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
    parser.add_argument("--train", default=os.environ["SM_CHANNEL_TRAIN"])
    args, _ = parser.parse_known_args()
    if args.mode == "fail":
        raise RuntimeError("no such luck")
    if args.mode == "sleep":
        print("sleeping", flush=True)
        time.sleep(300)
    rows = np.loadtxt(os.path.join(args.train, "iris_train.csv"), delimiter=",")
    model = LogisticRegression(C=args.C, max_iter=args.max_iter).fit(rows[:, 1:], rows[:, 0])
    for epoch in range(3):
        print(f"epoch {epoch} train_accuracy={model.score(rows[:, 1:], rows[:, 0]) - 0.1 * (2 - epoch):.4f};", flush=True)
    joblib.dump(model, os.path.join(args.model_dir, "model.joblib"))
    dump = {
        "argv": sys.argv[1:],
        "tinydb": tinydb.__version__,
        "files": sorted(os.listdir("/opt/ml/input/config")),
        "env": {k: v for k, v in os.environ.items() if k.startswith("SM_") or k in ("TRAINING_JOB_NAME", "AWS_REGION", "COLOUR")},
    }
    with open(os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], "environment.json"), "w") as file:
        json.dump(dump, file)


def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))
