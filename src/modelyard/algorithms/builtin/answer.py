"""Answers of the built-in algorithms: JSON, JSON lines, recordio-protobuf, and CSV where an algorithm has it."""

from __future__ import annotations

import json

import numpy as np

from ..recordio import write
from ..xgb.content import parse
from .algorithm import CSV, JSON, JSONLINES, RECORDIO, Algorithm


def accepted(header: str | None, algorithm: Algorithm) -> tuple[str, bool]:
    """(content type of the answer, whether the client asked for `verbose=true`). The first type of the header that the
    algorithm has; its first type where there is none: AWS's algorithms do not refuse, they answer JSON."""
    for part in (header or "").split(","):
        main, parameters = parse(part)
        if main in algorithm.answers:
            return main, parameters.get("verbose") == "true"
    return algorithm.answers[0], False


def encode(columns: dict[str, np.ndarray], content_type: str, several: str) -> bytes:
    """The body; `columns` have one entry per row. Without the name of a list (`several`) the answer is a JSON object of them."""
    if not several:
        return json.dumps({name: column.tolist() for name, column in columns.items()}).encode()
    names = list(columns)
    values = [column.tolist() for column in columns.values()]
    if content_type == CSV:
        return "".join(",".join(map(str, row)) + "\n" for row in zip(*values, strict=True)).encode()
    records = [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
    if content_type == JSONLINES:
        return "".join(json.dumps(record) + "\n" for record in records).encode()
    if content_type == RECORDIO:
        return write([{name: value if isinstance(value, list) else [value] for name, value in record.items()} for record in records])
    assert content_type == JSON
    return json.dumps({several: records}).encode()
