"""The log of a run: `<epoch milliseconds> <text>\\n` per output line, written as it comes."""

from __future__ import annotations

import os
import time

LONGEST_LINE, TAIL_BYTES, STAMP_BYTES = 256 * 1024, 4096, 15
MOST_BYTES = 2 << 30
"""A run that writes for ever must not fill the disk: what it says after so much is dropped, and the log says so."""


class LogFile:
    """Turns a stream of bytes into stamped lines. A full disk costs lines, never the run: they are counted
    and told as soon as there is room again. After `most` bytes only the platform's own lines are written."""

    def __init__(self, path: str, most: int = MOST_BYTES) -> None:
        self._left = most
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._partial = b""
        self._lost = 0
        self._tail = b""

    @property
    def lost(self) -> bool:
        """Whether lines are missing at the end, for want of room."""
        return self._lost > 0

    def feed(self, chunk: bytes) -> None:
        lines = (self._partial + chunk).split(b"\n")
        self._partial = lines.pop()
        while len(self._partial) >= LONGEST_LINE:
            lines.append(self._partial[:LONGEST_LINE])
            self._partial = self._partial[LONGEST_LINE:]
        if lines:
            self._write_of_run(lines)

    def say(self, text: str) -> None:
        """A line of the platform itself."""
        self._write(text.encode("utf-8", "replace").split(b"\n"))

    def close(self) -> None:
        """The last line may lack its end."""
        if self._partial:
            self._write_of_run([self._partial])
            self._partial = b""
        if self._tail:  # the last words are often the reason
            tail, self._tail = self._tail, b""
            self._lost = max(0, self._lost - len(tail))
            self._write([], tail)
        os.close(self._fd)

    def _write_of_run(self, lines: list[bytes]) -> None:
        if self._left <= 0:
            return
        self._left -= sum(map(len, lines)) + STAMP_BYTES * len(lines)
        self._write(lines)
        if self._left <= 0:
            self.say("[modelyard] the log has reached its largest size: what the run says from here on is not kept")

    def _write(self, lines: list[bytes], ready: bytes = b"") -> None:
        stamp = b"%d " % int(time.time() * 1000)
        out = ready or b"".join(stamp + piece + b"\n" for line in lines for piece in _pieces(line))
        if self._lost:
            out = stamp + b"[modelyard] %d bytes of output were lost: no space left on the disk\n" % self._lost + out
        view = memoryview(out)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
            self._lost, self._tail = 0, b""
        except OSError:
            self._lost += len(view)
            self._tail = _last_lines(self._tail + bytes(view))


def _last_lines(text: bytes) -> bytes:
    """The whole lines among the last `TAIL_BYTES`."""
    return text if len(text) <= TAIL_BYTES else text[-TAIL_BYTES:].partition(b"\n")[2]


def _pieces(line: bytes) -> list[bytes]:
    try:
        line.decode()
    except UnicodeDecodeError:
        line = line.decode("utf-8", "replace").encode()
    if len(line) <= LONGEST_LINE:
        return [line]
    return [line[at : at + LONGEST_LINE].decode("utf-8", "replace").encode() for at in range(0, len(line), LONGEST_LINE)]
