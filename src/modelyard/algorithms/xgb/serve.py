"""Serving of the built-in algorithm; with an entry point given it is script mode serving."""

from __future__ import annotations

import json
import logging
import os

import numpy as np

from ..cpus import cpus
from ..layout import Layout
from ..serving.messages import Request, Response
from ..serving.probe import is_cheap
from .version import image_version


def main() -> int:
    """Serve the model in `/opt/ml/model` until SIGTERM."""
    from ..serving.workers import serve

    if os.environ.get("SAGEMAKER_PROGRAM"):
        from .script import XgboostScriptHandler

        return serve(XgboostScriptHandler())
    return serve(BoosterHandler())


class BoosterHandler:
    """A booster behind the server; rows of all requests of a batch are predicted in one call."""

    batches = True
    cheap = False

    def __init__(self) -> None:
        self.version = image_version()
        self.batch_transform = bool(os.environ.get("SAGEMAKER_BATCH"))
        self.selected = os.environ.get("SAGEMAKER_INFERENCE_OUTPUT")
        self.model = None

    def load(self) -> None:
        from .model import Model

        self.model = Model(Layout().model, os.environ.get("SAGEMAKER_INFERENCE_ENSEMBLE", "true") == "true")
        self.cheap = is_cheap(self.model.predict, self.model.features)

    def execution_parameters(self) -> Response:
        size = int(os.environ.get("MAX_CONTENT_LENGTH", "6291456")) // 1024**2
        text = json.dumps({"MaxConcurrentTransforms": cpus(), "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": size})
        return Response(200, text.encode(), "application/json")

    def handle(self, requests: list[Request]) -> list[Response]:
        """Parse each, predict all that have the same width at once, answer each."""
        answers: list[Response | None] = [None] * len(requests)
        groups: dict[int, list[tuple[int, np.ndarray]]] = {}
        for number, request in enumerate(requests):
            rows = self._rows(request)
            if isinstance(rows, Response):
                answers[number] = rows
            elif isinstance(rows, np.ndarray) and len(requests) > 1:
                groups.setdefault(rows.shape[1], []).append((number, rows))
            else:
                answers[number] = self._alone(request, rows)
        for members in groups.values():
            self._together(members, requests, answers)
        return answers

    def _rows(self, request: Request) -> object:
        """The rows of a request, or the error it gets."""
        from .payload import BadPayload, parse

        if not request.body:
            return Response(204)
        try:
            rows, kind = parse(request.body, request.headers.get("content-type"))
        except BadPayload as error:
            logging.error("%s", error)
            return Response(415, str(error).encode(), "text/html; charset=utf-8")
        problem = self._width(rows.shape[1], kind)
        return Response(400, f"Unable to evaluate payload provided: {problem}".encode(), "text/html; charset=utf-8") if problem else rows

    def _width(self, width: int, kind: str) -> str | None:
        """What is wrong with the number of features, in AWS's words. As there, one column less than the model knows is let through."""
        features = self.model.features
        if kind == "libsvm":
            if width > features + 1:
                return f"Feature size of libsvm inference data {width} is larger than feature size of trained model {features}."
        elif width not in (features, features - 1):
            return f"Feature size of {kind} inference data {width} is not consistent with feature size of trained model {features}."
        return None

    def _alone(self, request: Request, rows: object) -> Response:
        try:
            return self._answer(request, self.model.predict(rows))
        except Exception as error:
            logging.exception("Prediction failed")
            return Response(400, f"Unable to evaluate payload provided: {error}".encode(), "text/html; charset=utf-8")

    def _together(self, members: list[tuple[int, np.ndarray]], requests: list[Request], answers: list) -> None:
        try:
            predictions = self.model.predict(np.vstack([rows for _, rows in members]))
        except Exception:
            for number, rows in members:
                answers[number] = self._alone(requests[number], rows)
            return
        at = 0
        for number, rows in members:
            answers[number] = self._answer(requests[number], predictions[at : at + len(rows)])
            at += len(rows)

    def _answer(self, request: Request, predictions: np.ndarray) -> Response:
        from .answer import NotAcceptable, accepted, encode

        try:
            accept = accepted(request.headers.get("accept")) if self.version >= (1, 2) or self.selected else "text/csv"
        except NotAcceptable as error:
            return Response(406, str(error).encode(), "text/html; charset=utf-8")
        if self.selected:
            from .selection import answer

            return answer(predictions, self.selected, self.model, accept, self.batch_transform)
        body, content_type = encode(predictions, accept, self.version, self.batch_transform)
        return Response(200, body, content_type + "; charset=utf-8" if content_type.startswith("text/") else content_type)
