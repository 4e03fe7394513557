"""Default decoders and encoders of framework images: JSON, CSV, NPY (and NPZ in), as AWS's inference toolkit has them."""

from __future__ import annotations

import csv
import functools
import io
import json
from collections.abc import Callable

import numpy as np

JSON, CSV, NPY, NPZ = "application/json", "text/csv", "application/x-npy", "application/x-npz"
TEXT = ("application/json", "text/csv")


class UnsupportedFormat(Exception):
    """No decoder or encoder for that content type."""

    def __init__(self, content_type: str):
        super().__init__(
            f"Content type {content_type} is not supported by this framework.\n\n"
            "Please implement input_fn to to deserialize the request data or an output_fn to\n"
            "serialize the response. For more information, see the SageMaker Python SDK README."
        )


class Undecodable(Exception):
    """A body that is not what its content type says."""


@functools.lru_cache(256)
def media_type(header: str) -> str:
    """`Text/CSV; charset=utf-8` as `text/csv`."""
    return header.partition(";")[0].strip().lower()


@functools.lru_cache(256)
def acceptable(header: str) -> str | None:
    """The first media type of an Accept header that there is an encoder for; `*/*` is JSON."""
    for part in header.split(","):
        kind = media_type(part)
        if kind == "*/*":
            return JSON
        if kind in ENCODERS:
            return kind
    return None


def decode(body: bytes | str, content_type: str) -> np.ndarray:
    """A body as an array. Raises UnsupportedFormat, or Undecodable with the decoder's own words."""
    decoder = DECODERS.get(media_type(content_type))
    if decoder is None:
        raise UnsupportedFormat(content_type)
    try:
        return decoder(body)
    except Exception as error:
        raise Undecodable(f"Error while decoding {content_type}: {error}") from error


def encode(value: object, content_type: str) -> bytes:
    """An array-like as bytes. Raises UnsupportedFormat."""
    encoder = ENCODERS.get(media_type(content_type))
    if encoder is None:
        raise UnsupportedFormat(content_type)
    return encoder(value)


def _text(body: bytes | str) -> str:
    return body if isinstance(body, str) else body.decode("utf-8")


def _from_json(body: bytes | str) -> np.ndarray:
    return np.array(json.loads(_text(body)))


def _from_csv(body: bytes | str) -> np.ndarray:
    lines = _text(body).strip("\r\n").splitlines()
    try:
        table = np.array([[float(value) for value in line.split(",")] for line in lines])
    except ValueError:
        table = np.array(list(csv.reader(lines, strict=True)))
        table = np.where(table == "", "nan", table).astype(float)
    if table.ndim != 2:
        raise ValueError("the lines have different numbers of values")
    return table


def _from_npy(body: bytes | str) -> np.ndarray:
    return np.load(io.BytesIO(body), allow_pickle=True)


def _from_npz(body: bytes | str) -> object:
    import scipy.sparse

    return scipy.sparse.load_npz(io.BytesIO(body))


def _to_json(value: object) -> bytes:
    return json.dumps(value, default=lambda item: item.tolist()).encode()


def _to_csv(value: object) -> bytes:
    table = np.asarray(value)
    rows = table.reshape(1).tolist() if table.ndim == 0 else table.tolist()
    if table.ndim < 2 and table.dtype.kind in "iufb":
        return ("\n".join(map(str, rows)) + "\n").encode()
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(row if isinstance(row, list) else [row] for row in rows)
    return stream.getvalue().encode()


def _to_npy(value: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, value)
    return buffer.getvalue()


DECODERS: dict[str, Callable] = {JSON: _from_json, CSV: _from_csv, NPY: _from_npy, NPZ: _from_npz}
ENCODERS: dict[str, Callable] = {JSON: _to_json, CSV: _to_csv, NPY: _to_npy}
