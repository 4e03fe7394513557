"""kmeans, pca and randomcutforest against the libraries and definitions they stand for."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_iris, make_blobs
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, roc_auc_score

from modelyard.algorithms import recordio as wire
from modelyard.algorithms.builtin import artifact
from modelyard.algorithms.builtin.forest import build
from tests.algorithms.builtin.conftest import RECORDIO, csv, recordio

NO_LABEL = "text/csv;label_size=0"


def quality(log, where, name):
    return float(re.findall(rf"#quality_metric: host=algo-1, {where} {name} <(?:score|loss)>=(\S+)", log)[-1])


# --- kmeans ------------------------------------------------------------------------------------


@pytest.fixture
def blobs(box):
    rows, labels = make_blobs(2000, 4, centers=5, random_state=1)
    box.channel("train", recordio(rows))
    return box, rows.astype(np.float32), labels


def test_kmeans_finds_the_clusters(blobs):
    box, rows, labels = blobs
    box.channel("test", csv(rows[:300]), NO_LABEL)
    code = box.train("kmeans", k=5, feature_dim=4, mini_batch_size=500, epochs=2, eval_metrics='["msd", "ssd"]')
    assert code == 0, box.log
    said = box.server("kmeans").json(csv(rows))["predictions"]
    assert adjusted_rand_score(labels, [row["closest_cluster"] for row in said]) > 0.97
    best = KMeans(5, n_init=10, random_state=0).fit(rows).inertia_
    assert best * 0.99 < quality(box.log, "train", "ssd") < best * 1.1
    squares = np.array([row["distance_to_cluster"] for row in said[:300]]) ** 2
    assert quality(box.log, "test", "msd") == pytest.approx(squares.mean(), rel=1e-4)
    assert quality(box.log, "test", "ssd") == pytest.approx(squares.sum(), rel=1e-4)
    assert "'extra_center_factor' was set to 'auto', evaluated to 10." in box.log
    assert "shrinking 50 centers into 5" in box.log
    assert "local kmeans attempt #9." in box.log


def test_kmeans_artifact_is_a_list_of_centers(blobs):
    box, rows, _ = blobs
    assert box.train("kmeans", k=5, feature_dim=4) == 0, box.log
    (centers,) = artifact.parse(box.model.read_bytes())
    assert centers.shape == (5, 4) and centers.dtype == np.float32
    said = box.server("kmeans").json(csv(rows[:20]))["predictions"]
    distances = np.linalg.norm(rows[:20, None] - centers, axis=2)
    assert [row["closest_cluster"] for row in said] == distances.argmin(1).tolist()
    assert np.allclose([row["distance_to_cluster"] for row in said], distances.min(1), atol=1e-4)


def test_kmeans_answers(blobs):
    box, rows, _ = blobs
    assert box.train("kmeans", k=3, feature_dim=4, init_method="kmeans++", extra_center_factor=4, half_life_time_size=1000) == 0, box.log
    server, body = box.server("kmeans"), csv(rows[:2])
    expected = server.json(body)["predictions"]
    lines = server.ask(body, accept="text/csv").body.decode().splitlines()
    assert lines == [f"{row['closest_cluster']},{row['distance_to_cluster']}" for row in expected]
    records = list(wire.read(server.ask(recordio(rows[:2]), RECORDIO, RECORDIO).body))
    assert [record.label["closest_cluster"].values[0] for record in records] == [row["closest_cluster"] for row in expected]
    assert json.loads(server.ask(body, accept="application/jsonlines").body.splitlines()[1]) == expected[1]


def test_kmeans_forgets_old_points(box):
    """With a short half-life the centers follow what came last."""
    rows = np.concatenate([np.zeros((1000, 1)), np.full((1000, 1), 10.0)]) + np.random.RandomState(0).normal(0, 0.1, (2000, 1))
    box.channel("train", recordio(rows))
    found = []
    for half_life in (0, 20):
        code = box.train("kmeans", k=1, feature_dim=1, mini_batch_size=100, extra_center_factor=1, half_life_time_size=half_life)
        assert code == 0, box.log
        found.append(float(artifact.parse(box.model.read_bytes())[0][0, 0]))
    assert abs(found[0] - 5) < 0.2 and abs(found[1] - 10) < 0.2


# --- pca ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["regular", "randomized"])
def test_pca_components_grow(box, mode):
    rows = load_breast_cancer().data
    rows = (rows - rows.mean(0)) / rows.std(0)
    box.channel("train", recordio(rows))
    assert box.train("pca", num_components=6, feature_dim=30, mini_batch_size=100, algorithm_mode=mode) == 0, box.log
    arrays, best = artifact.parse(box.model.read_bytes()), PCA(6).fit(rows)
    assert {name: array.shape for name, array in arrays.items()} == {"s": (6,), "v": (30, 6), "mean": (1, 30)}
    assert np.allclose(arrays["s"][::-1], best.singular_values_, rtol=1e-3)  # the most important component is the last one
    likeness = np.abs((arrays["v"][:, ::-1].T * best.components_).sum(1))
    assert np.allclose(likeness, 1, atol=1e-3)
    said = box.server("pca").json(csv(rows[:3]))["projections"]
    projected = np.array([row["projection"] for row in said])
    assert np.allclose(np.abs(projected[:, ::-1]), np.abs(best.transform(rows[:3])), atol=1e-2)
    records = list(wire.read(box.server("pca").ask(recordio(rows[:1]), RECORDIO, RECORDIO).body))
    assert np.allclose(records[0].label["projection"].values, projected[0], atol=1e-4)


def test_pca_without_subtracting_the_mean(box):
    rows = load_iris().data
    box.channel("train", csv(rows), NO_LABEL)
    assert box.train("pca", num_components=2, feature_dim=4, mini_batch_size=50, subtract_mean="false") == 0, box.log
    arrays = artifact.parse(box.model.read_bytes())
    assert not arrays["mean"].any()
    assert np.allclose(arrays["s"][::-1], np.linalg.svd(rows)[1][:2], rtol=1e-4)


# --- randomcutforest ---------------------------------------------------------------------------


def with_anomalies():
    random = np.random.RandomState(0)
    rows = np.concatenate([random.normal(0, 1, (1500, 3)), random.normal(0, 1, (15, 3)) + 9])
    labels = np.concatenate([np.zeros(1500), np.ones(15)])
    order = random.permutation(len(rows))
    return rows[order], labels[order]


def test_forest_tells_anomalies(box):
    rows, labels = with_anomalies()
    box.channel("train", csv(rows), NO_LABEL, S3DistributionType="ShardedByS3Key")
    box.channel("test", csv(np.column_stack([labels, rows])), "text/csv;label_size=1")
    assert box.train("randomcutforest", feature_dim=3, num_trees=50, num_samples_per_tree=200) == 0, box.log
    said = box.server("randomcutforest").json(csv(rows))["scores"]
    scores = np.array([row["score"] for row in said])
    assert roc_auc_score(labels, scores) > 0.999
    assert 0.5 < np.median(scores) < 1.5 and scores[labels == 1].min() > 2
    assert quality(box.log, "test", "f1") > 0.8
    assert re.search(r"#test_score \(algo-1\) : \('accuracy', 0\.99", box.log)
    records = list(wire.read(box.server("randomcutforest").ask(recordio(rows[:2]), RECORDIO, RECORDIO).body))
    assert np.allclose([record.label["score"].values[0] for record in records], scores[:2], atol=1e-4)


def test_forest_of_the_tree_definition():
    """Two samples: a point between them falls to a leaf, one outside is parted with the chance that its distance has."""
    forest = build(np.array([[0.0], [1.0]]), 50, 2, np.random.RandomState(0))
    (far,) = forest.score([[3.0]])
    # The box grows from 1 to 3: parted at the root with 2/3 for 1/(0+1), else at the leaf for 1/(1+1).
    assert far == pytest.approx((2 / 3 + 1 / 3 / 2) * np.log2(3))
    (seen,) = forest.score([[0.0]])
    assert seen == pytest.approx((1 - 1 / 4) / (1 + np.log2(2)) * np.log2(3))


def test_forest_of_equal_rows_and_of_deep_trees():
    equal = build(np.ones((300, 2)), 50, 256, np.random.RandomState(0))
    assert equal.score([[1.0, 1.0], [2.0, 1.0]])[1] > 5 * equal.score([[1.0, 1.0]])[0]
    deep = build((2.0 ** np.arange(1000))[:, None] / 2.0**500, 50, 1000, np.random.RandomState(0))
    assert np.isfinite(deep.score([[0.0], [1e200]])).all()


def test_forest_rows_alone_and_together(box):
    rows, _ = with_anomalies()
    forest = build(rows, 50, 100, np.random.RandomState(0))
    assert np.allclose(forest.score(rows[:7]), [forest.score(row[None, :])[0] for row in rows[:7]])


def test_forest_test_channel_needs_labels(box):
    rows, _ = with_anomalies()
    box.channel("train", recordio(rows))
    box.channel("test", recordio(rows))
    assert box.train("randomcutforest", feature_dim=3) == 2
    assert "have no labels" in box.failure
