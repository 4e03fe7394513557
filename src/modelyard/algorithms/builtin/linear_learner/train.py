"""The job of the linear learner: scale → epochs → select → calibrate → report."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from ..algorithm import Job
from ..data import Table
from ..failures import ClientError
from . import losses, scores
from .fit import Models, candidates
from .model import Model
from .table import BINARY, LOSSES, MULTICLASS, REGRESSOR

CHANNELS = ("train", "validation", "test")


@dataclass
class Scaler:
    """What is taken from, and divided out of, features and labels."""

    mean: np.ndarray
    deviation: np.ndarray
    label_mean: float
    label_deviation: float

    def rows(self, rows: object) -> object:
        """Sparse rows stay sparse: they are divided, and `mean` is 0 for them."""
        if isinstance(rows, np.ndarray):
            return (rows.astype(np.float64) - self.mean) / self.deviation
        from scipy.sparse import diags

        return rows.astype(np.float64).tocsr() @ diags(1 / self.deviation)

    def raw(self, weights: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights (outputs, features) and bias for unscaled data and labels."""
        weights = weights / self.deviation
        return weights * self.label_deviation, (bias - weights @ self.mean) * self.label_deviation + self.label_mean


def train(job: Job) -> None:
    given, log = job.given, job.log
    if job.layout.read("hyperparameters").get("_tuning_objective_metric"):
        given["num_models"] = 1  # as in AWS: the tuner is what searches then
    tables = {name: job.table(name) for name in CHANNELS if job.table(name) is not None}
    loss_name = _check(given, tables)
    scaler = _scaler(given, tables["train"])
    models = _epochs(job, tables, scaler, loss_name)
    found, chosen = _best(given, models, tables, scaler, loss_name)
    for name in CHANNELS:
        if name in tables:
            _report(job, name, tables[name], found)
    log.info(f"Best model found for hyperparameters: {chosen}")
    found.save(job.model)


def _check(given: dict, tables: dict[str, Table]) -> str:
    """The name of the loss. Raises ClientError for labels and settings that do not fit together."""
    kind, rows = given["predictor_type"], len(tables["train"])
    if kind == MULTICLASS and given["num_classes"] is None:
        raise ClientError("No value(s) were specified for 'num_classes' which are required hyperparameter(s)", "ValidationError")
    name = LOSSES[kind][0] if given["loss"] == "auto" else given["loss"]
    if name not in LOSSES[kind]:
        raise ClientError(f"The loss '{name}' cannot be used with predictor_type '{kind}'. Use one of: auto, {', '.join(LOSSES[kind])}.")
    if given["mini_batch_size"] > rows:
        raise ClientError(
            f"The mini_batch_size ({given['mini_batch_size']}) is larger than the number of records in the train channel ({rows}). "
            f"Set mini_batch_size to at most {rows}."
        )
    classes = {BINARY: 2, MULTICLASS: given["num_classes"]}.get(kind)
    for channel, table in tables.items():
        if classes and not np.isin(table.labels, np.arange(classes)).all():
            raise ClientError(
                f"The labels of channel '{channel}' must be whole numbers from 0 to {classes - 1} for predictor_type '{kind}'."
            )
        if table.features.shape[1] != tables["train"].features.shape[1]:
            raise ClientError(f"Channel '{channel}' has another number of features than the train channel.")
    return name


def _scaler(given: dict, table: Table) -> Scaler:
    few = min(len(table), given["num_point_for_scaler"])
    rows, labels = table.features[:few], table.labels[:few].astype(np.float64)
    dense, width = isinstance(rows, np.ndarray), table.features.shape[1]
    if dense:
        mean, deviation = rows.mean(0, dtype=np.float64), rows.std(0, dtype=np.float64)
    else:
        mean = np.asarray(rows.mean(0)).ravel()
        deviation = np.sqrt(np.maximum(np.asarray(rows.multiply(rows).mean(0)).ravel() - mean**2, 0))
    unbias = (given["use_bias"] if given["unbias_data"] == "auto" else given["unbias_data"]) and dense
    deviation = np.where(deviation > 1e-12, deviation, 1.0) if given["normalize_data"] else np.ones(width)
    scaler = Scaler(mean if unbias else np.zeros(width), deviation, 0.0, 1.0)
    if given["predictor_type"] == REGRESSOR:
        if given["normalize_label"] in ("auto", True):
            scaler.label_deviation = float(labels.std()) or 1.0
        if given["use_bias"] if given["unbias_label"] == "auto" else given["unbias_label"]:
            scaler.label_mean = float(labels.mean())
    return scaler


def _importance(given: dict, labels: np.ndarray) -> np.ndarray:
    """How much each record counts."""
    if given["predictor_type"] == BINARY:
        positive, weight = labels > 0.5, given["positive_example_weight_mult"]
        if isinstance(weight, str):
            weight = (len(labels) - positive.sum()) / max(positive.sum(), 1)
        return np.where(positive, weight, 1.0)
    if given["predictor_type"] == MULTICLASS and given["balance_multiclass_weights"]:
        counts = np.bincount(labels.astype(int), minlength=given["num_classes"])
        return (len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1)))[labels.astype(int)]
    return np.ones(len(labels))


def _epochs(job: Job, tables: dict[str, Table], scaler: Scaler, loss_name: str) -> Models:
    """Trains until the epochs are over or the best model does not get better."""
    given, log, loss = job.given, job.log, losses.of(loss_name, job.given)
    rows = scaler.rows(tables["train"].features)
    labels = (tables["train"].labels.astype(np.float64) - scaler.label_mean) / scaler.label_deviation
    watched = tables.get("validation")
    validation = None if watched is None else scaler.rows(watched.features)
    outputs = given["num_classes"] if given["predictor_type"] == MULTICLASS else 1
    models = Models.start(given, candidates(given), rows.shape[1], outputs)
    importance, random, history = _importance(given, tables["train"].labels), np.random.RandomState(1), []
    title = losses.title(loss_name) + "_objective"
    for epoch in range(given["epochs"]):
        began = time.perf_counter()
        told = models.epoch(rows, labels, importance, loss, random.permutation(len(labels)))
        for number, value in enumerate(told.tolist()):
            log.metrics({f"train_{title}": value}, epoch=epoch, model=number)
        log.quality("train", title, float(told[0]), loss=True, epoch=epoch)
        if watched is not None:
            z = models.scores(validation) * scaler.label_deviation + scaler.label_mean
            told = loss(z, watched.labels.astype(np.float64))[0].mean(0)
            for number, value in enumerate(told.tolist()):
                log.metrics({f"validation_{title}": value}, epoch=epoch, model=number)
            log.quality("validation", title, float(told[0]), loss=True, epoch=epoch)
        log.progress(100 * (epoch + 1) / given["epochs"])
        log.throughput(len(labels), time.perf_counter() - began)
        history.append(float(np.nanmin(told)))
        if _enough(history, given["early_stopping_patience"], given["early_stopping_tolerance"]):
            log.info(f"Early stop condition met. Stopping training after epoch {epoch}.")
            break
    return models


def _enough(history: list[float], patience: int, tolerance: float) -> bool:
    """Whether the last `patience` epochs brought no improvement worth the name."""
    if len(history) <= patience:
        return False
    before = min(history[:-patience])
    return before - min(history[-patience:]) < tolerance * abs(before)


def _best(given: dict, models: Models, tables: dict[str, Table], scaler: Scaler, loss_name: str) -> tuple[Model, dict]:
    """The model that is best on the validation data (else on the training data), with its threshold."""
    table, loss = tables.get("validation", tables["train"]), losses.of(loss_name, given)
    labels, kind = table.labels.astype(np.float64), given["predictor_type"]
    usual = 0.5 if loss_name == "logistic" else 0.0
    z = models.scores(scaler.rows(table.features)) * scaler.label_deviation + scaler.label_mean
    worth = -loss(z, labels)[0].mean(0)
    limits = [usual] * len(models.chosen)
    if kind == BINARY and given["binary_classifier_model_selection_criteria"] not in ("loss_function", "cross_entropy_loss"):
        few = len(labels) if given["num_calibration_samples"] == "auto" else min(len(labels), given["num_calibration_samples"])
        by_loss, worth = worth, worth.copy()
        for number in range(len(models.chosen)):
            values = z[:few, number, 0]
            values = losses.probabilities(values[:, None])[:, 0] if loss_name == "logistic" else values
            limits[number], worth[number] = scores.threshold(values, labels[:few], given, usual)
        # Of models that are equally good by the criterion, the one with the smaller loss.
        worth = worth + 1e-9 * np.argsort(np.argsort(by_loss))
    number = int(np.nanargmax(worth))
    weights, bias = scaler.raw(models.weights[:, number].T, models.bias[number])
    return Model(kind, loss_name, weights, bias, limits[number]), models.chosen[number]


def _report(job: Job, name: str, table: Table, found: Model) -> None:
    given, log = job.given, job.log
    labels, z = table.labels.astype(np.float64), np.asarray(table.features @ found.weights.T, np.float64) + found.bias
    objective = losses.of(found.loss, given)(z[:, None, :], labels)[0].mean()
    told = [(losses.title(found.loss) + "_objective", float(objective), True)]
    values = found.scores(table.features)
    if found.kind == BINARY:
        told += scores.binary(values[:, 0], labels, found.limit, given)
    elif found.kind == MULTICLASS:
        told += scores.multiclass(values, labels, given)
    else:
        told += scores.regression(values[:, 0], labels)
    for metric, value, _ in told:
        log.score(name, metric, value)
    for metric, value, is_loss in told:
        log.quality(name, metric, value, loss=is_loss)
