"""A server that starts when somebody waits for it loads what it answers with and no more."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOADED = "import sys; from modelyard.algorithms.builtin import serve; serve.handler(sys.argv[1]); print(*sys.modules)"


@pytest.mark.parametrize("name", ["kmeans", "pca", "linear-learner", "factorization-machines", "randomcutforest"])
def test_servers_start_without_scikit_learn(name):
    loaded = subprocess.run([sys.executable, "-c", LOADED, name], capture_output=True, text=True, check=True).stdout.split()
    assert "numpy" in loaded and not {"sklearn", "scipy"} & set(loaded)
