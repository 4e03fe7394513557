"""MLU lab 1: what real AWS printed for `xgboost` 1.0-1 on iris, recomputed through train and serve."""

from __future__ import annotations

import re
import subprocess

import pytest

CSV = {"ContentType": "csv", "TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
HYPERPARAMETERS = {
    "eta": "0.1", "max_depth": "10", "gamma": "4", "num_class": "3", "alpha": "10", "min_child_weight": "6", "silent": "0",
    "objective": "multi:softmax", "num_round": "30",
}  # fmt: skip
SPLIT = """
import numpy as np, sys
from sklearn import datasets
from sklearn.model_selection import train_test_split
X, y = datasets.load_iris(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.33, random_state=42, stratify=y)
np.savetxt(sys.argv[1], np.column_stack((y_train, X_train)), delimiter=",", fmt="%0.3f")
np.savetxt(sys.argv[2], np.column_stack((y_test, X_test)), delimiter=",", fmt="%0.3f")
np.savetxt(sys.argv[3], X_test, delimiter=",", fmt="%r"); np.savetxt(sys.argv[4], y_test, fmt="%d")
"""

pytestmark = pytest.mark.slow


def test_lab_1(container, tmp_path):
    box = container("xgboost-1.7")
    box.write("hyperparameters", HYPERPARAMETERS)
    box.write("inputdataconfig", {"train": CSV, "validation": CSV})
    files = [
        box.channel("train", "iris_train.csv", ""),
        box.channel("validation", "iris_test.csv", ""),
        tmp_path / "x.csv",
        tmp_path / "y.csv",
    ]
    subprocess.run([box.python, "-c", SPLIT, *map(str, files)], check=True)

    done = box.run("train", "xgboost", MODELYARD_IMAGE_VERSION="1.0-1")

    assert done.returncode == 0, done.stdout
    assert [line for line in done.stdout.splitlines() if re.match(r"\[\d+\]#", line)] == [
        f"[{i}]#011train-merror:0.03000#011validation-merror:0.10000" for i in range(30)
    ]
    for text in (
        "INFO:sagemaker_xgboost_container.training:Running XGBoost Sagemaker in algorithm mode",
        "100x4 matrix with 400 entries loaded from",
        "50x4 matrix with 200 entries loaded from",
        "INFO:root:Single node training.",
        "INFO:root:Train matrix has 100 rows\n",
        "INFO:root:Validation matrix has 50 rows\n",
    ):
        assert text in done.stdout
    assert (box.base / "model" / "xgboost-model").read_bytes()[:2] == b"\x80\x04"  # a pickle of protocol 4
    rows, labels = (file.read_text().splitlines() for file in files[2:])
    with box.serving("xgboost", MODELYARD_IMAGE_VERSION="1.0-1") as client:
        answers = [client.post(row) for row in rows]
        assert client.post("6.3,2.8,5.1,1.5")[1] == b"1.0"
        together = client.post("\n".join(rows))[1]
    predictions = [float(body.decode("utf-8")) for _, body, _ in answers]
    right = sum(p == float(label) for p, label in zip(predictions, labels, strict=True))
    assert f"{100 * right / len(labels):.1f}" == "90.0"  # micro F1 of one label per row is the accuracy
    assert predictions[0] == 1.0
    assert [float(v) for v in together.decode().split(",")] == predictions


def test_later_versions_keep_their_own_metric_and_format(container):
    box = container("xgboost-3.0")
    box.write("hyperparameters", {"num_round": "2", "objective": "multi:softprob", "num_class": "3"})
    box.write("inputdataconfig", {"train": CSV})
    box.channel("train", "a.csv", "".join(f"{i % 3},{i % 3 + 0.5},{i}\n" for i in range(60)))

    done = box.run("train", "xgboost", MODELYARD_IMAGE_VERSION="3.0-5")

    assert done.returncode == 0, done.stdout
    assert "[1]#011train-mlogloss:" in done.stdout and "rows and 2 columns" in done.stdout
    assert (box.base / "model" / "xgboost-model").read_bytes()[:1] == b"{"  # UBJSON
    with box.serving("xgboost", MODELYARD_IMAGE_VERSION="3.0-5") as client:
        status, body, headers = client.post("0.5,0\n1.5,1\n")
        assert status == 200 and headers["Content-Type"].startswith("text/csv")
        rows = [[float(v) for v in line.split(",")] for line in body.decode().splitlines()]
        assert len(rows) == 2 and all(len(row) == 3 and abs(sum(row) - 1) < 1e-5 for row in rows)
