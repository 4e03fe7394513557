"""Factorization machines (Rendle, 2010) for regression and binary classification, on sparse or dense records.

Hyperparameters: docs.aws.amazon.com/sagemaker/latest/dg/fact-machines-hyperparameters.html. Trained by Adam with learning rates and
decays of their own for bias, linear terms and factors; of a sparse batch only the features it has are touched.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from . import artifact
from .algorithm import Algorithm, Job
from .data import Table
from .failures import ClientError
from .fields import Field
from .linear_learner.losses import probabilities

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
LOOK_EVERY = 500
"""Batches between two metric lines, as in AWS's logs."""


def _group(name: str, rate: float, decay: float, sigma: float) -> tuple[Field, ...]:
    return (
        Field(f"{name}_lr", "number", rate, low=0),
        Field(f"{name}_wd", "number", decay, low=0),
        Field(f"{name}_init_method", "choice", "normal", words=("normal", "uniform", "constant")),
        Field(f"{name}_init_scale", "number", low=0),
        Field(f"{name}_init_sigma", "number", sigma, low=0),
        Field(f"{name}_init_value", "number"),
    )


TABLE = (
    Field("feature_dim", "integer", required=True, low=1),
    Field("num_factors", "integer", required=True, low=1),
    Field("predictor_type", "choice", required=True, words=("binary_classifier", "regressor")),
    Field("mini_batch_size", "integer", 1000, low=1),
    Field("epochs", "integer", 1, low=1),
    Field("clip_gradient", "number"),
    Field("eps", "number"),
    Field("rescale_grad", "number"),
    *_group("bias", 0.1, 0.01, 0.01),
    *_group("linear", 0.001, 0.001, 0.01),
    *_group("factors", 0.0001, 0.00001, 0.001),
)


@dataclass
class Machine:
    """`bias` (1,), `linear` (features,), `factors` (features, k)."""

    bias: np.ndarray
    linear: np.ndarray
    factors: np.ndarray
    memory: dict = field(default_factory=dict)

    def scores(self, rows: object, columns: object = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """(raw score, sums of the factors) of each row; `columns` are the features that `rows` has."""
        factors = self.factors[columns]
        sums = np.asarray(rows @ factors)
        squares = np.asarray(_squared(rows) @ factors**2)
        return self.bias[0] + np.asarray(rows @ self.linear[columns]) + 0.5 * (sums**2 - squares).sum(1), sums


def _squared(rows: object) -> object:
    return rows**2 if isinstance(rows, np.ndarray) else rows.multiply(rows)


def train(job: Job) -> None:
    given, log, table = job.given, job.log, job.table("train")
    _check(given, job)
    machine, random, steps = _start(given), np.random.RandomState(0), 0
    for epoch in range(given["epochs"]):
        began, order = time.perf_counter(), random.permutation(len(table))
        for number, start in enumerate(range(0, len(table), given["mini_batch_size"])):
            part, steps = order[start : start + given["mini_batch_size"]], steps + 1
            _step(machine, given, table.features[part], table.labels[part].astype(np.float64), steps)
            if number % LOOK_EVERY == 0:
                for name, value, loss in measure(machine, given, Table(table.features[part], table.labels[part])):
                    log.quality("train", name, value, loss=loss, epoch=epoch, batch=number)
        for name, value, loss in measure(machine, given, table):
            log.quality("train", name, value, loss=loss, epoch=epoch)
        log.progress(100 * (epoch + 1) / given["epochs"])
        log.throughput(len(table), time.perf_counter() - began)
    if not all(np.isfinite(part).all() for part in (machine.bias, machine.linear, machine.factors)):
        raise ClientError(
            "Training diverged: the parameters are no finite numbers any more. Lower the learning rates or set clip_gradient."
        )
    _save(job.model, given, machine)
    if job.table("test") is not None:
        for name, value, loss in measure(machine, given, job.table("test")):
            log.score("test", name, value)
            log.quality("test", name, value, loss=loss)


def _check(given: dict, job: Job) -> None:
    for channel in ("train", "test"):
        table = job.table(channel)
        if table is not None and given["predictor_type"] == "binary_classifier" and not np.isin(table.labels, (0, 1)).all():
            raise ClientError(f"The labels of channel '{channel}' must be 0 or 1 for predictor_type 'binary_classifier'.")
    for name in ("bias", "linear", "factors"):
        for method, need in (("uniform", "scale"), ("constant", "value")):
            if given[f"{name}_init_method"] == method and given[f"{name}_init_{need}"] is None:
                raise ClientError(f"{name}_init_{need} is required when {name}_init_method is '{method}'.")


def _start(given: dict) -> Machine:
    random = np.random.RandomState(1)

    def first(name: str, shape: tuple[int, ...]) -> np.ndarray:
        method = given[f"{name}_init_method"]
        if method == "constant":
            return np.full(shape, given[f"{name}_init_value"], np.float32)
        if method == "uniform":
            return random.uniform(-given[f"{name}_init_scale"], given[f"{name}_init_scale"], shape).astype(np.float32)
        return random.normal(0, given[f"{name}_init_sigma"], shape).astype(np.float32)

    width = given["feature_dim"]
    return Machine(first("bias", (1,)), first("linear", (width,)), first("factors", (width, given["num_factors"])))


def _step(machine: Machine, given: dict, rows: object, labels: np.ndarray, number: int) -> None:
    columns: object = slice(None)
    if not isinstance(rows, np.ndarray):
        columns = np.unique(rows.indices)
        rows = rows[:, columns]
    raw, sums = machine.scores(rows, columns)
    slope = probabilities(raw[:, None])[:, 0] - labels if given["predictor_type"] == "binary_classifier" else 2 * (raw - labels)
    slope = slope * (1 / len(labels) if given["rescale_grad"] is None else given["rescale_grad"])
    pull = np.asarray(_squared(rows).T @ slope)
    slopes = {
        "bias": np.array([slope.sum()]),
        "linear": np.asarray(rows.T @ slope),
        "factors": np.asarray(rows.T @ (slope[:, None] * sums)) - pull[:, None] * machine.factors[columns],
    }
    for name, found in slopes.items():
        _adam(machine, given, name, slice(None) if name == "bias" else columns, found, number)


def _adam(machine: Machine, given: dict, name: str, columns: object, slope: np.ndarray, number: int) -> None:
    values: np.ndarray = getattr(machine, name)
    slope = slope + given[f"{name}_wd"] * values[columns]
    if given["clip_gradient"] is not None:
        slope = np.clip(slope, -given["clip_gradient"], given["clip_gradient"])
    if name not in machine.memory:
        machine.memory[name] = (np.zeros_like(values), np.zeros_like(values))
    first, second = machine.memory[name]
    first[columns] = BETA_1 * first[columns] + (1 - BETA_1) * slope
    second[columns] = BETA_2 * second[columns] + (1 - BETA_2) * slope**2
    eps = EPSILON if given["eps"] is None else given["eps"]
    step = (first[columns] / (1 - BETA_1**number)) / (np.sqrt(second[columns] / (1 - BETA_2**number)) + eps)
    values[columns] -= given[f"{name}_lr"] * step


def measure(machine: Machine, given: dict, table: Table) -> Iterator[tuple[str, float, bool]]:
    """(name, value, whether it is a loss) of each metric of the predictor type."""
    raw, labels = machine.scores(table.features)[0].astype(np.float64), table.labels.astype(np.float64)
    if given["predictor_type"] == "regressor":
        off = raw - labels
        yield "rmse", float(np.sqrt((off**2).mean())), True
        yield "mse", float((off**2).mean()), True
        yield "absolute_loss", float(np.abs(off).mean()), True
        return
    said, truth = raw > 0, labels > 0.5
    right = int((said & truth).sum())
    yield "binary_classification_accuracy", float((said == truth).mean()), False
    yield "binary_classification_cross_entropy", float((np.logaddexp(0, raw) - labels * raw).mean()), True
    yield "binary_f_1.000", 2 * right / max(1, int(said.sum()) + int(truth.sum())), False


def _save(path: str, given: dict, machine: Machine) -> None:
    """A zip with `params`, whose arrays `v`, `w1_weight` and `w0_weight` are what notebooks take out of AWS's artifact."""
    arrays = {"arg:v": machine.factors, "arg:w1_weight": machine.linear[:, None], "arg:w0_weight": machine.bias}
    artifact.save_zip(path, {"params": arrays, "symbol.json": _symbol(), "model.json": {"predictor_type": given["predictor_type"]}})


def _symbol() -> dict:
    """The parameters and the two products they enter, so that `mx.mod.Module.load` finds its arguments."""
    names = ("data", "v", "w1_weight", "w0_weight")
    nodes = [{"op": "null", "name": name, "inputs": []} for name in names]
    nodes += [{"op": "dot", "name": f"dot{i}", "inputs": [[0, 0, 0], [i + 1, 0, 0]]} for i in range(2)]
    heads = [[4, 0, 0], [5, 0, 0], [3, 0, 0]]
    return {
        "nodes": nodes,
        "arg_nodes": [0, 1, 2, 3],
        "node_row_ptr": list(range(7)),
        "heads": heads,
        "attrs": {"mxnet_version": ["int", 10100]},
    }


class Model:
    def __init__(self, kind: str, machine: Machine):
        self.kind, self.machine, self.width = kind, machine, len(machine.linear)

    def predict(self, rows: object, verbose: bool) -> dict[str, np.ndarray]:
        raw = self.machine.scores(rows)[0].astype(np.float64)
        if self.kind == "regressor":
            return {"score": raw.astype(np.float32).astype(np.float64)}
        score = probabilities(raw[:, None])[:, 0]
        return {"score": score.astype(np.float32).astype(np.float64), "predicted_label": (raw > 0).astype(np.float64)}


def load(path: str) -> Model:
    members = artifact.read_zip(path)
    arrays = members["params"]
    machine = Machine(arrays["arg:w0_weight"].ravel(), arrays["arg:w1_weight"].ravel(), arrays["arg:v"])
    return Model(members["model.json"]["predictor_type"], machine)


ALGORITHM = Algorithm(
    "factorization-machines",
    "factorization-machines",
    TABLE,
    train,
    load,
    labels=True,
    test_labels=True,
    sparse=True,
    csv=False,
)
