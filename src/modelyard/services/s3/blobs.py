"""Where the bytes of objects are: a small protocol, and its implementation on local files.

A blob is written once under a fresh random id and never changed, so readers need no locks and no name a client
chose ever becomes a path. `FileBlobs` writes to `tmp/<id>`, renames the whole file to `ab/<id>`, fsyncs it and its
folder; the index row is committed after that. A crash in between leaves a file that no row knows: `older_than` finds it.

Why rename before fsync: the row alone says that a blob is there, so a torn file without a row harms nobody, and the
file's fsync then makes content and name durable in one journal commit (the folder's fsync finds nothing left to do).
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Protocol


class BlobWriter(Protocol):
    """One blob being written. Exactly one of `commit` and `abort` ends it."""

    def write(self, data: Any) -> None: ...

    def commit(self) -> str:
        """Makes the bytes durable and answers the blob's id."""

    def abort(self) -> None: ...

    def reread(self) -> BinaryIO:
        """What was written so far, from its start (for a checksum that was named only after the bytes)."""


class Blobs(Protocol):
    """A store of immutable blobs by id. Any S3-compatible bucket can be one."""

    def writer(self) -> BlobWriter: ...

    def open(self, blob: str) -> BinaryIO:
        """The bytes, seekable; a later `delete` does not hurt an open file. Raises FileNotFoundError."""

    def delete(self, blob: str) -> None:
        """Gone afterwards; not being there is no error."""

    def older_than(self, real_time: float) -> Iterator[str]:
        """Blobs last written before a real time; half-written ones of that age are removed here."""


class FileBlobs:
    def __init__(self, root: Path) -> None:
        self.root, self._tmp = root, root / "tmp"
        self._tmp.mkdir(parents=True, exist_ok=True)

    def writer(self) -> FileWriter:
        blob = secrets.token_hex(16)
        return FileWriter(self._tmp / blob, self.path(blob), blob)

    def path(self, blob: str) -> Path:
        return self.root / blob[:2] / blob

    def open(self, blob: str) -> BinaryIO:
        return open(self.path(blob), "rb", buffering=0)

    def delete(self, blob: str) -> None:
        self.path(blob).unlink(missing_ok=True)

    def older_than(self, real_time: float) -> Iterator[str]:
        for left in self._tmp.iterdir():
            if left.stat().st_mtime < real_time:
                left.unlink(missing_ok=True)
        for first in self.root.iterdir():
            if len(first.name) != 2:
                continue
            for file in os.scandir(first):
                if file.stat().st_mtime < real_time:
                    yield file.name


class FileWriter:
    def __init__(self, temporary: Path, final: Path, blob: str) -> None:
        self._temporary, self._final, self._blob = temporary, final, blob
        self._size = self._started = 0
        self._fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, data: Any) -> None:
        view = memoryview(data)
        self._size += len(view)
        while view:
            view = view[os.write(self._fd, view) :]
        if self._size - self._started >= _WRITE_BACK:
            _start_write_back(self._fd, self._started, self._size - self._started)
            self._started = self._size

    def append_file(self, source: BinaryIO, progress: Any = None) -> None:
        """Copies a whole open file in, inside the kernel (shared extents where the file system can)."""
        copy_range(source.fileno(), self._fd, os.fstat(source.fileno()).st_size, progress)

    def reread(self) -> BinaryIO:
        return open(self._temporary, "rb", buffering=0)

    def commit(self) -> str:
        try:
            if not self._final.parent.is_dir():
                self._final.parent.mkdir(exist_ok=True)
                _fsync_folder(self._final.parent.parent)
            os.rename(self._temporary, self._final)
            os.fsync(self._fd)
            _fsync_folder(self._final.parent)
        except BaseException:
            self.abort()
            raise
        os.close(self._fd)
        return self._blob

    def abort(self) -> None:
        os.close(self._fd)
        self._temporary.unlink(missing_ok=True)
        self._final.unlink(missing_ok=True)


_WRITE_BACK = 8 << 20
_SYNC_FILE_RANGE_WRITE = 2


@cache
def _sync_file_range() -> Any:
    function = getattr(ctypes.CDLL(None, use_errno=True), "sync_file_range", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return function


def _start_write_back(fd: int, offset: int, length: int) -> None:
    """Lets the disk write what came so far while the rest comes, so that the fsync at the end finds little to do. A hint:
    where the call is missing or fails, fsync does it all."""
    function = _sync_file_range()
    if function is not None:
        function(fd, offset, length, _SYNC_FILE_RANGE_WRITE)


def _fsync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


_NO_COPY_RANGE = {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM}
_STEP = 1 << 26


def copy_range(source: int, target: int, length: int, progress: Any = None) -> None:
    """`length` bytes from the start of one file to the current end of another. `progress(bytes)` after each piece."""
    offset, in_kernel = 0, True
    while offset < length:
        step = min(_STEP, length - offset)
        done = 0
        if in_kernel:
            try:
                done = os.copy_file_range(source, target, step, offset_src=offset)
            except OSError as problem:
                if problem.errno not in _NO_COPY_RANGE:
                    raise
                in_kernel = False
                continue
        else:
            piece = os.pread(source, min(step, 1 << 20), offset)
            done = len(piece)
            view = memoryview(piece)
            while view:
                view = view[os.write(target, view) :]
        if done == 0:
            raise OSError(errno.EIO, "the source file ended early")
        offset += done
        if progress is not None:
            progress(done)


def join(blobs: Blobs, sources: Iterable[BinaryIO]) -> str:
    """One blob of the bytes of several, in order; each source is closed when it was read."""
    writer = blobs.writer()
    try:
        for source in sources:
            with source:
                if hasattr(writer, "append_file") and _is_file(source):
                    writer.append_file(source)
                else:
                    while piece := source.read(1 << 20):
                        writer.write(piece)
    except BaseException:
        writer.abort()
        raise
    return writer.commit()


def _is_file(source: BinaryIO) -> bool:
    try:
        source.fileno()
    except (OSError, AttributeError):
        return False
    return True
