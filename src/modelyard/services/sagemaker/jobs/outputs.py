"""Files that a payload left, uploaded as the execution role. Nothing here follows a link: whatever a payload bends, only
what lies in its own /opt/ml is ever read, also while it still runs."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from modelyard.kernel.errors import ApiError
from modelyard.kernel.reserve import is_full
from modelyard.kernel.service import FileBody
from modelyard.runtime.archives import pack
from modelyard.services.sagemaker.common import client_error
from modelyard.services.sagemaker.role_session import RoleSession

Mark = tuple[int, int]
"""(time of the last write in ns, size) of a file."""


@contextlib.contextmanager
def uploading() -> Iterator[None]:
    """Failures of an upload as the job's FailureReason tells them."""
    try:
        yield
    except ApiError as problem:
        if problem.code == "ClientError":
            raise
        raise client_error(f"Artifact upload failed:{problem.code} ({problem.status}): {problem.message}") from problem
    except Exception as problem:
        if is_full(problem):
            raise client_error("Artifact upload failed:Insufficient disk space") from problem
        if isinstance(problem, OSError):
            raise client_error(f"Artifact upload failed:{problem.strerror or problem}") from problem
        raise


def upload_packed(session: RoleSession, ml: Path, folder: Path | None, bucket: str, key: str, seen_as: str) -> None:
    """`folder` as one archive. Packed beside /opt/ml, where the payload could not prepare anything; nothing left behind is
    an empty archive."""
    with tempfile.TemporaryDirectory(dir=ml.parent, prefix=".pack-") as scratch:
        path, nothing = Path(scratch) / "packed.tar.gz", Path(scratch) / "nothing"
        nothing.mkdir()
        pack(folder or nothing, path, seen_as)
        session.upload(path, bucket, key)


def upload_folder(
    session: RoleSession,
    ml: Path,
    below: str,
    bucket: str,
    prefix: str,
    known: dict[str, Mark] | None = None,
    settled_ns: int | None = None,
) -> dict[str, Mark]:
    """Every regular file below /opt/ml/<below> as `prefix` + its relative name; answers the marks of what is up there.

    What `known` has with the same mark is not sent again. With `settled_ns` (a time) only files that nobody wrote since are
    sent, and a file that is gone again is no error: for uploads while the payload runs.
    """
    up: dict[str, Mark] = {}
    for name, file in regular_files(ml, below):
        with file:
            seen = os.fstat(file.fileno())
            mark = (seen.st_mtime_ns, seen.st_size)
            if known and known.get(name) == mark:
                up[name] = mark
            elif settled_ns is None or seen.st_mtime_ns <= settled_ns:
                session.put(bucket, prefix + name, FileBody(file, seen.st_size))
                up[name] = mark
    return up


def regular_files(ml: Path, below: str) -> Iterator[tuple[str, BinaryIO]]:
    """(relative name, open file) of each regular file below /opt/ml/<below>; the caller closes it. Links, pipes and devices
    are not there, whoever swaps what for them meanwhile."""
    top = open_folder(ml, below)
    if top is None:
        return
    try:
        for folder, _, names, handle in os.fwalk(".", dir_fd=top):
            for name in sorted(names):
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    file = _open_regular(name, handle)
                    if file is not None:
                        yield os.path.normpath(os.path.join(folder, name)), file
    finally:
        os.close(top)


def read_text(ml: Path, below: str, most: int) -> bytes | None:
    """The first `most` bytes of the regular file /opt/ml/<below>; None where there is no such."""
    folder, _, name = below.rpartition("/")
    top = open_folder(ml, folder)
    if top is None:
        return None
    try:
        file = _open_regular(name, top)
    finally:
        os.close(top)
    if file is None:
        return None
    with file:
        return file.read(most)


def open_folder(ml: Path, below: str) -> int | None:
    """A descriptor of the folder /opt/ml/<below>, never through a link; None where there is no such. The caller closes it."""
    handle = os.open(ml, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in [p for p in below.split("/") if p]:
        try:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=handle)
        except OSError:
            return None
        finally:
            os.close(handle)
        handle = inner
    return handle


def _open_regular(name: str, folder: int) -> Any:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as problem:
        if isinstance(problem, PermissionError):
            raise
        return None
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return open(fd, "rb")
    os.close(fd)
    return None
