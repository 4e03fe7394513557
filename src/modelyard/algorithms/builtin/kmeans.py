"""k-means: many centers learnt batch by batch, then shrunk to k by Lloyd's algorithm, as AWS's web-scale variant does.

Hyperparameters: docs.aws.amazon.com/sagemaker/latest/dg/k-means-api-config.html.
"""

from __future__ import annotations

import time

import numpy as np

from . import artifact
from .algorithm import CSV, JSON, JSONLINES, RECORDIO, Algorithm, Job
from .failures import ClientError
from .fields import Field

AUTO_FACTOR, AUTO_TRIALS = 10, 10
"""What `auto` came to in AWS's own logs: ten times k centers, ten attempts."""
ROWS_AT_ONCE = 65_536
TABLE = (
    Field("feature_dim", "integer", required=True, low=1),
    Field("k", "integer", required=True, low=1),
    Field("mini_batch_size", "integer", 5000, low=1),
    Field("epochs", "integer", 1, low=1),
    Field("init_method", "choice", "random", words=("random", "kmeans++")),
    Field("extra_center_factor", "integer", "auto", low=1, words=("auto",)),
    Field("local_lloyd_max_iter", "integer", 300, low=1),
    Field("local_lloyd_tol", "number", 0.0001, low=0, high=1),
    Field("local_lloyd_init_method", "choice", "kmeans++", words=("random", "kmeans++")),
    Field("local_lloyd_num_trials", "integer", "auto", low=1, words=("auto",)),
    Field("half_life_time_size", "integer", 0, low=0),
    Field("eval_metrics", "list", ["msd"], words=("msd", "ssd")),
    Field("force_dense", "boolean", True),
)


def train(job: Job) -> None:
    """Raises ClientError where there are fewer records than clusters."""
    table, given, random = job.table("train"), job.given, np.random.RandomState(0)
    rows = table.features.astype(np.float64)
    if len(rows) < given["k"]:
        raise ClientError(
            f"The number of clusters k ({given['k']}) is larger than the number of records in the train channel ({len(rows)})."
        )
    centers, weights = _stream(job, rows, random)
    centers = _shrink(job, centers, weights, random).astype(np.float32)
    artifact.save(job.model, [centers])
    model = Model(centers)
    for channel in ("train", "test"):
        found = job.table(channel)
        if found is None:
            continue
        squares = model.nearest(found.features)[1].astype(np.float64) ** 2
        for metric in ("msd", "ssd"):
            if metric in given["eval_metrics"] or channel == "test":
                value = float(squares.mean() if metric == "msd" else squares.sum())
                job.log.quality(channel, metric, value, loss=True)


def _stream(job: Job, rows: np.ndarray, random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Passes over the data in mini-batches: each center is the mean of what fell to it, older points weighing less by half for
    each `half_life_time_size` points. Answers (centers, their weights)."""
    given, log = job.given, job.log
    factor = AUTO_FACTOR if given["extra_center_factor"] == "auto" else given["extra_center_factor"]
    if given["extra_center_factor"] == "auto":
        log.info(f"'extra_center_factor' was set to 'auto', evaluated to {factor}.")
    size = min(given["mini_batch_size"], len(rows))
    if size < given["mini_batch_size"]:
        text = (
            f"Batch size {given['mini_batch_size']} is bigger than the first batch data. Effective batch size used to initialize is {size}"
        )
        log.info(text, "WARNING")
    first = rows[:size] if size >= given["k"] else rows
    count = min(given["k"] * factor, len(first))
    if given["init_method"] == "kmeans++":
        from sklearn.cluster import kmeans_plusplus

        centers = kmeans_plusplus(first, count, random_state=random)[0]
    else:
        centers = first[random.permutation(len(first))[:count]].copy()
    weights, half_life = np.zeros(count), given["half_life_time_size"]
    for epoch in range(given["epochs"]):
        began = time.perf_counter()
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            if half_life:
                weights *= 0.5 ** (len(batch) / half_life)
            nearest = _distances(batch, centers).argmin(1)
            counts = np.bincount(nearest, minlength=count)
            sums = np.zeros_like(centers)
            np.add.at(sums, nearest, batch)
            weights += counts
            met = counts > 0
            centers[met] += (sums[met] - counts[met, None] * centers[met]) / weights[met, None]
        log.info(f"processed a total of {len(rows)} examples")
        log.progress(100 * (epoch + 1) / given["epochs"])
        log.throughput(len(rows), time.perf_counter() - began)
    return centers, weights


def _shrink(job: Job, centers: np.ndarray, weights: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """The centers into k, each as heavy as the points it stands for; the best of several attempts."""
    given, log = job.given, job.log
    if len(centers) == given["k"]:
        return centers
    from sklearn.cluster import KMeans

    log.info(f"shrinking {len(centers)} centers into {given['k']}")
    trials = AUTO_TRIALS if given["local_lloyd_num_trials"] == "auto" else given["local_lloyd_num_trials"]
    start = "k-means++" if given["local_lloyd_init_method"] == "kmeans++" else "random"
    best = None
    for attempt in range(trials):
        lloyd = KMeans(
            given["k"],
            init=start,
            n_init=1,
            max_iter=given["local_lloyd_max_iter"],
            tol=given["local_lloyd_tol"],
            random_state=random.randint(2**31 - 1),
        ).fit(centers, sample_weight=np.maximum(weights, 1e-9))
        log.info(f"local kmeans attempt #{attempt}. Current mean square distance {lloyd.inertia_ / max(weights.sum(), 1e-9):.6f}")
        if best is None or lloyd.inertia_ < best.inertia_:
            best = lloyd
    return best.cluster_centers_


def _distances(rows: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Squared distances of each row to each center."""
    products = rows @ centers.T
    products *= -2
    products += (rows**2).sum(1)[:, None]
    products += (centers**2).sum(1)
    return np.maximum(products, 0, out=products)


class Model:
    def __init__(self, centers: np.ndarray):
        self.centers, self.width = np.asarray(centers, np.float64), centers.shape[1]

    def nearest(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(number of the closest center, distance to it) of each row."""
        numbers, distances = np.empty(len(rows), np.int64), np.empty(len(rows))
        for start in range(0, len(rows), ROWS_AT_ONCE):
            squares = _distances(np.asarray(rows[start : start + ROWS_AT_ONCE], np.float64), self.centers)
            part = slice(start, start + len(squares))
            numbers[part] = squares.argmin(1)
            distances[part] = np.sqrt(squares[np.arange(len(squares)), numbers[part]])
        return numbers, distances

    def predict(self, rows: np.ndarray, verbose: bool) -> dict[str, np.ndarray]:
        numbers, distances = self.nearest(rows)
        return {"closest_cluster": numbers.astype(np.float64), "distance_to_cluster": distances.astype(np.float32).astype(np.float64)}


def load(path: str) -> Model:
    return Model(artifact.read(path)[0])


ALGORITHM = Algorithm("kmeans", "AWS/KMeansWebscale", TABLE, train, load, answers=(JSON, JSONLINES, RECORDIO, CSV))
