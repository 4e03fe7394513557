"""The entry points of managed images.

`train <framework>` and `serve <framework>` are what a recipe names; `run <command …>` is any other program (a
processing script), started in the image's environment with a place for `pip install`.
"""

from __future__ import annotations

import importlib
import os
import sys

from .builtin import NAMES

TRAINS = ("xgboost", "scikit-learn", "pytorch", "huggingface", "tensorflow", "script")
SERVES = {
    "xgboost": ".xgb.serve",
    "scikit-learn": ".sklearn.serve",
    "pytorch": ".pytorch.serve",
    "huggingface": ".huggingface.serve",
    "tensorflow": ".tensorflow.serve",
    "mlflow": ".mlflow_server.serve",
}
USAGE = f"usage: python -m modelyard_algorithms train {'|'.join(TRAINS)}|<built-in algorithm>, serve {'|'.join(SERVES)}|<built-in algorithm>, run <command …>, spark-submit …"


def built_in(verb: str, algorithm: str) -> int:
    from .cpus import cpus, share_cores

    if verb == "serve":
        share_cores()
        from .builtin.serve import main as run
    else:
        os.environ.setdefault("OMP_NUM_THREADS", str(cpus()))
        from .builtin.train import main as run
    return run(algorithm)


def main(arguments: list[str]) -> int:
    """Run what the image's recipe names. Imports stay local: a training script must start fast."""
    if arguments[:1] == ["run"] and len(arguments) > 1:
        from .script.packages import overlay

        packages = {name: value for name, value in overlay().items() if value}
        os.execvpe(arguments[1], arguments[1:], os.environ | packages | {"PYTHONUNBUFFERED": "1"})
    if arguments[:1] == ["spark-submit"]:
        from .spark.submit import main as submit

        return submit(arguments[1:])
    if len(arguments) != 2:
        print(USAGE, file=sys.stderr)
        return 2
    verb, framework = arguments
    if verb in ("train", "serve") and framework in NAMES:
        return built_in(verb, framework)
    if verb == "serve" and framework in SERVES:
        from .cpus import share_cores

        share_cores()
        return importlib.import_module(SERVES[framework], __package__).main()
    if verb != "train" or framework not in TRAINS:
        print(USAGE, file=sys.stderr)
        return 2
    from .libraries import TOLD, substitution

    if framework in TOLD and (line := substitution(framework)):
        print(line, flush=True)
    if framework == "xgboost":
        from .xgb.train import main as train

        return train()
    from .script.train import main as script

    return script(framework)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
