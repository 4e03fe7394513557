"""RecordIO files of SageMaker's protobuf records (`application/x-recordio-protobuf`), read and written.

Frame: magic 0xCED7230A, length, payload padded to 4 bytes. The payload is the message `aialgs.data.Record`
(docs.aws.amazon.com/sagemaker/latest/dg/cdf-training.html): maps `features` (1) and `label` (2) from a name to a
Value, which holds a float32 (2), float64 (3) or int32 (7) tensor of values (1), keys (2) and shape (3). Read here
without a protobuf library: the schema is fixed and small.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

MAGIC = 0xCED7230A
TENSORS = {2: np.dtype("<f4"), 3: np.dtype("<f8"), 7: np.dtype("int32")}


@dataclass
class Tensor:
    """Values, and for a sparse tensor their column numbers (`keys`) and the row length (`shape[0]`)."""

    values: np.ndarray
    keys: np.ndarray | None
    shape: list[int]


@dataclass
class Record:
    """One record: tensors by name; `values` is the usual name in both maps."""

    features: dict[str, Tensor]
    label: dict[str, Tensor]


def read(data: bytes) -> Iterator[Record]:
    """The records of a RecordIO buffer. Raises ValueError for anything malformed."""
    at = 0
    while at + 8 <= len(data):
        magic, length = struct.unpack_from("<II", data, at)
        if magic != MAGIC:
            raise ValueError(f"Invalid RecordIO magic at offset {at}")
        if at + 8 + length > len(data):
            raise ValueError(f"Truncated record at offset {at + 8}")
        yield _record(memoryview(data)[at + 8 : at + 8 + length])
        at += 8 + (length + 3) // 4 * 4


def read_matrix(data: bytes) -> tuple[object, np.ndarray | None]:
    """(features, labels) of a buffer: a float32 array, or a scipy CSR matrix when the tensors are sparse; labels None when absent."""
    rows, labels = [], []
    for record in read(data):
        if "values" in record.features:
            rows.append(record.features["values"])
        if "values" in record.label:
            labels.append(record.label["values"].values)
    if not rows:
        raise ValueError("No records found in RecordIO-Protobuf data")
    found = np.concatenate(labels).astype(np.float32) if labels else None
    if all(row.keys is None for row in rows):
        return np.vstack([row.values.astype(np.float32).reshape(1, -1) for row in rows]), found
    return _sparse(rows), found


def _sparse(rows: list[Tensor]) -> object:
    from scipy.sparse import csr_matrix

    keys = [np.arange(len(r.values)) if r.keys is None else r.keys.astype(np.int64) for r in rows]
    width = max(max((int(r.shape[0]) for r in rows if r.shape), default=0), max((int(k.max()) + 1 for k in keys if len(k)), default=1))
    starts = np.concatenate([[0], np.cumsum([len(k) for k in keys])])
    values = np.concatenate([r.values for r in rows]).astype(np.float32)
    return csr_matrix((values, np.concatenate(keys), starts), shape=(len(rows), width))


def write(labels: list[dict[str, list[float]]]) -> bytes:
    """A RecordIO buffer of records that have only labels, each a float32 tensor: how predictions are answered."""
    frames = []
    for row in labels:
        payload = b"".join(_field(2, _field(1, name.encode()) + _field(2, _field(2, _packed(values)))) for name, values in row.items())
        frames.append(struct.pack("<II", MAGIC, len(payload)) + payload + b"\0" * (-len(payload) % 4))
    return b"".join(frames)


def _packed(values: list[float]) -> bytes:
    return _field(1, np.asarray(values, dtype="<f4").tobytes())


def _field(number: int, payload: bytes) -> bytes:
    size, head = len(payload), bytes([number << 3 | 2])
    while True:
        size, low = size >> 7, size & 127
        head += bytes([low | 128 if size else low])
        if not size:
            return head + payload


def _fields(data: memoryview) -> Iterator[tuple[int, int, object]]:
    """(field number, wire type, value) of a message: ints for varints, memoryviews for the rest."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(data, at)
        else:
            if kind == 2:
                size, at = _varint(data, at)
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
            else:
                raise ValueError(f"Unknown wire type {kind}")
            value, at = data[at : at + size], at + size
            if at > len(data):
                raise ValueError("Truncated message")
        yield tag >> 3, kind, value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("Truncated or oversized number")
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
        shift += 7


def _record(data: memoryview) -> Record:
    record = Record({}, {})
    for number, kind, value in _fields(data):
        if number in (1, 2) and kind == 2:
            entry = {n: v for n, _, v in _fields(value)}
            tensor = _value(entry.get(2, memoryview(b"")))
            if tensor is not None:
                (record.features if number == 1 else record.label)[bytes(entry.get(1, b"")).decode()] = tensor
    return record


def _value(data: memoryview) -> Tensor | None:
    for number, kind, value in _fields(data):
        if number in TENSORS and kind == 2:
            return _tensor(value, TENSORS[number])
    return None


def _tensor(data: memoryview, dtype: np.dtype) -> Tensor:
    values, keys, shape = [], [], []
    for number, kind, value in _fields(data):
        if number == 1 and kind in (1, 2, 5) and dtype.kind == "f":
            values.append(np.frombuffer(value, dtype))
        elif number == 1:
            values.append(np.array(_numbers(kind, value), dtype=np.int64).astype(np.int32))
        elif number == 2:
            keys += _numbers(kind, value)
        elif number == 3:
            shape += _numbers(kind, value)
    found = np.concatenate(values) if values else np.empty(0, dtype)
    return Tensor(found, np.array(keys, dtype=np.uint64) if keys else None, shape)


def _numbers(kind: int, value: object) -> list[int]:
    """A varint, or a packed run of them."""
    if kind == 0:
        return [value]
    found, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        found.append(number)
    return found
