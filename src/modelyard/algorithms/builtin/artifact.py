"""`model_algo-1` in the formats that notebooks open: MXNet's list of arrays (`mx.ndarray.load`), alone or in a zip beside JSON.

The layout of the file is MXNet's `NDArray::Save` (public, stable since 1.0): all numbers little-endian; a list is
0x112, 0, the arrays, the names.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile

import numpy as np

LIST_MAGIC, ARRAY_MAGIC = 0x112, 0xF993FAC9
DENSE, CPU = 0, 1
TYPES = {0: np.dtype("<f4"), 1: np.dtype("<f8"), 4: np.dtype("<i4"), 6: np.dtype("<i8")}
CODES = {dtype: code for code, dtype in TYPES.items()}


def dump(arrays: list[np.ndarray] | dict[str, np.ndarray]) -> bytes:
    """The bytes of `mx.nd.save`: a list, or a dictionary with names."""
    names = list(arrays) if isinstance(arrays, dict) else []
    values = list(arrays.values()) if isinstance(arrays, dict) else arrays
    parts = [struct.pack("<QQQ", LIST_MAGIC, 0, len(values))]
    for value in values:
        value = np.ascontiguousarray(value, dtype=value.dtype if value.dtype in CODES else np.float32)
        shape = value.shape or (1,)
        parts.append(struct.pack(f"<IiI{len(shape)}qiii", ARRAY_MAGIC, DENSE, len(shape), *shape, CPU, 0, CODES[value.dtype]))
        parts.append(value.tobytes())
    parts.append(struct.pack("<Q", len(names)))
    for name in names:
        parts.append(struct.pack("<Q", len(name.encode())) + name.encode())
    return b"".join(parts)


def parse(body: bytes) -> list[np.ndarray] | dict[str, np.ndarray]:
    """What `dump` wrote. Raises ValueError for anything else."""
    try:
        return _parse(memoryview(body))
    except (struct.error, KeyError, UnicodeDecodeError) as error:
        raise ValueError(f"no list of MXNet arrays: {error}") from error


def _parse(body: memoryview) -> list[np.ndarray] | dict[str, np.ndarray]:
    magic, _, count = struct.unpack_from("<QQQ", body)
    if magic != LIST_MAGIC:
        raise ValueError("no list of MXNet arrays")
    at, arrays = 24, []
    for _ in range(count):
        magic, stored, dimensions = struct.unpack_from("<IiI", body, at)
        if magic != ARRAY_MAGIC or stored != DENSE or dimensions > 8:
            raise ValueError("no dense MXNet array")
        at += 12
        shape = struct.unpack_from(f"<{dimensions}q", body, at)
        at += 8 * dimensions + 8
        dtype = TYPES[struct.unpack_from("<i", body, at)[0]]
        size = int(np.prod(shape)) * dtype.itemsize
        arrays.append(np.frombuffer(body[at + 4 : at + 4 + size], dtype).reshape(shape))
        at += 4 + size
    (count,), at = struct.unpack_from("<Q", body, at), at + 8
    names = []
    for _ in range(count):
        (size,) = struct.unpack_from("<Q", body, at)
        names.append(bytes(body[at + 8 : at + 8 + size]).decode())
        at += 8 + size
    return dict(zip(names, arrays, strict=True)) if names else arrays


def save(path: str, arrays: list[np.ndarray] | dict[str, np.ndarray]) -> None:
    with open(path, "wb") as file:
        file.write(dump(arrays))


def read(path: str) -> list[np.ndarray] | dict[str, np.ndarray]:
    with open(path, "rb") as file:
        return parse(file.read())


def save_zip(path: str, members: dict[str, object]) -> None:
    """A zip of members: a dict under a name that ends with .json as JSON, any other dict as named MXNet arrays, bytes as they are."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, value in members.items():
            if isinstance(value, dict):
                value = json.dumps(value).encode() if name.endswith(".json") else dump(value)
            packed.writestr(name, value)


def read_zip(path: str) -> dict[str, object]:
    """What `save_zip` wrote: parsed JSON for .json, arrays for .params and `params`, bytes for the rest."""
    found: dict[str, object] = {}
    with zipfile.ZipFile(path) as packed:
        for name in packed.namelist():
            body = packed.read(name)
            found[name] = json.loads(body) if name.endswith(".json") else parse(body) if name.endswith("params") else body
    return found


def npz(**arrays: np.ndarray) -> bytes:
    """Arrays as the bytes of a .npz file, never pickled."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def from_npz(body: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(body), allow_pickle=False) as found:
        return {name: found[name] for name in found.files}
