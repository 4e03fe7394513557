"""Make the lock files of environments anew: `python -m modelyard.runtime.images.lock [--python 3.NN] [ENV…]` (all by
default, for the Python that runs it).

Locks carry hashes and neither URLs nor host names, so any index that has the same files serves them. Existing pins
stay where they still fit (uv reads the old lock as preferences); delete a lock to get the newest of everything.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

import uv

from modelyard.runtime import index_config
from modelyard.runtime.images import recipes

FROM_SOURCE = {"spark-3.5"}
"""Environments with a package that comes without a wheel (PySpark: jars in an archive, nothing to compile)."""


def lock(env: str, minor: str) -> None:
    """Resolve `<env>.in` for Python `minor` ("3.12") into `<env>.py3NN.lock`. Raises CalledProcessError with uv's words shown."""
    argv = [uv.find_uv_bin(), "pip", "compile", "--no-config", "--quiet", "--generate-hashes", "--no-header", "--no-emit-index-url"]
    argv += ["--no-emit-find-links", "--python-version", minor]
    argv += [] if env in FROM_SOURCE else ["--only-binary", ":all:"]
    argv += ["-o", f"{env}.py{minor.replace('.', '')}.lock", f"{env}.in"]
    subprocess.run(argv, check=True, cwd=recipes.FOLDER, env=index_config.uv_env() | os.environ)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m modelyard.runtime.images.lock")
    parser.add_argument("--python", default=f"{sys.version_info.major}.{sys.version_info.minor}")
    parser.add_argument("env", nargs="*")
    given = parser.parse_args(argv)
    for env in given.env or recipes.environments():
        print(f"locking {env}", flush=True)
        lock(env, given.python)


if __name__ == "__main__":
    main(sys.argv[1:])
