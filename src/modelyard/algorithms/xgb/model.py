"""A trained model, loaded and asked: pickled boosters and XGBoost's own formats, one file or an ensemble."""

from __future__ import annotations

import json
import logging
import os
import pickle

import numpy as np

from .engine import predict, xgboost

VOTES = ("multi:softmax", "binary:hinge")


class Model:
    """One booster, or several whose predictions are averaged (or put to the vote)."""

    def __init__(self, folder: str, ensemble: bool = True):
        paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if not name.startswith(".")]
        paths = [path for path in paths if os.path.isfile(path)]
        if not paths:
            raise RuntimeError(f"No model file found in {folder}")
        loaded = [_load(path) for path in (paths if ensemble else paths[:1])]
        self.boosters = [booster for booster, _ in loaded]
        self.pickled = loaded[0][1]
        learner = json.loads(self.boosters[0].save_config())["learner"]
        self.objective: str = learner["objective"]["name"]
        self.classes: str = learner["learner_model_param"].get("num_class", "")
        self.features: int = self.boosters[0].num_features()
        logging.info("Model objective : %s", self.objective)

    def predict(self, data: object) -> np.ndarray:
        """Predictions for a float array (NaN is missing) or a CSR matrix, as AWS's server computes them."""
        answers = [predict(booster, data) for booster in self.boosters]
        if len(answers) == 1:
            return answers[0]
        if self.objective in VOTES:
            from scipy import stats

            return np.asarray(stats.mode(answers, axis=0, keepdims=False).mode)
        return np.mean(answers, axis=0)


def _load(path: str) -> tuple[xgboost.Booster, bool]:
    """(booster, whether it was a pickle). Raises RuntimeError that tells both attempts."""
    logging.info("Loading the model from %s", path)
    try:
        with open(path, "rb") as file:
            booster, pickled = pickle.load(file), True
        booster = booster.get_booster() if hasattr(booster, "get_booster") else booster
    except Exception as first:
        try:
            booster, pickled = xgboost.Booster(), False
            booster.load_model(path)
        except Exception as second:
            raise RuntimeError(f"Model {path} cannot be loaded:\nPickle load error={first}\nXGB load model error={second}") from second
    booster.set_param({"nthread": 1})
    return booster, pickled
