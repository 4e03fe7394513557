"""Libraries that are loaded when they are first used: `from modelyard.kernel.lazily import numpy as np`.

numpy takes 80 ms and 10 MiB of each process, of which most never compute.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy
    import regex

__all__ = ["numpy", "regex"]


class _Lazily:
    """Stands for a module; what was asked for once is an attribute of its own, so later uses cost nothing more."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        value = getattr(importlib.import_module(self._module), name)
        setattr(self, name, value)
        return value


if not TYPE_CHECKING:
    numpy, regex = _Lazily("numpy"), _Lazily("regex")
