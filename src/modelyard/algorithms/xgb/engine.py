"""XGBoost itself, without the imports it would make.

XGBoost imports scikit-learn and pandas when they are installed, for wrappers and data frames that the built-in
algorithm does not use: 0.7 of the 0.9 s that a job or a server needs to start. They are hidden while XGBoost works
and can be imported as usual otherwise.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator

UNUSED = ("sklearn", "pandas")


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Within it, packages that are not imported yet look as if they were not installed."""
    hidden = [name for name in UNUSED if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


with alone(), warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Old versions import pkg_resources, which warns.
    import xgboost


def matrix(data: object, label: object = None, weight: object = None) -> xgboost.DMatrix:
    """A DMatrix of a numpy array (NaN is missing), a CSR matrix, or a URI that XGBoost reads."""
    with alone():
        return xgboost.DMatrix(data, label=label, weight=weight)


def rounds(booster: xgboost.Booster) -> tuple[int, int]:
    """The rounds that early stopping chose; (0, 0) is all."""
    best = booster.attr("best_iteration")
    return (0, int(best) + 1) if best is not None else (0, 0)


def predict(booster: xgboost.Booster, data: object) -> object:
    """Predictions for a numpy array or CSR matrix."""
    with alone():
        return booster.predict(xgboost.DMatrix(data), iteration_range=rounds(booster), validate_features=False)


def predict_in_place(booster: xgboost.Booster, data: object) -> object:
    """The same without a copy of the data in XGBoost's own form."""
    with alone():
        return booster.inplace_predict(data, iteration_range=rounds(booster), validate_features=False)
