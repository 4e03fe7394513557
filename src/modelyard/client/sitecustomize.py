"""Shortens the pauses between looks of the SageMaker SDKs and of boto3's waiters, in Python programs that ask for it.

`modelyard run --quick-polls` and `modelyard env --quick-polls` put this folder on PYTHONPATH; Python imports it at its start.
The SDK sleeps 5 to 30 s before it looks at all, as befits work that takes minutes; here a describe waits on the server until
there is news. Nothing else is touched: what user code sleeps, it sleeps.
"""

import importlib.machinery
import importlib.util
import os
import sys
import time

LONGEST_SECONDS = 0.2
POLLERS = ("sagemaker", "botocore.waiter")

_sleep = time.sleep


def _quick_sleep(seconds, /):
    caller = sys._getframe(1).f_globals.get("__name__") or ""
    if any(caller == name or caller.startswith(name + ".") for name in POLLERS):
        seconds = min(seconds, LONGEST_SECONDS)
    _sleep(seconds)


def _next_one():
    """The sitecustomize that this one hides, if there is one, runs as well."""
    here = os.path.dirname(os.path.abspath(__file__))
    rest = [path for path in sys.path if os.path.abspath(path or ".") != here]
    found = importlib.machinery.PathFinder.find_spec("sitecustomize", rest)
    if found is not None and found.loader is not None:
        found.loader.exec_module(importlib.util.module_from_spec(found))


time.sleep = _quick_sleep
_next_one()
