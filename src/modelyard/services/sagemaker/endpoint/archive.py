"""model.tar.gz → a folder, without letting the archive write anywhere else."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path


class UnsafeArchive(Exception):
    """The archive is no readable tar.gz, or has members that lead out of the folder, links to outside, or devices."""


def extract_model(archive: Path, target: Path) -> None:
    """Raises UnsafeArchive; the folder may then hold a part of the members."""
    try:
        with tarfile.open(archive, "r:*") as tar:
            tar.extractall(target, filter="data")
    except (tarfile.TarError, EOFError, zlib.error, OSError) as problem:
        raise UnsafeArchive(str(problem)) from None
