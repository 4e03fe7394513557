"""k nearest neighbours: sampling, an optional reduction of the dimension, and an exact index.

Hyperparameters: docs.aws.amazon.com/sagemaker/latest/dg/kNN_hyperparameters.html. AWS's approximate indexes (faiss.IVFFlat,
faiss.IVFPQ) trade accuracy for speed on millions of points; here every index answers exactly, and the job's log says so.
"""

from __future__ import annotations

import time

import numpy as np
from sklearn.neighbors import NearestNeighbors

from . import artifact
from .algorithm import Algorithm, Job
from .failures import ClientError
from .fields import Field

PARTS = (1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96)
TABLE = (
    Field("feature_dim", "integer", required=True, low=1),
    Field("k", "integer", required=True, low=1),
    Field("predictor_type", "choice", required=True, words=("classifier", "regressor")),
    Field("sample_size", "integer", required=True, low=1),
    Field("mini_batch_size", "integer", 5000, low=1),
    Field("dimension_reduction_type", "choice", words=("sign", "fjlt")),
    Field("dimension_reduction_target", "integer", low=1),
    Field("index_type", "choice", "faiss.Flat", words=("faiss.Flat", "faiss.IVFFlat", "faiss.IVFPQ")),
    Field("index_metric", "choice", "L2", words=("L2", "INNER_PRODUCT", "COSINE")),
    Field("faiss_index_ivf_nlists", "integer", "auto", low=1, words=("auto",)),
    Field("faiss_index_pq_m", "integer", low=1),
)


def train(job: Job) -> None:
    given, log = job.given, job.log
    _check(given)
    table, random, began = job.table("train"), np.random.RandomState(0), time.perf_counter()
    rows, labels = table.features, table.labels
    if len(rows) > given["sample_size"]:
        chosen = np.sort(random.permutation(len(rows))[: given["sample_size"]])
        rows, labels = rows[chosen], labels[chosen]
    log.info(f"...using {len(rows)} of {len(table)} records as samples")
    if len(rows) < given["k"]:
        raise ClientError(f"k ({given['k']}) is larger than the number of samples in the index ({len(rows)}).")
    projection = _projection(given, rows.shape[1], random)
    if given["index_type"] != "faiss.Flat":
        log.info(f"The index {given['index_type']} is searched exactly here: its answers are those of faiss.Flat.", "WARNING")
    settings = {name: given[name] for name in ("k", "predictor_type", "index_type", "index_metric", "feature_dim")}
    arrays = {"points": rows if projection is None else rows @ projection, "labels": labels}
    if projection is not None:
        arrays["projection"] = projection
    artifact.save_zip(job.model, {"model.json": settings, "index.npz": artifact.npz(**arrays)})
    log.progress(100)
    log.throughput(len(table), time.perf_counter() - began)
    test = job.table("test")
    if test is not None:
        predicted = Model(settings, arrays).predict(test.features, False)["predicted_label"]
        classifier = given["predictor_type"] == "classifier"
        value = float((predicted == test.labels).mean() if classifier else ((predicted - test.labels) ** 2).mean())
        name = "accuracy" if classifier else "mse"
        log.score("test", name, value)
        log.quality("test", name, value, loss=not classifier)


def _check(given: dict) -> None:
    kind, target, dimension = given["dimension_reduction_type"], given["dimension_reduction_target"], given["feature_dim"]
    if kind and target is None:
        raise ClientError("dimension_reduction_target is required when dimension_reduction_type is specified.")
    if kind and target >= dimension:
        raise ClientError(f"dimension_reduction_target ({target}) must be greater than 0 and less than feature_dim ({dimension}).")
    if given["index_type"] == "faiss.IVFPQ":
        if given["index_metric"] != "L2":
            raise ClientError(f"index_metric {given['index_metric']} is not supported with index_type faiss.IVFPQ.")
        if given["faiss_index_pq_m"] not in PARTS:
            raise ClientError(f"faiss_index_pq_m is required with index_type faiss.IVFPQ: one of {', '.join(map(str, PARTS))}.")


def _projection(given: dict, width: int, random: np.random.RandomState) -> np.ndarray | None:
    """The matrix that reduces the dimension: random signs, or the fast Johnson-Lindenstrauss transform written out (random signs,
    a Hadamard matrix, a sample of its columns)."""
    kind, target = given["dimension_reduction_type"], given["dimension_reduction_target"]
    if kind is None:
        return None
    if kind == "sign":
        return (random.choice([-1.0, 1.0], (width, target)) / np.sqrt(target)).astype(np.float32)
    from scipy.linalg import hadamard

    size = 1 << (width - 1).bit_length()
    signs = random.choice([-1.0, 1.0], width)
    columns = random.permutation(size)[:target]
    return (signs[:, None] * hadamard(size)[:width, columns] / np.sqrt(target)).astype(np.float32)


class Model:
    def __init__(self, settings: dict, arrays: dict[str, np.ndarray]):
        self.settings, self.labels, self.projection = settings, arrays["labels"].astype(np.float64), arrays.get("projection")
        self.width, self.k = settings["feature_dim"], settings["k"]
        self.metric, self.points = settings["index_metric"], arrays["points"].astype(np.float64)
        if self.metric == "COSINE":
            self.points = _unit(self.points)
        self.index = NearestNeighbors(n_neighbors=self.k, algorithm="brute" if self.points.shape[1] > 20 else "auto").fit(self.points)

    def predict(self, rows: np.ndarray, verbose: bool) -> dict[str, np.ndarray]:
        """`distances` are squared for L2 as faiss tells them, similarities otherwise."""
        rows = np.asarray(rows if self.projection is None else rows @ self.projection, np.float64)
        if self.metric == "L2":
            distances, found = self.index.kneighbors(rows)
            distances **= 2
        else:
            likeness = (_unit(rows) if self.metric == "COSINE" else rows) @ self.points.T
            found = np.argsort(-likeness, axis=1, kind="stable")[:, : self.k]
            distances = np.take_along_axis(likeness, found, 1)
        labels = self.labels[found]
        regressor = self.settings["predictor_type"] == "regressor"
        predicted = labels.mean(1) if regressor else np.array([_most_frequent(row) for row in labels])
        answer = {"predicted_label": predicted.astype(np.float64)}
        if verbose:
            answer |= {"distances": distances.astype(np.float32).astype(np.float64), "labels": labels}
        return answer


def _most_frequent(labels: np.ndarray) -> float:
    """The label met most often; of several the one whose first neighbour is nearest."""
    values, first, counts = np.unique(labels, return_index=True, return_counts=True)
    best = np.flatnonzero(counts == counts.max())
    return values[best[first[best].argmin()]]


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def load(path: str) -> Model:
    members = artifact.read_zip(path)
    return Model(members["model.json"], artifact.from_npz(members["index.npz"]))


ALGORITHM = Algorithm("knn", "AWS/KNN", TABLE, train, load, labels=True, test_labels=True)
