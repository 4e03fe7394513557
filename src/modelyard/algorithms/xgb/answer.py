"""Predictions as bytes, by what the client accepts and what the image's version does."""

from __future__ import annotations

import csv
import io
import json
import os

import numpy as np

from ..recordio import write
from .content import parse

ACCEPTED = ["application/json", "application/jsonlines", "application/x-recordio-protobuf", "text/csv"]


class NotAcceptable(Exception):
    """The client accepts nothing this algorithm can answer."""


def accepted(header: str | None) -> str:
    """The content type of the answer; nothing or `*/*` is SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT, else text/csv."""
    main, _ = parse(header)
    if not main or main == "*/*":
        return os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "text/csv")
    if main not in ACCEPTED:
        raise NotAcceptable(f"Accept type {main} is not supported. Please use supported accept types: {ACCEPTED}.")
    return main


def encode(predictions: np.ndarray, accept: str, version: tuple[int, int], batch: bool) -> tuple[bytes, str]:
    """(body, content type). Up to 1.0 the server joins the numbers with commas whatever is accepted; later each
    prediction is a line. In a batch transform each is a line with its end."""
    values = predictions.tolist()
    if batch:
        return ("\n".join(map(str, values)) + "\n").encode(), accept if version >= (1, 2) else "text/csv"
    if version < (1, 2):
        return ",".join(map(str, values)).encode(), "text/csv"
    if accept == "application/json":
        return json.dumps({"predictions": [{"score": value} for value in values]}).encode(), accept
    if accept == "application/jsonlines":
        return "".join(json.dumps({"score": value}) + "\n" for value in values).encode(), accept
    if accept == "application/x-recordio-protobuf":
        return write([{"score": value if isinstance(value, list) else [value]} for value in values]), accept
    return _csv(values).encode(), accept


def _csv(values: list) -> str:
    if values and not isinstance(values[0], list):
        return "".join(f"{value}\n" for value in values)
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(value if isinstance(value, list) else [value] for value in values)
    return stream.getvalue()
