"""Make the lock files of environments anew: `python -m modelyard.runtime.images.lock [ENV…]` (all by default).

Locks carry hashes and neither URLs nor host names, so any index that has the same files serves them. Existing pins
stay where they still fit (uv reads the old lock as preferences); delete a lock to get the newest of everything.
"""

from __future__ import annotations

import os
import subprocess
import sys

import uv

from modelyard.runtime import index_config
from modelyard.runtime.images import recipes

FROM_SOURCE = {"spark-3.5"}
"""Environments with a package that comes without a wheel (PySpark: jars in an archive, nothing to compile)."""


def lock(env: str) -> None:
    """Resolve `<env>.in` for this Python into `<env>.py3NN.lock`. Raises CalledProcessError with uv's words shown."""
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    argv = [uv.find_uv_bin(), "pip", "compile", "--no-config", "--quiet", "--generate-hashes", "--no-header", "--no-emit-index-url"]
    argv += ["--no-emit-find-links", "--python-version", minor]
    argv += [] if env in FROM_SOURCE else ["--only-binary", ":all:"]
    argv += ["-o", f"{env}.py{minor.replace('.', '')}.lock", f"{env}.in"]
    subprocess.run(argv, check=True, cwd=recipes.FOLDER, env=index_config.uv_env() | os.environ)


def main(names: list[str]) -> None:
    for env in names or recipes.environments():
        print(f"locking {env}", flush=True)
        lock(env)


if __name__ == "__main__":
    main(sys.argv[1:])
