"""LightGBM tabular: gradient boosted trees on CSV, with the hyperparameters and formats of AWS's LightGBM algorithm.

Sources: docs.aws.amazon.com/sagemaker/latest/dg/lightgbm.html and lightgbm-hyperparameters.html. AWS ships it as a JumpStart script for
its PyTorch image, one for classification and one for regression; here it is an image of its own. `metric` tells the two apart; with
`auto`, labels that are exactly the whole numbers 0 … n-1 are classes.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

import numpy as np

from . import data
from .algorithm import JSON, Algorithm, Job
from .data import Table
from .failures import ClientError
from .fields import Field

REGRESSION, BINARY, MULTICLASS = "regression", "binary", "multiclass"
METRICS = {
    REGRESSION: ("rmse", "l1", "l2", "huber", "fair"),
    BINARY: ("binary_logloss", "binary_error", "auc", "average_precision", "cross_entropy"),
    MULTICLASS: ("multi_logloss", "multi_error", "auc_mu"),
}
"""By kind of problem; the first is what `auto` means."""
HELD_OUT = 0.2
CHANNELS = ("training", "train", "validation")
TABLE = (
    Field("num_boost_round", "integer", 100, low=1),
    Field("early_stopping_rounds", "integer", 10),
    Field("metric", "choice", "auto", words=("auto", *METRICS[REGRESSION], *METRICS[BINARY], *METRICS[MULTICLASS])),
    Field("learning_rate", "number", 0.1, above=0, high=1),
    Field("num_leaves", "integer", 64, above=1, high=131_072),
    Field("feature_fraction", "number", 0.9, above=0, high=1),
    Field("bagging_fraction", "number", 0.9, above=0, high=1),
    Field("bagging_freq", "integer", 1, low=0),
    Field("max_depth", "integer", 6),
    Field("min_data_in_leaf", "integer", 3, low=0),
    Field("max_delta_step", "number", 0.0),
    Field("lambda_l1", "number", 0.0, low=0),
    Field("lambda_l2", "number", 0.0, low=0),
    Field("boosting", "choice", "gbdt", words=("gbdt", "rf", "dart", "goss")),
    Field("min_gain_to_split", "number", 0.0, low=0),
    Field("scale_pos_weight", "number", 1.0, above=0),
    Field("tree_learner", "choice", "serial", words=("serial", "feature", "data", "voting")),
    Field("feature_fraction_bynode", "number", 1.0, above=0, high=1),
    Field("is_unbalance", "boolean", False),
    Field("max_bin", "integer", 255, above=1),
    Field("tweedie_variance_power", "number", 1.5, low=1, below=2),
    Field("num_threads", "integer", 0, low=0),
    Field("verbosity", "integer", 1),
)


def check_channels(config: dict[str, dict], optional: tuple[str, ...], csv: bool) -> dict[str, dict]:
    """`training` with the folders `train/` and `validation/`, or the channels `train` and `validation`. Raises ClientError."""
    for name in config:
        if name not in optional:
            raise ClientError(f"Additional properties are not allowed ('{name}' was unexpected)", "ValidationError")
    if "training" not in config and "train" not in config:
        raise ClientError("The channel 'training' (or 'train') is required.")
    for name, channel in config.items():
        if channel.setdefault("ContentType", data.CSV).partition(";")[0] != data.CSV:
            raise ClientError(f"Channel '{name}' has the content type {channel['ContentType']}; LightGBM takes text/csv.")
    return config


def train(job: Job) -> None:
    import lightgbm

    given, log = job.given, job.log
    if given["is_unbalance"] and given["scale_pos_weight"] != 1.0:
        raise ClientError("scale_pos_weight cannot be used if is_unbalance is True.")
    rows, watched, categories = _data(job)
    kind, classes = _problem(given, rows.labels)
    metric = METRICS[kind][0] if given["metric"] == "auto" else given["metric"]
    parameters = {name: value for name, value in given.items() if name not in ("num_boost_round", "early_stopping_rounds", "metric")}
    parameters |= {"objective": kind, "metric": metric, "num_threads": given["num_threads"] or job_threads(), "seed": 0}
    if kind == MULTICLASS:
        parameters["num_class"] = classes
    if kind != BINARY:
        parameters = {name: value for name, value in parameters.items() if name not in ("scale_pos_weight", "is_unbalance")}
    elif given["is_unbalance"]:
        del parameters["scale_pos_weight"]
    names = [f"feature_{number}" for number in range(rows.features.shape[1])]
    whole = lightgbm.Dataset(rows.features, rows.labels, feature_name=names, categorical_feature=categories or "auto")
    callbacks = [lightgbm.log_evaluation(1)]
    if given["early_stopping_rounds"] > 0 and given["boosting"] != "dart":
        callbacks.append(lightgbm.early_stopping(given["early_stopping_rounds"], verbose=given["verbosity"] > 0))
    try:
        booster = lightgbm.train(
            parameters,
            whole,
            given["num_boost_round"],
            valid_sets=[whole.create_valid(watched.features, watched.labels)],
            valid_names=["validation"],
            callbacks=callbacks,
        )
    except lightgbm.basic.LightGBMError as error:
        raise ClientError(f"LightGBM refused the job: {error}") from error
    _save(job.layout.model, booster, kind)
    log.info(f"Best {metric}: {booster.best_score.get('validation', {}).get(metric)} at iteration {booster.best_iteration}")


def job_threads() -> int:
    from ..cpus import cpus

    return cpus()


def _data(job: Job) -> tuple[Table, Table, list[int]]:
    """(training rows, rows that are watched, numbers of categorical features)."""
    main = "training" if "training" in job.channels else "train"
    folder = job.layout.channel(main)
    inside = os.path.join(folder, "train")
    rows = _load(job, main, inside if os.path.isdir(inside) else folder)
    apart = job.layout.channel("validation") if "validation" in job.channels else os.path.join(folder, "validation")
    categories = _categories(folder, rows.features.shape[1])
    if os.path.isdir(apart):
        return rows, _load(job, "validation" if "validation" in job.channels else main, apart), categories
    order, held = np.random.RandomState(0).permutation(len(rows)), max(1, round(HELD_OUT * len(rows)))
    parts = [Table(rows.features[part], rows.labels[part]) for part in (order[held:], order[:held])]
    return parts[0], parts[1], categories


def _load(job: Job, channel: str, folder: str) -> Table:
    files = [os.path.join(root, name) for root, _, names in os.walk(folder) for name in names if name.endswith(".csv")]
    try:
        tables = [np.genfromtxt(path, delimiter=",", dtype=np.float64, ndmin=2, encoding="utf-8") for path in sorted(files)]
        whole = np.vstack(tables)
    except ValueError as error:
        text = f"Unable to read data channel '{channel}'. Requested content-type is 'text/csv'."
        raise ClientError(text, "ValueError", str(error)) from error
    if whole.shape[1] < 2 or np.isnan(whole[:, 0]).any():
        raise ClientError(f"Channel '{channel}': the first column must be a number, the target, and features must follow; no header.")
    return Table(whole[:, 1:], whole[:, 0])


def _categories(folder: str, width: int) -> list[int]:
    """Of `categorical_index.json` ({"cat_index_list": [1, 4]}, counted with the target as 0)."""
    path = os.path.join(folder, "categorical_index.json")
    if not os.path.exists(path):
        return []
    with open(path) as file:
        found = json.load(file).get("cat_index_list", [])
    if any(not isinstance(number, int) or not 1 <= number <= width for number in found):
        raise ClientError(f"categorical_index.json: cat_index_list must be whole numbers from 1 to {width}, not {found}.")
    return [number - 1 for number in found]


def _problem(given: dict, labels: np.ndarray) -> tuple[str, int]:
    """(kind of problem, number of classes)."""
    values, metric = np.unique(labels), given["metric"]
    are_classes = len(values) > 1 and np.array_equal(values, np.arange(len(values)))
    if metric in METRICS[REGRESSION] or (metric == "auto" and not are_classes):
        return REGRESSION, 0
    if not are_classes:
        raise ClientError(f"Labels must be the whole numbers 0 … n-1 for the metric '{metric}'.")
    kind = BINARY if len(values) == 2 else MULTICLASS
    if metric != "auto" and metric not in METRICS[kind]:
        raise ClientError(f"The metric '{metric}' does not fit labels of {len(values)} classes; use one of {', '.join(METRICS[kind])}.")
    return kind, len(values)


def _save(folder: str, booster: object, kind: str) -> None:
    import joblib

    joblib.dump(booster, os.path.join(folder, "model.pkl"))
    with open(os.path.join(folder, "problem.json"), "w") as file:
        json.dump({"problem": kind}, file)


@dataclass
class Model:
    booster: object
    kind: str

    @property
    def width(self) -> int:
        return self.booster.num_feature()

    def predict(self, rows: np.ndarray, verbose: bool) -> dict[str, np.ndarray]:
        found = np.asarray(self.booster.predict(rows))
        if self.kind == REGRESSION:
            return {"prediction": found}
        probabilities = np.column_stack([1 - found, found]) if self.kind == BINARY else found
        answer = {"probabilities": probabilities}
        if verbose:
            answer["predicted_label"] = probabilities.argmax(1)
        return answer


def load(path: str) -> Model:
    import joblib

    with open(os.path.join(os.path.dirname(path), "problem.json")) as file:
        return Model(joblib.load(path), json.load(file)["problem"])


ALGORITHM = Algorithm(
    "lightgbm",
    "LightGBM",
    TABLE,
    train,
    load,
    channels=CHANNELS,
    labels=True,
    several="",
    answers=(JSON,),
    hosts=False,
    check=check_channels,
)
