"""Principal component analysis, regular (eigenvectors of the covariance) and randomized.

Hyperparameters: docs.aws.amazon.com/sagemaker/latest/dg/PCA-reference.html. As in AWS's artifact, components stand in the order of
growing singular values: the most important one is the last.
"""

from __future__ import annotations

import time

import numpy as np

from . import artifact
from .algorithm import Algorithm, Job
from .failures import ClientError
from .fields import Field

TABLE = (
    Field("feature_dim", "integer", required=True, low=1),
    Field("mini_batch_size", "integer", required=True, low=1),
    Field("num_components", "integer", required=True, low=1),
    Field("algorithm_mode", "choice", "regular", words=("regular", "randomized")),
    Field("extra_components", "integer", -1, low=-1),
    Field("subtract_mean", "boolean", True),
)


def train(job: Job) -> None:
    """Raises ClientError where more components are asked for than the data can have."""
    table, given, began = job.table("train"), job.given, time.perf_counter()
    rows = table.features.astype(np.float64)
    wanted, most = given["num_components"], min(rows.shape)
    if wanted > rows.shape[1]:
        raise ClientError(f"num_components ({wanted}) must not be larger than feature_dim ({rows.shape[1]}).")
    if given["algorithm_mode"] == "randomized" and wanted > most:
        raise ClientError(f"num_components ({wanted}) must not be larger than the number of records ({len(rows)}).")
    mean = rows.mean(0) if given["subtract_mean"] else np.zeros(rows.shape[1])
    if given["algorithm_mode"] == "regular":
        sums = np.zeros((rows.shape[1], rows.shape[1]))
        for start in range(0, len(rows), given["mini_batch_size"]):
            batch = rows[start : start + given["mini_batch_size"]] - mean
            sums += batch.T @ batch
        values, vectors = np.linalg.eigh(sums)
        singular, components = np.sqrt(np.maximum(values[-wanted:], 0)), vectors[:, -wanted:]
    else:
        extra = max(10, wanted) if given["extra_components"] == -1 else given["extra_components"]
        from sklearn.utils.extmath import randomized_svd

        _, values, vectors = randomized_svd(rows - mean, wanted, n_oversamples=min(extra, most - wanted), random_state=0)
        singular, components = values[::-1], vectors[::-1].T
    job.log.info(f"processed a total of {len(rows)} examples")
    job.log.progress(100)
    job.log.throughput(len(rows), time.perf_counter() - began)
    arrays = {"s": singular, "v": components, "mean": mean[None, :]}
    artifact.save(job.model, {name: np.asarray(value, np.float32) for name, value in arrays.items()})
    if job.table("test") is not None:
        rest = _residue(job.table("test").features.astype(np.float64) - mean, components)
        job.log.score("test", "mean_squared_reconstruction_error", rest)


def _residue(centered: np.ndarray, components: np.ndarray) -> float:
    return float(((centered - centered @ components @ components.T) ** 2).sum(1).mean())


class Model:
    def __init__(self, arrays: dict[str, np.ndarray]):
        self.mean, self.components = arrays["mean"].astype(np.float64), arrays["v"].astype(np.float64)
        self.width = self.components.shape[0]

    def predict(self, rows: np.ndarray, verbose: bool) -> dict[str, np.ndarray]:
        projected = (np.asarray(rows, np.float64) - self.mean) @ self.components
        return {"projection": projected.astype(np.float32).astype(np.float64)}


def load(path: str) -> Model:
    return Model(artifact.read(path))


ALGORITHM = Algorithm("pca", "PCA", TABLE, train, load, several="projections")
