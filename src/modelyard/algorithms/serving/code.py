"""The user's module beside the model: found, its requirements installed, imported."""

from __future__ import annotations

import importlib
import os
import sys
import types

from ..layout import Layout
from ..script.packages import install, overlay
from ..script.source import fetch


def prepare(layout: Layout) -> None:
    """Once, in the first process of a model server: what the user's requirements.txt asks for. This process may have imported what was
    replaced (another numpy, say), so it starts anew with what is there now. Raises InstallError."""
    folder = _place(layout)
    packages = overlay()
    if os.environ.get("MODELYARD_INSTALLED") != folder:
        fresh = install(folder, packages)
        os.environ["MODELYARD_INSTALLED"] = folder
        if fresh:
            sys.stdout.flush()
            sys.stderr.flush()
            paths = [path for path in (packages["PYTHONPATH"], os.environ.get("PYTHONPATH")) if path]
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {"PYTHONPATH": os.pathsep.join(paths)})


def _place(layout: Layout) -> str:
    """The folder that the user's code is in; fetched into it first where it is elsewhere."""
    place = os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY") or os.path.join(layout.model, "code")
    if place.startswith("s3://") or os.path.isfile(place):
        fetch(place, layout.code)
        return layout.code
    return place


def user_module(layout: Layout) -> types.ModuleType | None:
    """The module of SAGEMAKER_PROGRAM (default `inference.py`); None when there is none and none was named.

    It comes from SAGEMAKER_SUBMIT_DIRECTORY (an `s3://` archive, an archive or a folder; `/opt/ml/model/code` when unset).
    """
    program = os.environ.get("SAGEMAKER_PROGRAM") or None
    folder = _place(layout)
    packages = overlay()
    install(folder, packages)
    sys.path[:0] = [path for path in packages["PYTHONPATH"].split(os.pathsep) if path and path not in sys.path]
    for path in (layout.model, folder):
        sys.path.insert(0, path)
    name = (program or "inference.py").removesuffix(".py").replace("/", ".")
    if program is None and not os.path.exists(os.path.join(folder, "inference.py")):
        return None
    return importlib.import_module(name)
