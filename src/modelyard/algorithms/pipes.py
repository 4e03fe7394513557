"""Pipe input mode, inside the container: named pipes `/opt/ml/input/data/<channel>_<epoch>`, fed from the channel's objects.

`python -m modelyard_algorithms.pipes COMMAND …` makes the first pipe of each channel, leaves a feeder behind for each, and becomes
the command. `MODELYARD_PIPES` names the plan (JSON), a list of
`{"name", "folder", "entries": [[{"file": name} | {"text": text}, …], …], "wrap": bool, "gzip": bool, "seed": int | null, "host", "hosts"}`:
an entry is what goes in together (an object, or a line of an augmented manifest); `hosts` above 1 deals entries out.
Source of names, order and wrapping: docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import struct
import sys
from collections.abc import Callable, Iterator

MAGIC, CHUNK, LONGEST_RECORD = 0xCED7230A, 1 << 20, (1 << 29) - 1


def main(arguments: list[str]) -> int:
    with open(os.environ.pop("MODELYARD_PIPES")) as file:
        plan = json.load(file)
    data = os.path.join(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"), "input/data")
    for channel in plan:
        make(pipe_path(data, channel, 0))
    for channel in plan:
        _leave_behind(channel, data, os.getpid())
    os.execvp(arguments[0], arguments)


def _leave_behind(channel: dict, data: str, command: int) -> None:
    """A feeder that is not the command's child: it must not be found by its wait(). What it cannot read ends the command."""

    def fail(error: BaseException) -> None:
        os.write(2, f"[modelyard] channel {channel['name']}: {error}\n".encode())
        os.kill(command, signal.SIGKILL)

    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    if os.fork():
        os._exit(0)
    try:
        feed(channel, data, fail=fail)
    finally:
        os._exit(0)


def pipe_path(data: str, channel: dict, epoch: int) -> str:
    return os.path.join(data, f"{channel['name']}_{epoch}")


def make(path: str) -> None:
    if not os.path.exists(path):
        os.mkfifo(path)


def feed(channel: dict, data: str, epochs: int | None = None, fail: Callable[[BaseException], None] = lambda error: None) -> None:
    """Epoch after epoch: whoever opens the pipe for reading gets the whole channel, then the end of the file. `fail` is told what
    cannot be read while the pipe is still open: its end would look like the end of the channel."""
    epoch = 0
    while epochs is None or epoch < epochs:
        path = pipe_path(data, channel, epoch)
        make(path)
        pipe = os.open(path, os.O_WRONLY)  # waits for a reader
        make(pipe_path(data, channel, epoch + 1))
        try:
            for piece in stream(channel, epoch):
                _write(pipe, piece)
        except BrokenPipeError:
            pass  # the reader has had enough of this epoch
        except Exception as error:
            fail(error)
            raise
        finally:
            os.close(pipe)
        os.unlink(path)
        epoch += 1


def _write(pipe: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(pipe, view) :]


def stream(channel: dict, epoch: int) -> Iterator[bytes]:
    """The bytes of an epoch. A shuffled channel has another order in each, and sharded with it other entries."""
    entries = list(channel["entries"])
    if channel.get("seed") is not None:
        random.Random(f"{channel['seed']}-{epoch}").shuffle(entries)
    for entry in entries[channel["host"] - 1 :: channel["hosts"]]:
        for part in entry:
            yield from _part(channel, part)


def _part(channel: dict, part: dict) -> Iterator[bytes]:
    if "text" in part:
        data = part["text"].encode()
        yield from record(data) if channel["wrap"] else (data,)
        return
    path = os.path.join(channel["folder"], part["file"])
    if channel["wrap"]:
        with gzip.open(path) if channel["gzip"] else open(path, "rb") as file:
            yield from record(file.read())
        return
    with gzip.open(path) if channel["gzip"] else open(path, "rb") as file:
        while piece := file.read(CHUNK):
            yield piece


def record(data: bytes) -> Iterator[bytes]:
    """One RecordIO record."""
    if len(data) > LONGEST_RECORD:
        raise ValueError(f"an object of {len(data)} bytes is too long for a RecordIO record")
    yield struct.pack("<II", MAGIC, len(data))
    yield data
    if len(data) % 4:
        yield bytes(4 - len(data) % 4)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
