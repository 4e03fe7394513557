"""What a multi-model endpoint needs beside its container: the place where the artifacts lie. Implemented above this layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class CannotBring(Exception):
    """The artifact is not there, may not be read or is no archive; the text is for the caller."""


class NoRoom(Exception):
    """The instance's storage is full of models that are loaded."""


class Shelf(Protocol):
    """The artifacts on one instance for one container (services/sagemaker/endpoint/shelf.py)."""

    def lock(self, name: str) -> Callable[[], None] | None:
        """What ends the work on this model; None while another gateway works on it."""

    def bring(self, name: str, target: str, loaded: set[str]) -> float | None:
        """Puts the artifact there, unpacked. Seconds of the download, None where it was there. Makes room by dropping artifacts that
        are not `loaded`. On a thread. Raises CannotBring or NoRoom."""

    def drop(self, name: str) -> None: ...

    def url(self, name: str) -> str:
        """Where the container sees it."""
