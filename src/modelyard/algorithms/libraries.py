"""Which libraries this image really has, where the interpreter made it differ from the recipe's usual ones."""

from __future__ import annotations

import sys
from importlib import metadata

TOLD = {
    "xgboost": ("xgboost", "xgboost-cpu", "pandas", "numpy"),
    "scikit-learn": ("scikit-learn", "pandas", "numpy"),
    "pytorch": ("torch", "pandas", "numpy"),
    "huggingface": ("transformers", "torch", "numpy"),
    "tensorflow": ("tensorflow-cpu", "tf-keras", "numpy"),
    "script": ("pandas", "numpy"),
}


def substitution(framework: str) -> str | None:
    """A line for the job log, or None: the recipes' versions are those of Python 3.11; a later Python gets the nearest that have wheels."""
    if sys.version_info[:2] <= (3, 11):
        return None
    found = []
    for name in TOLD[framework]:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return f"This image runs on Python {sys.version_info[0]}.{sys.version_info[1]} with the nearest libraries it has: {', '.join(found)}."
