"""What the front door lets in: sizes in bytes, times in real seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of one HTTP server. Whatever goes over gets a clean 4xx (or is closed) and nothing else."""

    target_bytes: int = 16 << 10
    """Request target (path and query); presigned URLs with session tokens have a few KiB."""
    head_bytes: int = 64 << 10
    """Request line and headers, and likewise trailers and chunk extensions."""
    head_count: int = 256
    gathered_bytes: int = 32 << 20
    """Body of an operation that does not stream (the largest AWS allows is ECR's 20 MiB layer part in base64)."""
    buffered_bytes: int = 256 << 10
    """A streamed body may be ahead of its reader by so much before the socket is not read any more."""
    connections: int = 4096
    pipelined: int = 256
    idle_s: float = 75.0
    """A connection with nothing under way."""
    head_s: float = 15.0
    """From the first byte of a request to the end of its headers; also a TLS handshake."""
    body_idle_s: float = 20.0
    """Without a byte of the body, while someone wants it (S3's own RequestTimeout)."""
    body_rate: int = 512
    """Bytes per second that a body must keep up on average once `body_grace_s` has passed."""
    body_grace_s: float = 30.0
    write_idle_s: float = 60.0
    """A client that does not take its answer."""
    linger_s: float = 2.0
    """How long the unread rest of a refused body is read and dropped, so that the client can read the answer."""
