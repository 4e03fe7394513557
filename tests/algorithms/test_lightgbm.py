"""LightGBM tabular, run as the container runs it."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

pytestmark = pytest.mark.slow
CSV = {"ContentType": "text/csv", "TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}


def text(rows) -> str:
    return "".join(",".join(repr(float(value)) for value in row) + "\n" for row in rows)


@pytest.fixture
def job(container):
    """`job(rows, labels, **hyperparameters)` trains; answers (container, exit code, log)."""

    def train(rows, labels, channel="training", file="train/data.csv", **hyperparameters):
        box = container("lightgbm-4")
        box.write("hyperparameters", {name: str(value) for name, value in hyperparameters.items()})
        box.write("inputdataconfig", {channel: CSV})
        box.channel(channel, file, text(np.column_stack([labels, rows])))
        done = box.run("train", "lightgbm")
        return box, done.returncode, done.stdout

    return train


@pytest.mark.parametrize(
    ("load", "key", "metric"),
    [
        (load_breast_cancer, "probabilities", "binary_logloss"),
        (load_iris, "probabilities", "multi_logloss"),
        (load_diabetes, "prediction", "rmse"),
    ],
)
def test_the_kind_of_problem_comes_from_the_labels(job, load, key, metric):
    rows, labels = load(return_X_y=True)
    box, code, log = job(rows, labels, num_boost_round=60)
    assert code == 0, log
    assert re.search(rf"\[1\]\s+validation's {metric}: \d", log)
    with box.serving("lightgbm") as client:
        status, body, headers = client.post(text(rows))
    assert (status, headers["Content-Type"]) == (200, "application/json")
    said = np.array(json.loads(body)[key])
    if key == "prediction":
        assert np.corrcoef(said, labels)[0, 1] > 0.6
    else:
        assert said.shape == (len(rows), len(np.unique(labels)))
        assert np.mean(said.argmax(1) == labels) > 0.95


def test_whole_numbers_may_be_a_regression(job):
    rows, labels = load_iris(return_X_y=True)
    box, code, log = job(rows, labels, metric="l2", channel="train", file="rows.csv")
    assert code == 0, log
    assert "validation's l2" in log
    with box.serving("lightgbm") as client:
        assert set(json.loads(client.post(text(rows[:2]))[1])) == {"prediction"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"num_leaves": 1}, "The value '1' is not valid for the 'num_leaves' hyperparameter"),
        ({"trees": 3}, "Additional hyperparameters are not allowed ('trees' was unexpected)"),
        ({"metric": "auc"}, "The metric 'auc' does not fit labels of 3 classes; use one of multi_logloss, multi_error, auc_mu."),
        ({"is_unbalance": "True", "scale_pos_weight": "2"}, "scale_pos_weight cannot be used if is_unbalance is True"),
    ],
)
def test_what_is_refused(job, change, reason):
    box, code, _ = job(*load_iris(return_X_y=True), **change)
    assert code == 2 and box.failure.startswith("ClientError: ") and reason in box.failure


def test_categories_and_validation_beside_the_data(job, container):
    random = np.random.RandomState(0)
    rows = np.column_stack([random.randint(0, 30, 500), random.normal(0, 1, 500)])
    labels = (rows[:, 0] % 2).astype(int)
    box = container("lightgbm-4", "with-categories")
    box.write("hyperparameters", {})
    box.write("inputdataconfig", {"training": CSV})
    table = np.column_stack([labels, rows])
    box.channel("training", "train/data.csv", text(table[:400]))
    box.channel("training", "validation/data.csv", text(table[400:]))
    box.channel("training", "categorical_index.json", json.dumps({"cat_index_list": [1]}))
    done = box.run("train", "lightgbm")
    assert done.returncode == 0, done.stdout
    with box.serving("lightgbm") as client:
        said = np.array(json.loads(client.post(text(rows[400:]))[1])["probabilities"])
    assert np.mean(said.argmax(1) == labels[400:]) > 0.95
    box.channel("training", "categorical_index.json", json.dumps({"cat_index_list": [3]}))
    done = box.run("train", "lightgbm")
    assert done.returncode == 2 and "cat_index_list must be whole numbers from 1 to 2" in box.failure
