"""Pipe mode: the objects of an input, one after the other, through named pipes `<folder>_0`, `<folder>_1`, …, one for each time
that the payload reads them all.

A payload cannot tell the end of its data from the death of who feeds it. So what a feed is about to do is written down beside
/opt/ml: where it died in the middle of a pass, the next one raises Broken, and the attempt must be begun again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from modelyard.kernel.errors import ApiError
from modelyard.services.sagemaker.common import client_error
from modelyard.services.sagemaker.jobs.inputs import Item
from modelyard.services.sagemaker.jobs.outputs import open_folder
from modelyard.services.sagemaker.role_session import RoleSession

LOOK_SECONDS, LONGEST_LOOK_SECONDS = 0.02, 0.2
GZIP, PIECE_BYTES = 31, 1 << 20


class Broken(Exception):
    """An earlier feed died in the middle of a pass: the payload took that for the end of its data."""


class Over(Exception):
    """Whoever was to read has ended."""


class Feed:
    """One input of one host: `below` is its folder in `ml` (/opt/ml), `notes` a file beside that says how far it came."""

    def __init__(self, ml: Path, below: str, notes: Path) -> None:
        self._ml, self._below, self._notes = ml, below, notes

    def prepare(self) -> None:
        """Before the payload: the first pipe is there."""
        (self._ml / self._below).parent.mkdir(parents=True, exist_ok=True)
        self._notes.parent.mkdir(parents=True, exist_ok=True)
        self._make(0)

    def run(self, session: RoleSession, items: list[Item], compressed: bool, is_over: Callable[[], bool]) -> int:
        """Feeds pass after pass until nobody reads any more; answers how many passes were begun. Waits for another process that does
        so. Raises ClientError where the objects cannot be had, and Broken."""
        with self._notes.with_suffix(".lock").open("w") as lock, contextlib.suppress(Over):
            fcntl.flock(lock, fcntl.LOCK_EX)
            number, word = self._said()
            if word == "open":
                raise Broken
            while True:
                self._make(number)
                with open(self._open(number, is_over), "wb", buffering=0) as pipe:
                    self._make(number + 1)  # for a payload that has read enough and begins again at once
                    with contextlib.suppress(BrokenPipeError):  # it has read enough
                        for piece in pieces(session, items, compressed):
                            _write(pipe, piece)
                    number += 1
                    self._say(number, "closed")
        return self._said()[0]

    def _make(self, number: int) -> None:
        folder, name = self._place(number)
        try:
            with contextlib.suppress(FileExistsError):
                os.mkfifo(name, 0o600, dir_fd=folder)
        finally:
            os.close(folder)

    def _open(self, number: int, is_over: Callable[[], bool]) -> int:
        """The pipe for writing, once somebody reads it. From then on the pass counts as begun, so that is noted before each try."""
        pause = LOOK_SECONDS
        while True:
            folder, name = self._place(number)
            self._say(number, "open")
            try:
                fd = os.open(name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            except OSError:  # nobody reads yet, or the payload took the pipe away
                fd = -1
            finally:
                os.close(folder)
            if fd >= 0 and stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.set_blocking(fd, True)
                return fd
            self._say(number, "closed")
            if fd >= 0:
                os.close(fd)
            if is_over():
                raise Over
            time.sleep(pause)
            pause = min(pause * 1.1, LONGEST_LOOK_SECONDS)

    def _place(self, number: int) -> tuple[int, str]:
        folder, _, name = self._below.rpartition("/")
        handle = open_folder(self._ml, folder)
        if handle is None:
            raise Over
        return handle, f"{name}_{number}"

    def _said(self) -> tuple[int, str]:
        try:
            number, word = self._notes.read_text().split()
        except FileNotFoundError:
            return 0, "closed"
        return int(number), word

    def _say(self, number: int, word: str) -> None:
        temporary = self._notes.with_suffix(".tmp")
        temporary.write_text(f"{number} {word}")
        os.replace(temporary, self._notes)


def pieces(session: RoleSession, items: list[Item], compressed: bool) -> Iterator[bytes]:
    """The bytes of all objects in order; unpacked where they are compressed with gzip."""
    for item in items:
        try:
            _, _, stream = session.stream(item.bucket, item.key)
            yield from _unpacked(stream, item) if compressed else stream
        except ApiError as problem:
            if problem.code == "ClientError":
                raise
            where = f"s3://{item.bucket}/{item.key}"
            raise client_error(f"Data download failed:{problem.code} ({problem.status}): {problem.message} ({where})") from None


def _unpacked(stream: Iterator[bytes], item: Item) -> Iterator[bytes]:
    """A gzip file may have several members, one after the other."""
    member, begun = zlib.decompressobj(GZIP), False
    try:
        for piece in stream:
            while piece:
                begun = True
                yield member.decompress(piece, PIECE_BYTES)
                if member.eof:
                    piece, member, begun = member.unused_data, zlib.decompressobj(GZIP), False
                else:
                    piece = member.unconsumed_tail
    except zlib.error as problem:
        raise _no_gzip(item, str(problem)) from None
    if begun:
        raise _no_gzip(item, "it ends too early")


def _no_gzip(item: Item, why: str) -> ApiError:
    return client_error(f"Data download failed:s3://{item.bucket}/{item.key} is no whole gzip file: {why}")


def _write(pipe, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[pipe.write(view) :]
