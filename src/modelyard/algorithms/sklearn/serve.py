"""Serving in the scikit-learn image: a user's model_fn, numpy in and out, `model.predict` by default."""

from __future__ import annotations

import numpy as np

from ..serving.messages import Request, Response
from ..serving.probe import is_cheap
from ..serving.script import ScriptHandler
from . import quick
from .direct import Direct, direct
from .independent import rows_are_independent, same_together


def main() -> int:
    """Serve the model in `/opt/ml/model` until SIGTERM."""
    from ..serving.workers import serve

    return serve(SklearnHandler())


class SklearnHandler(ScriptHandler):
    """Batches by itself when rows cannot influence each other: predict_fn is the default and the estimator is scikit-learn's own."""

    way: Direct | None = None

    def load(self) -> None:
        super().load()
        default = self.predict_fn == self.default_predict_fn and not self.transform_fn and rows_are_independent(self.model)
        self.way = direct(self.model) if default else None
        together = default and (self.way is not None or same_together(self.model))
        self.batches = self.may_batch(together)
        self.cheap = together and self.batches and is_cheap(lambda rows: self.predict_fn(rows, self.model), self.model.n_features_in_)
        self.plain = default and self.input_fn == self.default_input_fn and self.output_fn == self.default_output_fn

    def default_input_fn(self, data: bytes | str, content_type: str) -> object:
        """Text becomes float32, as in AWS's image; one record without a second dimension is one row."""
        array = super().default_input_fn(data, content_type)
        if array.ndim == 1:
            array = array.reshape(1, -1)
        return array if isinstance(data, bytes) else array.astype(np.float32)

    def default_predict_fn(self, data: object, model: object) -> object:
        short = self.way and isinstance(data, np.ndarray) and data.ndim == 2 and len(data)
        predictions = self.way(data, [len(data)]) if short else None
        return model.predict(data) if predictions is None else predictions

    def handle(self, requests: list[Request]) -> list[Response]:
        """The short way for plain CSV, else each as its content type and the user's functions want it."""
        if self.plain and (answers := quick.answer(requests, self.model.predict, self.default_accept, self.way)):
            return answers
        return super().handle(requests)

    def predict_together(self, rows: np.ndarray, counts: list[int]) -> object:
        predictions = self.way(rows, counts) if self.way else None
        return super().predict_together(rows, counts) if predictions is None else predictions
