"""The entry points of managed images: `python -m modelyard_algorithms train|serve <framework>`."""

from __future__ import annotations

import sys

USAGE = "usage: python -m modelyard_algorithms train|serve xgboost|scikit-learn|script"


def main(arguments: list[str]) -> int:
    """Run what the image's recipe names. Imports stay local: a training script must start fast."""
    if len(arguments) != 2:
        print(USAGE, file=sys.stderr)
        return 2
    verb, framework = arguments
    if (verb, framework) == ("train", "xgboost"):
        from .xgb.train import main as run
    elif verb == "train" and framework in ("scikit-learn", "script"):
        from .script.train import main as run
    elif verb == "serve" and framework == "xgboost":
        from .xgb.serve import main as run
    elif verb == "serve" and framework == "scikit-learn":
        from .sklearn.serve import main as run
    else:
        print(USAGE, file=sys.stderr)
        return 2
    return run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
