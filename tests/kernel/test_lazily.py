"""What no idle process needs is not loaded with it."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import importlib, pkgutil, sys
from modelyard.services import SERVICES, __path__
for service in SERVICES:
    package = importlib.import_module(f"modelyard.services.{service}")
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
import modelyard.wire.server, modelyard.wire.gateway, modelyard.serving.invoker
print([name for name in ("numpy", "regex", "pandas", "polars", "sklearn") if name in sys.modules])
from modelyard.kernel.lazily import numpy, regex
print(numpy.zeros(2).tolist(), regex.fullmatch("a+", "aa", timeout=1) is not None, "zeros" in vars(numpy))
"""


def test_services_load_without_large_libraries_and_get_them_when_used():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines() == ["[]", "[0.0, 0.0] True True"]
