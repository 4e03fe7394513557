"""The training job of the built-in algorithm; with an entry point given it is script mode."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import sys
import time
import traceback

from ..cpus import cpus
from ..errors import AlgorithmError, UserError, without_stack
from ..layout import Layout
from ..script.environment import Environment
from ..script.train import main as script_mode
from .version import default_metric, image_version, pickles

FRAMEWORK = "sagemaker_xgboost_container.training:main"
USERS_FAULT = (
    "label must be in [0,1] for logistic regression",
    "label must be in [0, num_class)",
    "Target is multiclass but average='binary'",
    "feature_names mismatch",
    "Check failed: preds.size() == info.labels_.size()",
    "Check failed: !auc_error AUC: the dataset only contains pos or neg samples",
    "base_score must be in (0,1) for logistic loss",
    "PoissonRegression: label must be nonnegative",
    "TweedieRegression: label must be nonnegative",
    "Parameter reg_lambda should be greater equal to 0",
    "Label contains NaN",
)
"""Messages of XGBoost that tell of wrong input rather than a broken algorithm."""


def main() -> int:
    """Run the training job in this container; the exit code is the container's."""
    layout = Layout()
    layout.make()
    try:
        environment = Environment.read(layout, FRAMEWORK)
    except (OSError, ValueError) as error:
        layout.fail(f"framework error: \nThe configuration in {layout.config} cannot be read: {error}")
        raise
    if environment.program:
        return script_mode("xgboost")
    version = image_version()
    _configure_log(version)
    logging.getLogger("sagemaker-containers").info("Imported framework sagemaker_xgboost_container.training")
    try:
        for name in environment.undecoded:
            text = f"Failed to parse hyperparameter {name} value {environment.user.get(name)} to Json.\nReturning the value itself"
            logging.getLogger("sagemaker-containers").info(text)
        logging.getLogger("sagemaker-containers").info("No GPUs detected (normal if no gpus installed)")
        logging.getLogger("sagemaker_xgboost_container.training").info("Running XGBoost Sagemaker in algorithm mode")
        train(layout, version, environment.resources["hosts"], environment.resources["current_host"])
    except Exception as error:
        # The file's first 1,024 characters are all that DescribeTrainingJob shows: one frame is enough there, the log has all.
        short = "".join(traceback.format_exception(error, limit=-1, chain=False))
        layout.fail(f"framework error: \n{short}\n{error}")
        logging.error("Reporting training FAILURE")
        logging.error(f"framework error: \n{traceback.format_exc()}\n{error}")
        return 1
    return 0


def _configure_log(version: tuple[int, int]) -> None:
    """Up to 1.3 records look like `INFO:root:text`, later like `[2023-01-10:10:28:39:INFO] text`."""
    form = "%(levelname)s:%(name)s:%(message)s" if version <= (1, 3) else "[%(asctime)s:%(levelname)s] %(message)s"
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format=form, datefmt="%Y-%m-%d:%H:%M:%S")


def train(layout: Layout, version: tuple[int, int], hosts: list[str], here: str) -> None:
    """Check everything, load, boost, save; on several hosts the first does (hosts.py). Raises UserError, AlgorithmError or PlatformError."""
    from . import channels, hyperparameters
    from .hosts import follow, lead, sharded

    given = hyperparameters.parse(layout.read("hyperparameters"), version)
    checked = channels.check(layout.read("inputdataconfig"))
    if "_kfold" in given:
        raise UserError("Cross validation (_kfold) is not supported by this image")
    if given.pop("use_dask_gpu_training", "false") == "true":
        raise UserError("Some configurations unsuitable for Dask GPU training were found: there is no GPU")
    names = sharded(layout.read("inputdataconfig"))
    if here != hosts[0]:
        follow(layout, names, hosts[0])
        return
    with lead(layout, names, len(hosts) - 1) if len(hosts) > 1 else contextlib.nullcontext():
        _train(layout, version, given, checked)


def _train(layout: Layout, version: tuple[int, int], given: dict, checked: dict) -> None:
    matrices = _load(layout, checked, given.pop("csv_weights", 0) == 1)
    logging.info("Single node training.")
    rows = matrices["train"]
    columns = f" and {rows.num_col()} columns" if version >= (1, 2) else ""
    logging.info(f"Train matrix has {rows.num_row()} rows{columns}")
    if "validation" in matrices:
        logging.info(f"Validation matrix has {matrices['validation'].num_row()} rows")
    try:
        booster = boost(given, matrices, layout, version)
    except Exception as error:
        text = without_stack(error)
        if any(fault in text for fault in USERS_FAULT):
            raise UserError(text) from error
        raise AlgorithmError(f"XGB train call failed with exception:\n {text}") from error
    save(booster, layout.model, version)


def _load(layout: Layout, channels: dict[str, dict], weights: bool) -> dict:
    from .content import kind
    from .data import load

    content = kind(channels["train"]["ContentType"])
    matrices = {}
    for name, text in (("train", "training"), ("validation", "validation")):
        if name in channels:
            matrices[name] = load(layout.channel(name), content, weights)
            if matrices[name] is None:
                raise UserError(f"No data in {text} channel path {layout.channel(name)}")
    return matrices


def boost(given: dict, matrices: dict, layout: Layout, version: tuple[int, int]) -> object:
    """Run xgboost.train with the job's callbacks; answers the booster."""
    from .callbacks import Checkpoints, Intermediate, MetricLines, latest
    from .engine import xgboost
    from .metrics import MAXIMIZE, OWN, own_metric

    rounds = given.pop("num_round")
    patience = given.pop("early_stopping_rounds", None)
    intermediate = given.pop("save_model_on_termination", "false") == "true"
    metrics, watched = _metrics(given, version)
    own = [name for name in metrics if name in OWN]
    given["eval_metric"] = [name for name in metrics if name not in OWN]
    if own and not given["eval_metric"]:
        given["disable_default_eval_metric"] = 1
    given.setdefault("nthread", cpus())
    folder = layout.read("checkpointconfig").get("LocalPath")
    start, first = latest(folder)
    if start:
        logging.info("Checkpoint loaded from %s", start)
        logging.info("Resuming from iteration %s", first)
    callbacks = [MetricLines(first)]
    if folder:
        callbacks.append(Checkpoints(folder, first))
    if intermediate:
        callbacks.append(Intermediate(layout.model))
    if patience and "validation" in matrices:
        stop = xgboost.callback.EarlyStopping(
            patience,
            metric_name=watched,
            data_name="validation",
            maximize=watched in MAXIMIZE if watched else None,
            save_best=version > (1, 2),
        )
        callbacks.append(stop)
    extra = {"custom_metric" if _newer(xgboost) else "feval": own_metric(own, given.get("objective"))} if own else {}
    return xgboost.train(
        given,
        matrices["train"],
        num_boost_round=max(0, rounds - first),
        evals=[(matrix, name) for name, matrix in matrices.items()],
        callbacks=callbacks,
        xgb_model=start,
        verbose_eval=False,
        **extra,
    )


def _newer(xgboost: object) -> bool:
    """xgboost.train takes `custom_metric` from 1.6 on, `feval` before."""
    return tuple(int(part) for part in xgboost.__version__.split(".")[:2]) >= (1, 6)


def _metrics(given: dict, version: tuple[int, int]) -> tuple[list[str], str | None]:
    """(metrics to evaluate, the one that early stopping watches: None is the engine's last)."""
    asked = given.pop("eval_metric", None)
    tuning = given.pop("_tuning_objective_metric", None)
    if tuning:
        tuning = tuning.split(":")[-1]
        logging.info(f"Setting up HPO optimized metric to be : {tuning}")
    names = sorted({tuning, *asked}) if tuning and asked else [tuning] if tuning else asked or []
    if not names and (default := default_metric(version, given.get("objective"))):
        names = [default]
    return names, tuning or (names[-1] if names else None)


def save(booster: object, folder: str, version: tuple[int, int]) -> None:
    """The artifact `xgboost-model`: a pickled Booster where AWS's image of that version pickles, else XGBoost's own format."""
    from .callbacks import MODEL, write

    path = os.path.join(folder, MODEL)
    if pickles(version):
        with open(path, "wb") as file:
            pickle.dump(booster, file, protocol=4)
    else:
        write(booster, path)
