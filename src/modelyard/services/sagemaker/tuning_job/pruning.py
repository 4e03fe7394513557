"""Which running trials are not worth their end. Pure: curves in, trials to stop out."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from modelyard.services.sagemaker.tuning_job.trials import Trial

ENOUGH_CURVES = 3
KEPT_SHARE = 3
"""Hyperband keeps the best third at each rung, and gives three times the resource to it."""
EPOCH_NAMES = ("epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs")


def worse_than_median(trials: Sequence[Trial]) -> list[Trial]:
    """AWS's early stopping (automatic-model-tuning-early-stopping): a running trial whose last objective is worse than the median
    of the running averages that ended trials had by the same step."""
    ended = [trial for trial in trials if trial.is_ended and trial.status != "Failed" and trial.curve]
    stopped = []
    for trial in trials:
        step = len(trial.curve)
        if trial.is_ended or trial.stopping or not step:
            continue
        peers = [_losses(peer)[:step] for peer in ended if len(peer.curve) >= step and peer.definition == trial.definition]
        if len(peers) >= ENOUGH_CURVES and _losses(trial)[-1] > statistics.median(statistics.fmean(curve) for curve in peers):
            stopped.append(trial)
    return stopped


def outside_top_third(trials: Sequence[Trial], low: int, high: int) -> list[Trial]:
    """Hyperband with asynchronous halving: at each rung (low, 3·low, 9·low, … below `high` values told) a trial goes on only while it
    is among the best third of those that came so far; brackets begin at different rungs. At `high` it has had all."""
    rungs = rungs_between(low, high)
    at_rung = {rung: [_best(trial, rung) for trial in trials if len(trial.curve) >= rung and trial.status != "Failed"] for rung in rungs}
    stopped = []
    for trial in trials:
        if trial.is_ended or trial.stopping:
            continue
        told = len(trial.curve)
        if told >= high or any(not _among_best(trial, rung, at_rung[rung]) for rung in _bracket(trial, rungs) if rung <= told):
            stopped.append(trial)
    return stopped


def rungs_between(low: int, high: int) -> list[int]:
    rungs, rung = [], max(1, low)
    while rung < high:
        rungs.append(rung)
        rung *= KEPT_SHARE
    return rungs


def resources(config: Mapping[str, Any], static: Mapping[str, str]) -> tuple[int, int] | None:
    """(MinResource, MaxResource) of Hyperband; the largest is looked up among the static hyperparameters where it is not given.
    None: there is none."""
    given = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {})
    most = given.get("MaxResource")
    for name in EPOCH_NAMES:
        text = static.get(name, "").strip('"')
        if most is None and text.isdecimal():
            most = int(text)
    return None if most is None else (given.get("MinResource", 1), most)


def _bracket(trial: Trial, rungs: Sequence[int]) -> Sequence[int]:
    """The rungs at which this trial is judged: every third trial is spared the first, every ninth the first two."""
    spared, number = 0, trial.number
    while number % KEPT_SHARE == 0 and spared < len(rungs):
        number //= KEPT_SHARE
        spared += 1
    return rungs[spared:]


def _among_best(trial: Trial, rung: int, losses: Sequence[float]) -> bool:
    if len(losses) < KEPT_SHARE:
        return True
    return _best(trial, rung) <= sorted(losses)[len(losses) // KEPT_SHARE - 1]


def _best(trial: Trial, rung: int) -> float:
    return list(accumulate(_losses(trial)[:rung], min))[-1]


def _losses(trial: Trial) -> list[float]:
    return [-value if trial.maximize else value for value in trial.curve]
