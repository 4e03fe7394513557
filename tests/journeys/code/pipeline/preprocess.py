"""Scales features: the first container of an inference pipeline."""

import argparse
import os

import joblib
import numpy as np
from sklearn.preprocessing import StandardScaler


def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "scaler.joblib"))


def predict_fn(rows, model):
    return model.transform(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
    parser.add_argument("--train", default=os.environ["SM_CHANNEL_TRAIN"])
    arguments = parser.parse_args()
    table = np.loadtxt(os.path.join(arguments.train, "iris_train.csv"), delimiter=",")
    joblib.dump(StandardScaler().fit(table[:, 1:]), os.path.join(arguments.model_dir, "scaler.joblib"))
