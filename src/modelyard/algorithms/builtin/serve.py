"""The model server of a built-in algorithm."""

from __future__ import annotations

import json
import logging
import os
from itertools import pairwise

import numpy as np

from ..cpus import cpus
from ..layout import Layout
from ..serving.messages import Request, Response
from ..serving.probe import is_cheap
from . import answer, payload
from .algorithm import Algorithm
from .train import algorithm

TEXT = "text/plain; charset=utf-8"


def main(name: str) -> int:
    """Serve the model in `/opt/ml/model` until SIGTERM."""
    from ..serving.workers import serve

    return serve(handler(name))


def handler(name: str) -> BuiltInHandler:
    """A handler of a class of its own: the server makes further ones of it."""
    return type(f"{name} handler", (BuiltInHandler,), {"algorithm": algorithm(name)})()


class BuiltInHandler:
    """One model; rows of all requests of a batch are predicted in one call."""

    algorithm: Algorithm
    batches = True
    cheap = False

    def __init__(self) -> None:
        self.model = None

    def load(self) -> None:
        self.model = self.algorithm.load(artifact(Layout().model))
        self.cheap = is_cheap(lambda rows: self.model.predict(rows, False), self.model.width)

    def execution_parameters(self) -> Response:
        size = int(os.environ.get("MAX_CONTENT_LENGTH", "6291456")) // 1024**2
        text = json.dumps({"MaxConcurrentTransforms": cpus(), "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": size})
        return Response(200, text.encode(), "application/json")

    def handle(self, requests: list[Request]) -> list[Response]:
        """Parse each, predict what can go together, answer each."""
        answers: list[Response | None] = [None] * len(requests)
        groups: dict[bool, list[tuple[int, np.ndarray]]] = {}
        for number, request in enumerate(requests):
            rows = self._rows(request)
            verbose = answer.accepted(request.headers.get("accept"), self.algorithm)[1]
            if isinstance(rows, Response):
                answers[number] = rows
            elif isinstance(rows, np.ndarray):
                groups.setdefault(verbose, []).append((number, rows))
            else:
                answers[number] = self._alone(request, rows, verbose)
        for verbose, members in groups.items():
            self._together(members, verbose, requests, answers)
        return answers

    def _rows(self, request: Request) -> object:
        """The rows of a request with the model's number of features, or the error it gets."""
        if not request.body:
            return _bad("the request has no body")
        try:
            rows = payload.rows(request.body, request.headers.get("content-type"), self.algorithm.csv)
        except payload.Unsupported as error:
            return Response(415, str(error).encode(), TEXT)
        except payload.Unreadable as error:
            return _bad(str(error))
        if not isinstance(rows, np.ndarray):
            if rows.shape[1] < self.model.width:
                rows.resize(rows.shape[0], self.model.width)
            rows = rows if self.algorithm.sparse else rows.toarray()
        if rows.shape[1] != self.model.width:
            return _bad(f"the data has {rows.shape[1]} features, the model {self.model.width}")
        return rows

    def _alone(self, request: Request, rows: object, verbose: bool) -> Response:
        try:
            return self._encoded(request, self.model.predict(rows, verbose))
        except Exception as error:
            logging.exception("Prediction failed")
            return _bad(str(error))

    def _together(self, members: list, verbose: bool, requests: list[Request], answers: list) -> None:
        places = [0, *np.cumsum([len(rows) for _, rows in members])]
        try:
            whole = members[0][1] if len(members) == 1 else np.vstack([rows for _, rows in members])
            columns = self.model.predict(whole, verbose)
            for (number, _), (first, last) in zip(members, pairwise(places), strict=True):
                part = {name: column[first:last] for name, column in columns.items()}
                answers[number] = self._encoded(requests[number], part)
        except Exception:
            for number, rows in members:
                answers[number] = self._alone(requests[number], rows, verbose)

    def _encoded(self, request: Request, columns: dict[str, np.ndarray]) -> Response:
        kind = answer.accepted(request.headers.get("accept"), self.algorithm)[0]
        return Response(200, answer.encode(columns, kind, self.algorithm.several), kind)


def artifact(folder: str) -> str:
    """The model file of a folder: `model_algo-1`, of whichever host wrote it."""
    for name in sorted(os.listdir(folder)):
        if name.startswith("model_") or name == "model.pkl":
            return os.path.join(folder, name)
    raise FileNotFoundError(f"There is no model_algo-1 in {folder}")


def _bad(why: str) -> Response:
    return Response(400, f"unable to evaluate payload provided: {why}".encode(), TEXT)
