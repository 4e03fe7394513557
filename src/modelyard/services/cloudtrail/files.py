"""The files of the trail: each process appends lines of its own, in batches; readers go through all of them, newest first.

A line is one JSON object that begins with `{"t":<platform time>,`, strictly later than the line before it. A line is written
whole with one write; of a process that was killed the last one may be torn: it has no end, and readers pass over it.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

FILE_BYTES = 16 << 20
FOLDER_BYTES = 1 << 30
"""Of all files together; beyond it the oldest go first."""
KEPT_S = 90 * 86400.0
_BLOCK = 1 << 17


class Writer:
    def __init__(self, folder: Path, file_bytes: int = FILE_BYTES, folder_bytes: int = FOLDER_BYTES) -> None:
        self.folder, self._file_bytes, self._folder_bytes = folder, file_bytes, folder_bytes
        self._file: int | None = None
        self._path = folder / "-"
        self._number = 0
        self._name = f"{os.getpid()}-{os.urandom(4).hex()}"

    def append(self, lines: list[bytes], now: float) -> None:
        """`now` is platform time. A file that was taken away from us is begun anew."""
        if self._file is not None:
            now_is = os.fstat(self._file)
            if now_is.st_nlink == 0 or now_is.st_size >= self._file_bytes:
                self.close()
        if self._file is None:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._number += 1
            self._path = self.folder / f"{int((_time(lines[0]) or now) * 1000):015d}-{self._name}-{self._number}.jsonl"
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self.sweep(now)
        data = b"".join(lines)
        written = os.write(self._file, data)
        while written < len(data):
            written += os.write(self._file, data[written:])

    def sweep(self, now: float) -> None:
        """Removes files whose newest line is older than is kept, and the oldest of too many bytes."""
        total = 0
        for path in sorted(self.folder.glob("*.jsonl"), reverse=True):
            if path == self._path:
                continue
            try:
                total += path.stat().st_size
                if total > self._folder_bytes or _newest(path) < now - KEPT_S:
                    path.unlink()
            except FileNotFoundError:
                continue

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _newest(path: Path) -> float:
    return next((at for at, _ in _backwards(path)), 0.0)


def lines(folder: Path, start: float | None = None, end: float | None = None) -> Iterator[tuple[float, bytes]]:
    """(time, line) of all files in [start, end], newest first."""
    paths = [path for path in folder.glob("*.jsonl") if end is None or _began(path) <= end + 1]
    for at, line in heapq.merge(*(_backwards(path) for path in paths), key=lambda item: -item[0]):
        if start is not None and at < start:
            return
        if end is None or at <= end:
            yield at, line


def _began(path: Path) -> float:
    try:
        return int(path.name.partition("-")[0]) / 1000
    except ValueError:
        return 0.0


def _backwards(path: Path) -> Iterator[tuple[float, bytes]]:
    """The whole lines of a file, the last first."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        at, rest, torn = file.seek(0, os.SEEK_END), b"", True
        while at > 0:
            size = min(_BLOCK, at)
            at -= size
            file.seek(at)
            pieces = (file.read(size) + rest).split(b"\n")
            rest = pieces.pop(0)
            if pieces and torn:
                pieces.pop()  # what follows the last line's end: nothing, or a torn line
                torn = False
            for line in reversed(pieces):
                if (time := _time(line)) is not None:
                    yield time, line
        if rest and not torn and (time := _time(rest)) is not None:
            yield time, rest


def _time(line: bytes) -> float | None:
    if not line.startswith(b'{"t":'):
        return None
    try:
        return float(line[5 : line.index(b",", 5)])
    except ValueError:
        return None


def parse(line: bytes) -> dict[str, Any] | None:
    """The object of a line; None where the disk says something else."""
    try:
        return orjson.loads(line)
    except ValueError:
        return None
