"""What a definition's values refer to: `{"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}` and the functions around it (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

FUNCTIONS = ("Get", "Std:Join", "Std:JsonGet")
_PIECE = re.compile(r"""\.?([^.\[\]]+)|\[(\d+)\]|\[\s*(?:'([^']*)'|"([^"]*)")\s*\]""")
EXECUTION_VARIABLES = (
    "StartDateTime", "CurrentDateTime", "PipelineName", "PipelineArn", "PipelineExecutionId", "PipelineExecutionArn",
    "TrainingJobName", "ProcessingJobName", "TransformJobName", "HyperParameterTuningJobName", "ModelName",
)  # fmt: skip


class BadReference(ValueError):
    """A reference or path that cannot be read; the text says why."""


@dataclass(frozen=True)
class Reference:
    """`kind` is Parameters, Execution or Steps; `name` what stands after it; `path` the rest, for steps."""

    kind: str
    name: str
    path: tuple[str | int, ...] = ()


def is_function(value: Any) -> bool:
    """Whether this is a reference or function, and no plain value."""
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in FUNCTIONS


def parse(text: Any) -> Reference:
    if not isinstance(text, str):
        raise BadReference(f"a reference is a string, and not {type(text).__name__}")
    kind, _, rest = text.partition(".")
    if kind in ("Parameters", "Execution") and rest:
        return Reference(kind, rest)
    if kind == "Steps" and rest:
        name = re.match(r"[A-Za-z0-9\-_]+", rest)
        if name:
            return Reference(kind, name.group(), path_of(rest[name.end() :]))
    raise BadReference(f"the reference '{text}' begins with none of Parameters., Execution. and Steps.")


def path_of(text: str) -> tuple[str | int, ...]:
    """`metrics.mse[0]['a b']` → ("metrics", "mse", 0, "a b"); a `$` in front means nothing."""
    pieces: list[str | int] = []
    at = 1 if text.startswith("$") else 0
    while at < len(text):
        found = _PIECE.match(text, at)
        if found is None:
            raise BadReference(f"the path '{text}' cannot be read at '{text[at:]}'")
        plain, index, single, double = found.groups()
        pieces.append(int(index) if index is not None else next(p for p in (plain, single, double) if p is not None))
        at = found.end()
    return tuple(pieces)


def check_functions(value: Any) -> None:
    """Whether all functions in a value have what they need. Raises BadReference."""
    if isinstance(value, list):
        for item in value:
            check_functions(item)
    if not isinstance(value, dict):
        return
    for item in value.values():
        check_functions(item)
    if not is_function(value):
        return
    ((name, inside),) = value.items()
    if name == "Std:Join" and not (isinstance(inside, dict) and isinstance(inside.get("Values"), list)):
        raise BadReference("Std:Join needs On and a list of Values")
    if name == "Std:JsonGet":
        if not isinstance(inside, dict) or "Path" not in inside or ("PropertyFile" in inside) == ("S3Uri" in inside):
            raise BadReference("Std:JsonGet needs a Path, and a PropertyFile or an S3Uri")
        if "PropertyFile" in inside:
            file = inside["PropertyFile"]
            found = parse(file.get("Get") if isinstance(file, dict) else file)
            if found.kind != "Steps" or found.path[:1] != ("PropertyFiles",) or len(found.path) != 2:
                raise BadReference("the PropertyFile of Std:JsonGet is Steps.<step>.PropertyFiles.<file>")
        if isinstance(inside["Path"], str):
            path_of(inside["Path"])


def references(value: Any) -> Iterator[Any]:
    """The texts of all `Get`s in a value."""
    if isinstance(value, dict):
        if is_function(value) and "Get" in value:
            yield value["Get"]
            return
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)
