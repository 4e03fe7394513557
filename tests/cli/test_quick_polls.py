"""`--quick-polls`: the pauses of the SDK and of waiters are short, all other sleeps are what they were."""

from __future__ import annotations

import os
import subprocess
import sys

from modelyard.cli import environment

PROGRAM = """
import sys, time, types
def module(name):
    made = types.ModuleType(name)
    exec("import time\\ndef nap(s):\\n    began = time.monotonic(); time.sleep(s); return time.monotonic() - began", made.__dict__)
    return made
print(module("sagemaker.session").nap(20) < 15, module("botocore.waiter").nap(20) < 15, module("sagemakerish").nap(0.6) >= 0.6)
print(getattr(sys, "hidden_one_ran", False))
"""


def test_only_pollers_are_hurried_and_a_hidden_sitecustomize_still_runs(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.hidden_one_ran = True\n")
    env = {**os.environ, **environment.quick_polls({"PYTHONPATH": str(tmp_path)})}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "True", "True", "True"], done.stderr
