"""Bodies of inference requests: text/csv, JSON, JSON lines and recordio-protobuf, dense or sparse, into rows of features.

Source: "Common Data Formats for Inference" of AWS's developer guide.
"""

from __future__ import annotations

import json

import numpy as np

from .. import recordio
from ..xgb.content import parse
from .algorithm import CSV, JSON, JSONLINES, RECORDIO


class Unsupported(Exception):
    """A content type that no built-in algorithm reads."""


class Unreadable(Exception):
    """A body that is not what its content type says."""


def rows(body: bytes, content_type: str | None, csv: bool = True) -> object:
    """A float32 array, or a CSR matrix where an instance is sparse. Raises Unsupported or Unreadable."""
    main, parameters = parse(content_type or JSON)
    readers = {JSON: _json, JSONLINES: _jsonlines, RECORDIO: lambda data: recordio.read_matrix(data)[0]}
    if csv:
        readers[CSV] = lambda data: _csv(data, int(parameters.get("label_size", "0")))
    if main not in readers:
        raise Unsupported(f"content-type '{main}' is not supported; use one of {sorted(readers)}")
    try:
        return readers[main](body)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def _csv(body: bytes, label_size: int) -> np.ndarray:
    lines = body.decode("utf-8").strip("\r\n").splitlines()
    if not lines:
        raise ValueError("no rows")
    table = [[float(value) for value in line.split(",")] for line in lines]
    if any(len(row) != len(table[0]) for row in table):
        raise ValueError("the lines have different numbers of values")
    return np.array(table, dtype=np.float32)[:, label_size:]


def _json(body: bytes) -> object:
    return _instances(json.loads(body)["instances"])


def _jsonlines(body: bytes) -> object:
    return _instances([json.loads(line) for line in body.decode("utf-8").splitlines() if line.strip()])


def _instances(found: list) -> object:
    """`{"features": [...]}` or `{"data": {"features": {"values": [...], "keys": [...], "shape": [...]}}}`, in any mixture."""
    values, keys, width = [], [], 0
    for item in found:
        features = item["data"]["features"] if "data" in item else item["features"]
        features = features if isinstance(features, dict) else {"values": features}
        values.append(np.asarray(features["values"], dtype=np.float32).reshape(-1))
        keys.append(np.asarray(features["keys"], dtype=np.int64) if features.get("keys") else None)
        width = max(width, int((features.get("shape") or [0])[-1]), len(values[-1]) if keys[-1] is None else int(keys[-1].max()) + 1)
    if not values:
        raise ValueError("no instances")
    if all(key is None for key in keys):
        if len({len(row) for row in values}) > 1:
            raise ValueError("the instances have different numbers of features")
        return np.vstack(values)
    from scipy.sparse import csr_matrix

    places = [np.arange(len(row)) if key is None else key for row, key in zip(values, keys, strict=True)]
    if any(len(place) != len(row) or place.min(initial=0) < 0 for place, row in zip(places, values, strict=True)):
        raise ValueError("keys and values do not fit together")
    starts = np.concatenate([[0], np.cumsum([len(place) for place in places])])
    return csr_matrix((np.concatenate(values), np.concatenate(places), starts), shape=(len(values), width))
