"""The short way for the most common requests: CSV in, CSV or JSON out, nothing of the user's in between.

All bodies are read as one text and all predictions written from one list, which costs a third of doing it one by
one. Whatever is not plain (another content type, an empty value, lines of different lengths, a failure) is left to
the long way, so this never decides what an odd request gets.
"""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Callable

import numpy as np

from ..serving.codecs import CSV, JSON, acceptable, encode, media_type
from ..serving.messages import Request, Response
from .direct import Direct

FEW = 1000
"""Up to this many values, reading them one by one is sooner done than preparing numpy's reader of text."""


def answer(requests: list[Request], predict: Callable, default_accept: str, way: Direct | None = None) -> list[Response] | None:
    """The answers, or None when one of the requests is not plain. `way` is asked before `predict`."""
    kinds, texts, rows = [], [], []
    for request in requests:
        kind, text = _plain(request, default_accept)
        if kind is None:
            return None
        kinds.append(kind)
        texts.append(text)
        rows.append(text.count(b"\n") + 1)
    table = _table(texts, sum(rows))
    if table is None:
        return None
    try:
        predictions = way(table, rows) if way else None
        if predictions is None:
            predictions = predict(table)
    except Exception:
        return None
    if len(predictions) != len(table):
        return None
    simple = isinstance(predictions, np.ndarray) and predictions.ndim == 1 and predictions.dtype.kind in "iuf"
    values = predictions.tolist() if simple else predictions
    write, at, answers = _text if simple else encode, 0, []
    for kind, count in zip(kinds, rows, strict=True):
        answers.append(Response(200, write(values[at : at + count], kind), kind))
        at += count
    return answers


def _plain(request: Request, default_accept: str) -> tuple[str | None, bytes]:
    """(the type of the answer, the lines without the ends) when this is a plain CSV request, else (None, b"")."""
    headers, body = request.headers, request.body
    kind = _kind(headers.get("accept"), headers.get("content-type"), default_accept)
    if kind is None or b"\r" in body:
        return None, b""
    return kind, body.strip(b"\n")


@functools.lru_cache(256)
def _kind(accept: str | None, content_type: str | None, default_accept: str) -> str | None:
    kind = acceptable(default_accept if not accept or accept == "*/*" else accept)
    return kind if kind in (CSV, JSON) and media_type(content_type or "") == CSV else None


def _table(texts: list[bytes], rows: int) -> np.ndarray | None:
    commas = texts[0].partition(b"\n")[0].count(b",")
    for text in texts:
        if b"\n" in text:
            if any(line.count(b",") != commas for line in text.split(b"\n")):
                return None
        elif text.count(b",") != commas:
            return None
    if rows * (commas + 1) <= FEW:
        try:
            values = list(map(float, b",".join(texts).replace(b"\n", b",").split(b",")))
            return np.array(values, np.float32).reshape(rows, commas + 1)
        except ValueError:
            return None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            flat = np.fromstring(b",".join(texts).replace(b"\n", b",").decode("ascii"), np.float64, sep=",")
        except (DeprecationWarning, ValueError):
            return None
    return flat.astype(np.float32).reshape(rows, commas + 1) if flat.size == rows * (commas + 1) else None


def _text(values: list, kind: str) -> bytes:
    if kind == CSV:
        return b"%d\n" % values[0] if len(values) == 1 and type(values[0]) is int else ("\n".join(map(str, values)) + "\n").encode()
    return json.dumps(values).encode()
