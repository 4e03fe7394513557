"""Serving in the scikit-learn image: a user's model_fn, numpy in and out, `model.predict` by default."""

from __future__ import annotations

import numpy as np

from ..serving.codecs import Undecodable, UnsupportedFormat
from ..serving.messages import Request, Response
from ..serving.probe import is_cheap
from ..serving.script import Context, ScriptHandler, body, call, content_type, failed, respond
from . import quick
from .direct import Direct, direct
from .independent import rows_are_independent, same_together


def main() -> int:
    """Serve the model in `/opt/ml/model` until SIGTERM."""
    from ..serving.workers import serve

    return serve(SklearnHandler())


class SklearnHandler(ScriptHandler):
    """Requests of a batch are predicted in one call when rows cannot influence each other: predict_fn is the default
    and the estimator is scikit-learn's own, or the user's module says `modelyard_batch = True`."""

    way: Direct | None = None

    def load(self) -> None:
        super().load()
        declared = getattr(self.module, "modelyard_batch", None)
        default = self.predict_fn == self.default_predict_fn and not self.transform_fn and rows_are_independent(self.model)
        self.way = direct(self.model) if default else None
        together = default and (self.way is not None or same_together(self.model))
        self.batches = not self.transform_fn and (together if declared is None else bool(declared))
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
        """Decode each, predict together what has the same width and type, answer each from its own rows."""
        if self.plain and (answers := quick.answer(requests, self.model.predict, self.default_accept, self.way)):
            return answers
        if len(requests) == 1:
            return [self.answer(requests[0])]
        answers: list[Response | None] = [None] * len(requests)
        groups: dict[tuple, list[tuple[int, np.ndarray]]] = {}
        for number, request in enumerate(requests):
            try:
                data = call(self.input_fn, Context(request, self.layout.model), body(request), content_type(request))
            except UnsupportedFormat as error:
                answers[number] = failed(415, error)
            except Undecodable as error:
                answers[number] = failed(400, error)
            except Exception as error:
                answers[number] = failed(getattr(error, "status_code", 500), error)
            else:
                if isinstance(data, np.ndarray) and data.ndim == 2 and data.dtype.kind in "fiub" and len(data):
                    groups.setdefault((data.shape[1], data.dtype), []).append((number, data))
                else:
                    answers[number] = self.answer(request)
        for members in groups.values():
            self._together(members, requests, answers)
        return answers

    def _together(self, members: list[tuple[int, np.ndarray]], requests: list[Request], answers: list) -> None:
        rows = members[0][1] if len(members) == 1 else np.vstack([data for _, data in members])
        try:
            predictions = self.way(rows, [len(data) for _, data in members]) if self.way else None
            if predictions is None:
                predictions = call(self.predict_fn, Context(None, self.layout.model), rows, self.model)
            if len(predictions) != len(rows):
                raise ValueError("the prediction has another number of rows")
        except Exception:
            for number, _ in members:
                answers[number] = self.answer(requests[number])
            return
        at = 0
        for number, data in members:
            answers[number] = self._encode(requests[number], predictions[at : at + len(data)])
            at += len(data)

    def _encode(self, request: Request, prediction: object) -> Response:
        accept, context = self.accept(request), Context(request, self.layout.model)
        try:
            result = self.output(prediction, accept, context)
        except Exception as error:
            return failed(500, error)
        return result if isinstance(result, Response) else respond(result, accept, context)
