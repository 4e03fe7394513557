"""A user's training script: a random forest on iris, in script mode."""

import argparse
import os

import joblib
import numpy as np
from sklearn.ensemble import RandomForestClassifier


def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--train", default=os.environ.get("SM_CHANNEL_TRAIN"))
    parser.add_argument("--model-dir", default=os.environ.get("SM_MODEL_DIR"))
    options = parser.parse_args()
    rows = np.loadtxt(os.path.join(options.train, "iris_train.csv"), delimiter=",")
    forest = RandomForestClassifier(options.trees, random_state=0).fit(rows[:, 1:], rows[:, 0])
    print(f"accuracy on the training rows: {forest.score(rows[:, 1:], rows[:, 0]):.3f}")
    joblib.dump(forest, os.path.join(options.model_dir, "model.joblib"))
