"""How a host of a job reaches the first one, which may start later."""

from __future__ import annotations

import socket
import time


def connect(first: str, port: int, within_s: float) -> socket.socket:
    """A connection without a deadline. Raises OSError where none came about in time."""
    end = time.monotonic() + within_s
    while True:
        try:
            line = socket.create_connection((first, port), 10)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            line.settimeout(None)
            return line
