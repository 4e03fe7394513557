"""What holds for every test."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from modelyard.config import Settings

DEEPEST = 3
"""How far under the folder of all tests a data folder stands."""


@pytest.fixture(scope="session", autouse=True)
def no_socket_folder_left(tmp_path_factory):
    """A data folder with a long path has its sockets in a folder under /tmp, which `modelyard reset` deletes; tests do not reset."""
    yield
    base = tmp_path_factory.getbasetemp()
    for folder, inner, _ in os.walk(base):
        path = Path(folder)
        sockets = Settings(data=path).socket_dir
        if not sockets.is_relative_to(path):
            shutil.rmtree(sockets, ignore_errors=True)
        if len(path.relative_to(base).parts) >= DEEPEST:
            inner.clear()
