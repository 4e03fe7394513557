"""knn and factorization-machines."""

from __future__ import annotations

import json
import re
import zipfile

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris, load_wine
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from modelyard.algorithms import recordio as wire
from modelyard.algorithms.builtin import artifact
from tests.algorithms.builtin.conftest import RECORDIO, csv, recordio

CLASSIFIER = {"k": 5, "predictor_type": "classifier", "sample_size": 1000}


def quality(log, where, name):
    return float(re.findall(rf"#quality_metric: host=algo-1, {where} {name} <(?:score|loss)>=(\S+)", log)[-1])


def test_knn_classifier(box):
    rows, labels = load_iris(return_X_y=True)
    box.channel("train", csv(np.column_stack([labels, rows])), "text/csv")
    box.channel("test", csv(np.column_stack([labels, rows])), "text/csv;label_size=1")
    assert box.train("knn", feature_dim=4, **CLASSIFIER) == 0, box.log
    best = KNeighborsClassifier(5).fit(rows, labels)
    said = [row["predicted_label"] for row in box.server("knn").json(csv(rows))["predictions"]]
    assert np.mean(said == best.predict(rows)) > 0.98
    assert quality(box.log, "test", "accuracy") == pytest.approx(np.mean(said == labels))
    assert re.search(r"#test_score \(algo-1\) : \('accuracy', 0\.9", box.log)


def test_knn_verbose_tells_distances_and_labels(box):
    rows, labels = load_iris(return_X_y=True)
    box.channel("train", recordio(rows, labels))
    assert box.train("knn", feature_dim=4, **(CLASSIFIER | {"k": 3})) == 0, box.log
    server, body = box.server("knn"), json.dumps({"instances": [{"features": rows[70].tolist()}]})
    (row,) = server.json(body, "application/json", "application/json; verbose=true")["predictions"]
    distances, found = KNeighborsClassifier(3).fit(rows.astype(np.float32), labels).kneighbors(rows[70:71].astype(np.float32))
    assert np.allclose(row["distances"], distances[0] ** 2, atol=1e-5)
    assert row["labels"] == labels[found[0]].tolist()
    record = next(iter(wire.read(server.ask(body, "application/json", f"{RECORDIO}; verbose=true").body)))
    assert set(record.label) == {"predicted_label", "distances", "labels"}
    assert set(server.json(body, "application/json")["predictions"][0]) == {"predicted_label"}


def test_knn_regressor(box):
    rows, labels = load_diabetes(return_X_y=True)
    box.channel("train", recordio(rows, labels))
    box.channel("test", recordio(rows[:50], labels[:50]))
    assert box.train("knn", feature_dim=10, k=4, predictor_type="regressor", sample_size=10_000) == 0, box.log
    best = KNeighborsRegressor(4).fit(rows.astype(np.float32), labels)
    said = [row["predicted_label"] for row in box.server("knn").json(csv(rows[:50]))["predictions"]]
    assert np.allclose(said, best.predict(rows[:50].astype(np.float32)))
    assert quality(box.log, "test", "mse") == pytest.approx(np.mean((said - labels[:50]) ** 2), rel=1e-5)


@pytest.mark.parametrize("kind", ["sign", "fjlt"])
def test_knn_in_fewer_dimensions(box, kind):
    random = np.random.RandomState(0)
    labels = random.randint(0, 4, 400)
    rows = random.normal(0, 1, (400, 60)) + 4 * np.eye(60)[labels * 7]
    box.channel("train", recordio(rows, labels))
    box.channel("test", recordio(rows, labels))
    more = {"dimension_reduction_type": kind, "dimension_reduction_target": 30}
    assert box.train("knn", feature_dim=60, **CLASSIFIER, **more) == 0, box.log
    assert quality(box.log, "test", "accuracy") > 0.85


@pytest.mark.parametrize(("metric", "scale"), [("COSINE", 1.0), ("INNER_PRODUCT", 1.0)])
def test_knn_metrics(box, metric, scale):
    rows, labels = load_wine(return_X_y=True)
    rows = (rows - rows.mean(0)) / rows.std(0)
    box.channel("train", recordio(rows, labels))
    box.channel("test", recordio(rows, labels))
    assert box.train("knn", feature_dim=13, index_metric=metric, **CLASSIFIER) == 0, box.log
    assert quality(box.log, "test", "accuracy") > 0.9


def test_knn_samples_and_says_what_index_it_searches(box):
    rows, labels = load_iris(return_X_y=True)
    box.channel("train", recordio(rows, labels))
    more = {"index_type": "faiss.IVFPQ", "faiss_index_pq_m": 2}
    assert box.train("knn", feature_dim=4, **(CLASSIFIER | {"sample_size": 60}), **more) == 0, box.log
    assert "faiss.IVFPQ is searched exactly here" in box.log and "using 60 of 150 records" in box.log
    assert artifact.from_npz(artifact.read_zip(str(box.model))["index.npz"])["points"].shape == (60, 4)


# --- factorization machines --------------------------------------------------------------------

FAST = {"bias_lr": 0.05, "linear_lr": 0.05, "factors_lr": 0.05, "factors_init_sigma": 0.1}


def of_pairs(binary):
    """Labels that only an interaction of two features explains."""
    random = np.random.RandomState(0)
    rows = np.zeros((800, 40))
    first, second = random.randint(0, 20, 800), random.randint(20, 40, 800)
    rows[np.arange(800), first] = rows[np.arange(800), second] = 1
    factors = random.normal(0, 1, (40, 2))
    raw = (factors[first] * factors[second]).sum(1)
    return rows, (raw > 0).astype(float) if binary else raw


def test_factors_learn_interactions(box):
    rows, labels = of_pairs(binary=False)
    box.channel("train", recordio(rows, labels, sparse=True))
    box.channel("test", recordio(rows, labels, sparse=True))
    more = {"num_factors": 8, "epochs": 60, "mini_batch_size": 50}
    assert box.train("factorization-machines", feature_dim=40, predictor_type="regressor", **FAST, **more) == 0, box.log
    assert quality(box.log, "test", "rmse") < 0.3 * labels.std()
    said = box.server("factorization-machines").json(recordio(rows, sparse=True), RECORDIO)["predictions"]
    off = np.array([row["score"] for row in said]) - labels
    assert np.sqrt((off**2).mean()) == pytest.approx(quality(box.log, "test", "rmse"), rel=1e-3)
    assert re.search(r"epoch=0, batch=0 train rmse <loss>=", box.log)
    assert re.search(r"epoch=59, train absolute_loss <loss>=", box.log)


def test_binary_factors(box):
    rows, labels = of_pairs(binary=True)
    box.channel("train", recordio(rows, labels))
    box.channel("test", recordio(rows, labels, sparse=True))
    more = {"num_factors": 8, "epochs": 40, "mini_batch_size": 50}
    assert box.train("factorization-machines", feature_dim=40, predictor_type="binary_classifier", **FAST, **more) == 0, box.log
    assert quality(box.log, "test", "binary_classification_accuracy") > 0.95
    assert quality(box.log, "test", "binary_classification_cross_entropy") < 0.3
    assert quality(box.log, "test", "binary_f_1.000") > 0.95
    body = json.dumps({"instances": [{"data": {"features": {"keys": [3, 25], "shape": [40], "values": [1, 1]}}}]})
    (said,) = box.server("factorization-machines").json(body, "application/json")["predictions"]
    dense = json.dumps({"instances": [{"features": [float(i in (3, 25)) for i in range(40)]}]})
    assert box.server("factorization-machines").json(dense, "application/json")["predictions"][0]["score"] == pytest.approx(said["score"])
    assert said["predicted_label"] == float(said["score"] > 0.5)


def test_the_artifact_of_factors(box):
    rows, labels = of_pairs(binary=True)
    box.channel("train", recordio(rows, labels))
    assert box.train("factorization-machines", feature_dim=40, num_factors=3, predictor_type="binary_classifier") == 0, box.log
    with zipfile.ZipFile(box.model) as packed:
        arrays = artifact.parse(packed.read("params"))
        assert "symbol.json" in packed.namelist()
    assert {name: value.shape for name, value in arrays.items()} == {"arg:v": (40, 3), "arg:w1_weight": (40, 1), "arg:w0_weight": (1,)}


def test_factors_that_diverge_say_so(box):
    rows, labels = of_pairs(binary=False)
    box.channel("train", recordio(rows, labels))
    code = box.train("factorization-machines", feature_dim=40, num_factors=3, predictor_type="regressor", bias_lr=1e39)
    assert code == 2 and "Training diverged" in box.failure


def test_csv_is_not_for_factors(box):
    box.channel("train", b"1,2\n", "text/csv")
    assert box.train("factorization-machines", feature_dim=1, num_factors=2, predictor_type="regressor") == 2
    assert "'text/csv' is not one of ['application/x-recordio-protobuf']" in box.failure
