"""Random Cut Forest: an anomaly score per row.

Hyperparameters: docs.aws.amazon.com/sagemaker/latest/dg/rcf_hyperparameters.html; the score is that of forest.py.
"""

from __future__ import annotations

import time

import numpy as np

from . import artifact
from .algorithm import Algorithm, Job
from .failures import ClientError
from .fields import Field
from .forest import Forest, build

MOST_BYTES = 4 << 30
SIGMAS = 3
"""Test rows count as anomalies beyond so many standard deviations from the mean score, as AWS's algorithm decides."""
TABLE = (
    Field("feature_dim", "integer", required=True, low=1, high=10_000),
    Field("num_trees", "integer", 100, low=50, high=1000),
    Field("num_samples_per_tree", "integer", 256, low=1, high=2048),
    Field("mini_batch_size", "integer", 1000, low=1),
    Field("eval_metrics", "list", ["accuracy", "precision_recall_fscore"], words=("accuracy", "precision_recall_fscore")),
)


def train(job: Job) -> None:
    """Raises ClientError where the forest would not fit into memory, or test labels are no 0 and 1."""
    given, log, began = job.given, job.log, time.perf_counter()
    for name, distribution in (("train", "ShardedByS3Key"), ("test", "FullyReplicated")):
        found = job.channels.get(name, {}).get("S3DistributionType", distribution)
        if found != distribution:
            log.info(f"Channel '{name}' has the distribution {found}; AWS takes {distribution} only.", "WARNING")
    rows = job.table("train").features
    log.info("Sampling training data...")
    size = min(given["num_samples_per_tree"], len(rows))
    needed = 2 * size * given["num_trees"] * rows.shape[1] * 8
    log.info(f"Estimated memory needed to build the forest in bytes: {needed}")
    if needed > MOST_BYTES:
        raise ClientError(f"A forest of {given['num_trees']} trees with {size} samples of {rows.shape[1]} features needs {needed} bytes.")
    log.info("Sampling training data completed.")
    log.progress(100)
    log.throughput(len(rows), time.perf_counter() - began)
    log.info("Master node: building Random Cut Forest...")
    forest = build(np.asarray(rows, np.float64), given["num_trees"], size, np.random.RandomState(0))
    log.info(
        f"Random Cut Forest built: ForestInfo{{num_trees: {given['num_trees']}, num_samples_per_tree: {size}, sample_dim: {rows.shape[1]}}}"
    )
    artifact.save_zip(job.model, {"model.json": {"feature_dim": rows.shape[1]}, "forest.npz": artifact.npz(**forest.arrays())})
    if job.table("test") is not None:
        _test(job, forest)


def _test(job: Job, forest: Forest) -> None:
    test, log = job.table("test"), job.log
    if test.labels is None or not np.isin(test.labels, (0, 1)).all():
        raise ClientError("The test channel needs labels that are 1 for an anomaly and 0 otherwise (text/csv;label_size=1).")
    scores, labels = forest.score(test.features), test.labels == 1
    found = scores > scores.mean() + SIGMAS * scores.std()
    right = int((found & labels).sum())
    precision, recall = right / max(1, int(found.sum())), right / max(1, int(labels.sum()))
    values = {"accuracy": float((found == labels).mean())} if "accuracy" in job.given["eval_metrics"] else {}
    if "precision_recall_fscore" in job.given["eval_metrics"]:
        values |= {"precision": precision, "recall": recall, "f1": 2 * precision * recall / max(precision + recall, 1e-12)}
    for name, value in values.items():
        log.score("test", name, value)
        log.quality("test", name, value, loss=False)


class Model:
    def __init__(self, forest: Forest, width: int):
        self.forest, self.width = forest, width

    def predict(self, rows: np.ndarray, verbose: bool) -> dict[str, np.ndarray]:
        return {"score": self.forest.score(rows)}


def load(path: str) -> Model:
    members = artifact.read_zip(path)
    return Model(Forest(**artifact.from_npz(members["forest.npz"])), members["model.json"]["feature_dim"])


ALGORITHM = Algorithm("randomcutforest", "RandomCutForest", TABLE, train, load, test_labels=True, several="scores")
