"""The built-in algorithm on several instances: the others hand the files of their sharded channels to the first, which trains on all.

The model is the one that a single instance would make of the whole data: the files lie together under the names they have in S3.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import tarfile
import tempfile
import time
from collections.abc import Iterator

from ..errors import PlatformError
from ..layout import Layout
from ..meeting import connect

PORT = 8890
MEET_SECONDS, DONE = 600.0, b"done"


def sharded(channels: dict[str, dict]) -> list[str]:
    """The channels of which every host has a part."""
    return sorted(name for name, channel in channels.items() if channel.get("S3DistributionType") == "ShardedByS3Key")


@contextlib.contextmanager
def lead(layout: Layout, names: list[str], others: int, address: str = "0.0.0.0", port: int = PORT) -> Iterator[None]:
    """On the first host: within it the channels `names` have the files of all hosts; the others end with it."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="channels-"))
        server = stack.enter_context(socket.create_server((address, port), backlog=others))
        server.settimeout(MEET_SECONDS)
        lines = []
        for _ in range(others):
            line = stack.enter_context(server.accept()[0])
            line.settimeout(MEET_SECONDS)
            with line.makefile("rb") as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
                _unpack(archive, folder)
            lines.append(line)
        logging.info(f"{others} other hosts have handed over their files of {', '.join(names) or 'no channel'}")
        layout.data = _together(layout, names, folder)
        yield
        for line in lines:
            with contextlib.suppress(OSError):
                line.sendall(DONE)


def _unpack(archive: tarfile.TarFile, folder: str) -> None:
    """Folders and plain files below `folder`, nothing else. (The filters of `extractall` came with Python 3.11.4; Debian 12 has 3.11.2.)"""
    root = os.path.realpath(folder)
    for member in archive:
        path = os.path.realpath(os.path.join(root, member.name))
        if os.path.commonpath([root, path]) != root or not (member.isfile() or member.isdir()):
            raise tarfile.ExtractError(f"{member.name} is no plain file of a channel")
        os.makedirs(path if member.isdir() else os.path.dirname(path), exist_ok=True)
        if member.isfile():
            with archive.extractfile(member) as source, open(path, "wb") as target:
                shutil.copyfileobj(source, target)


def _together(layout: Layout, names: list[str], folder: str) -> str:
    """The folder of all channels: this host's own files as links beside what the others sent."""
    own = layout.data
    for name in os.listdir(own):
        source, target = os.path.join(own, name), os.path.join(folder, name)
        if name not in names:
            os.symlink(source, target)
            continue
        for root, _, files in os.walk(source):
            there = os.path.join(target, os.path.relpath(root, source))
            os.makedirs(there, exist_ok=True)
            for file in files:
                os.symlink(os.path.join(root, file), os.path.join(there, file))
    return folder


def follow(layout: Layout, names: list[str], first: str, port: int = PORT) -> None:
    """On any other host: hands its files over, and waits until the model is made."""
    with _connect(first, port) as line:
        with line.makefile("wb") as stream, tarfile.open(fileobj=stream, mode="w|", dereference=True) as archive:
            for name in names:
                archive.add(layout.channel(name), name)
        line.shutdown(socket.SHUT_WR)
        logging.info(f"The files of {', '.join(names) or 'no channel'} are handed over to {first}, which trains on those of all hosts")
        try:
            said = line.recv(len(DONE))
        except OSError:
            said = b""
        if said != DONE:
            time.sleep(10)  # what ended the first host decides how the job ends
            raise PlatformError(f"{first} ended before the model was made")


def _connect(first: str, port: int) -> socket.socket:
    try:
        return connect(first, port, MEET_SECONDS)
    except OSError:
        raise PlatformError(f"{first} does not answer") from None
