"""XGBoost's own prediction of dense rows, called as its `inplace_predict` calls it, without that function's 0.1 ms of questions
about what kind of data it was given."""

from __future__ import annotations

import ctypes
import json

import numpy as np

from .engine import rounds, xgboost


class Dense:
    """A booster asked for float32 rows; NaN is missing. Raises xgboost.core.XGBoostError with XGBoost's own words."""

    def __init__(self, booster: xgboost.Booster):
        begin, end = rounds(booster)
        asked = {
            "type": 0,
            "training": False,
            "iteration_begin": begin,
            "iteration_end": end,
            "missing": float("nan"),
            "strict_shape": False,
        }
        self.library, self.handle, self.booster = xgboost.core._LIB, booster.handle, booster
        self.config = json.dumps({**asked, "cache_id": 0}).encode()

    def __call__(self, _booster: xgboost.Booster, rows: np.ndarray) -> np.ndarray:
        """Predictions, in an array of their own: XGBoost's is overwritten by the next call."""
        rows = np.ascontiguousarray(rows, np.float32)
        shape, dimensions = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
        found = ctypes.POINTER(ctypes.c_float)()
        failed = self.library.XGBoosterPredictFromDense(
            self.handle,
            b'{"data": [%d, true], "shape": [%d, %d], "typestr": "<f4", "version": 3, "strides": null}' % (rows.ctypes.data, *rows.shape),
            self.config,
            ctypes.c_void_p(),
            ctypes.byref(shape),
            ctypes.byref(dimensions),
            ctypes.byref(found),
        )
        if failed:
            raise xgboost.core.XGBoostError(ctypes.string_at(self.library.XGBGetLastError()).decode())
        sizes = shape[: dimensions.value]
        count = 1
        for size in sizes:
            count *= size
        values = np.frombuffer(ctypes.string_at(found, 4 * count), np.float32) if count else np.empty(0, np.float32)
        return values.reshape(sizes)
