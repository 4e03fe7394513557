"""The scaling steps of a pipeline, value by value: the operations of their `transform`, in its order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def scaler(step: object) -> Callable[[np.ndarray], np.ndarray] | None:
    """A function of float rows (which it may not change), or None for a step that is not known."""
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    if type(step) is StandardScaler:
        mean, deviation = step.mean_ if step.with_mean else None, step.scale_ if step.with_std else None

        def standard(rows: np.ndarray) -> np.ndarray:
            rows = rows.copy()
            if mean is not None:
                rows -= mean
            if deviation is not None:
                rows /= deviation
            return rows

        return standard
    if type(step) is MinMaxScaler and not step.clip:
        factor, least = step.scale_, step.min_

        def stretched(rows: np.ndarray) -> np.ndarray:
            rows = rows.copy()
            rows *= factor
            rows += least
            return rows

        return stretched
    return None
