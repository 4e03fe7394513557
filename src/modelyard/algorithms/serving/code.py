"""The user's module beside the model: found, its requirements installed, imported."""

from __future__ import annotations

import importlib
import os
import sys
import types

from ..layout import Layout
from ..script.packages import install, overlay
from ..script.source import fetch


def user_module(layout: Layout) -> types.ModuleType | None:
    """The module of SAGEMAKER_PROGRAM (default `inference.py`); None when there is none and none was named.

    It comes from SAGEMAKER_SUBMIT_DIRECTORY (an `s3://` archive, an archive or a folder; `/opt/ml/model/code` when unset).
    """
    program = os.environ.get("SAGEMAKER_PROGRAM") or None
    place = os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY") or os.path.join(layout.model, "code")
    folder = place
    if place.startswith("s3://") or os.path.isfile(place):
        folder = layout.code
        fetch(place, folder)
    packages = overlay()
    install(folder, packages)
    sys.path[:0] = [path for path in packages["PYTHONPATH"].split(os.pathsep) if path and path not in sys.path]
    for path in (layout.model, folder):
        sys.path.insert(0, path)
    name = (program or "inference.py").removesuffix(".py").replace("/", ".")
    if program is None and not os.path.exists(os.path.join(folder, "inference.py")):
        return None
    return importlib.import_module(name)
