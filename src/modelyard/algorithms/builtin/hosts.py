"""Training on several instances: every other host hands its part of the sharded channels to the first, which trains on all of it.

The model is the one that a single instance would make of the whole data. A replicated channel is the same everywhere: the first host's counts.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections.abc import Iterator

import numpy as np

from ..meeting import connect
from .algorithm import Job
from .data import Table
from .failures import ClientError

PORT = 8889
MEET_SECONDS, LINGER_SECONDS, CHUNK = 600.0, 10.0, 1 << 20
_SIZE = struct.Struct(">Q")


class Lost(RuntimeError):
    """A host is gone: what the job ends with is decided where it was lost."""


def sharded(job: Job) -> list[str]:
    """The channels of which every host has a part."""
    return [name for name, channel in job.channels.items() if channel.get("S3DistributionType") == "ShardedByS3Key"]


# --- the first host --------------------------------------------------------------------------------


@contextlib.contextmanager
def lead(job: Job, others: int, address: str = "0.0.0.0", port: int = PORT) -> Iterator[None]:
    """Within it the job's channels have the rows of all hosts, in the order of the hosts; the others wait for its end. Raises ClientError for what
    another host cannot read."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server((address, port), backlog=others))
        server.settimeout(MEET_SECONDS)
        lines = []
        try:
            told = []
            for _ in range(others):
                line = stack.enter_context(server.accept()[0])
                line.settimeout(MEET_SECONDS)
                lines.append(line)
                told.append(_told(line))
            for host in sorted(told, key=lambda host: host["number"]):
                if "error" in host:
                    raise ClientError(host["error"])
                for name, table in host["tables"].items():
                    job.shares.setdefault(name, []).append(table)
            job.log.info(f"{others} other hosts have handed over their records")
            yield
        except ClientError as error:
            for line in lines:
                with contextlib.suppress(OSError):
                    _put(line, {"error": str(error)})
            raise
        for line in lines:
            with contextlib.suppress(OSError):
                _put(line, {"done": True})


def _told(line: socket.socket) -> dict:
    said = _get(line)
    return {**said, "tables": {name: _table(line, parts) for name, parts in said.get("tables", {}).items()}}


def _table(line: socket.socket, parts: dict) -> Table:
    arrays = {name: _array(line, **about) for name, about in parts["arrays"].items()}
    if "features" in arrays:
        return Table(arrays["features"], arrays.get("labels"))
    from scipy.sparse import csr_matrix

    features = csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=tuple(parts["shape"]))
    return Table(features, arrays.get("labels"))


def _array(line: socket.socket, dtype: str, shape: list[int]) -> np.ndarray:
    found = np.empty(shape, dtype)
    view = memoryview(found).cast("B") if found.size else memoryview(b"")
    at = 0
    while at < len(view):
        size = line.recv_into(view[at:], min(CHUNK, len(view) - at))
        if not size:
            raise Lost("A host ended while it handed over its records.")
        at += size
    return found


# --- the other hosts -------------------------------------------------------------------------------


def follow(job: Job, first: str, number: int, port: int = PORT) -> None:
    """Hands over what this host has, and waits until the model is made. Raises the first host's ClientError."""
    with _connect(first, port) as line:
        try:
            tables = {name: job.part(name) for name in sharded(job)}
        except ClientError as error:
            _put(line, {"number": number, "error": str(error)})
            raise
        parts = {name: _parts(table) for name, table in tables.items()}
        about = {
            name: {
                "shape": list(tables[name].features.shape),
                "arrays": {key: {"dtype": array.dtype.str, "shape": list(array.shape)} for key, array in arrays.items()},
            }
            for name, arrays in parts.items()
        }
        _put(line, {"number": number, "tables": about})
        for arrays in parts.values():
            for array in arrays.values():
                if array.size:
                    line.sendall(memoryview(array).cast("B"))
        job.log.info(f"{sum(map(len, tables.values()))} records handed over to {first}, which trains on those of all hosts")
        try:
            said = _get(line)
        except (OSError, Lost):
            time.sleep(LINGER_SECONDS)  # what ended the first host decides how the job ends
            raise Lost(f"{first} ended before the model was made.") from None
    if "error" in said:
        raise ClientError(said["error"])


def _connect(first: str, port: int) -> socket.socket:
    try:
        return connect(first, port, MEET_SECONDS)
    except OSError:
        raise Lost(f"{first} does not answer.") from None


def _parts(table: Table) -> dict[str, np.ndarray]:
    features = table.features
    if isinstance(features, np.ndarray):
        found = {"features": features}
    else:
        found = {"data": features.data, "indices": features.indices, "indptr": features.indptr}
    return {
        name: np.ascontiguousarray(array) for name, array in (found | ({} if table.labels is None else {"labels": table.labels})).items()
    }


# --- both ------------------------------------------------------------------------------------------


def _put(line: socket.socket, said: dict) -> None:
    body = json.dumps(said).encode()
    line.sendall(_SIZE.pack(len(body)) + body)


def _get(line: socket.socket) -> dict:
    (size,) = _SIZE.unpack(_read(line, _SIZE.size))
    return json.loads(_read(line, size))


def _read(line: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        if not (more := line.recv(size - len(found))):
            raise Lost("A host ended.")
        found += more
    return found
