"""SDK v2's estimators of the built-in algorithms: LinearLearner, KMeans, PCA, KNN, FactorizationMachines, RandomCutForest, unchanged."""

from __future__ import annotations

import numpy as np
import pytest

from tests.journeys.conftest import environment


@pytest.fixture(scope="module")
def said(yard):
    environment("builtin-1")
    return yard.python("client-sdk2", "sdk2_builtin.py", timeout=240)


def of(said, name, key):
    return [row[key][0] for row in said["answers"][name]]


def test_the_images_are_the_ones_the_sdk_names(said):
    assert said["jobs"]["forest"]["image"].endswith(".dkr.ecr.us-east-1.amazonaws.com/randomcutforest:1")
    assert said["jobs"]["factors"]["image"].startswith("382416733822.")


def test_answers_by_recordio(said):
    truth = said["truth"]
    assert np.mean(np.array(of(said, "linear", "predicted_label")) == truth["binary"]) > 0.95
    assert np.mean(np.array(of(said, "knn", "predicted_label")) == truth["labels"]) > 0.95
    assert np.mean(np.array(of(said, "factors", "predicted_label")) == truth["binary"]) > 0.9
    pairs = {(label, cluster) for label, cluster in zip(truth["labels"], of(said, "kmeans", "closest_cluster"), strict=True)}
    assert len(pairs) == 3  # three clusters, each of one kind of rows
    assert all(len(row["projection"]) == 2 for row in said["answers"]["pca"])
    assert 0.3 < np.median(of(said, "forest", "score")) < 2


def test_answers_by_csv_and_json(said):
    rows = said["kmeans_json"]["predictions"]
    assert set(rows[0]) == {"closest_cluster", "distance_to_cluster"}
    assert [[float(value) for value in row] for row in said["kmeans_csv"]] == [
        [r["closest_cluster"], r["distance_to_cluster"]] for r in rows
    ]


def test_metrics_of_the_jobs(said):
    jobs = said["jobs"]
    assert jobs["linear"]["metrics"]["test:binary_classification_accuracy"] > 0.95
    assert jobs["linear"]["metrics"]["train:progress"] > 0
    assert 0 < jobs["kmeans"]["metrics"]["test:msd"] < 5
    assert jobs["knn"]["metrics"]["test:accuracy"] > 0.95
    assert jobs["factors"]["metrics"]["train:binary_classification_accuracy:epoch"] > 0.9
    assert jobs["pca"]["hyperparameters"]["feature_dim"] == "4"


def test_artifact_and_attach(said):
    assert said["pca_files"] == ["model_algo-1"]
    assert said["attached"]["k"] == 3 and said["attached"]["data"].endswith("builtin-kmeans/output/model.tar.gz")


def test_the_reason_of_a_bad_job(said):
    status, reason = said["bad"]
    assert status == "Failed"
    assert reason.startswith("ClientError: The number of clusters k (301) is larger") and reason.endswith(", exit code: 2")
