"""Tables of hyperparameters as data, and AWS's words for a value that is wrong.

Sources: the table of each algorithm in AWS's developer guide; the texts are those of the JSON schema checks that AWS's own
algorithms do (quoted by users: "No value(s) were specified for 'mini_batch_size' which are required hyperparameter(s)").
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from .failures import ClientError

TRUE, FALSE = ("true", "1"), ("false", "0")


@dataclass(frozen=True)
class Field:
    """One hyperparameter. `kind` is integer, number, boolean, choice or list; `words` are the choices, or words that stand beside
    the numbers ("auto"). `above`/`below` are limits that the value may not reach, `low`/`high` ones it may."""

    name: str
    kind: str
    default: object = None
    required: bool = False
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    words: tuple[str, ...] = ()

    def parse(self, text: str) -> object:
        """The value of the user's text. Raises ClientError."""
        text = str(text).strip()
        if self.kind in ("choice", "list"):
            return self._chosen(text)
        if self.kind == "boolean" and text.lower() in TRUE + FALSE:
            return text.lower() in TRUE
        if text in self.words:
            return text
        value = self._number(text)
        if value is None or not self._fits(value):
            raise _invalid(text, self.name, f"expects one of the following: {self._expected()}", f"{text!r} is not valid")
        return value

    def _chosen(self, text: str) -> object:
        given = text.strip("[]").split(",") if self.kind == "list" else [text]
        chosen = [item.strip().strip("\"'") for item in given if item.strip()]
        for item in chosen:
            if item not in self.words:
                accepted = ", ".join(f"'{word}'" for word in self.words)
                raise _invalid(item, self.name, f"accepts one of the following: {accepted}", f"'{item}' is not one of {list(self.words)}")
        return chosen if self.kind == "list" else chosen[0] if chosen else text

    def _number(self, text: str) -> float | int | None:
        try:
            value = json.loads(text) if self.kind == "integer" else float(text)
        except ValueError:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return None
        if self.kind == "integer":
            return int(value) if value == int(value) else None
        return value

    def _fits(self, value: float) -> bool:
        return not (
            self.kind == "boolean"
            or (self.low is not None and value < self.low)
            or (self.high is not None and value > self.high)
            or (self.above is not None and value <= self.above)
            or (self.below is not None and value >= self.below)
        )

    def _expected(self) -> str:
        parts = [f"'{word}'" for word in (("true", "false") if self.kind == "boolean" else self.words)]
        if self.kind != "boolean":
            limits = [
                f"{text} {limit:g}"
                for text, limit in (
                    ("of at least", self.low),
                    ("of at most", self.high),
                    ("greater than", self.above),
                    ("less than", self.below),
                )
                if limit is not None
            ]
            parts.append(f"{'an integer' if self.kind == 'integer' else 'a number'} {' and '.join(limits)}".strip())
        return "; or ".join(parts)


def parse(table: tuple[Field, ...], given: dict[str, str]) -> dict[str, object]:
    """Every hyperparameter of the table with its value or default. Names that begin with `_` are AWS's own settings (kvstore,
    GPUs, what the tuner watches) and are let through. Raises ClientError for the first thing that is wrong."""
    known = {field.name: field for field in table}
    if extra := sorted(name for name in given if name not in known and not name.startswith("_")):
        unexpected = ", ".join(f"'{name}'" for name in extra) + (" was" if len(extra) == 1 else " were") + " unexpected"
        raise ClientError(
            f"Additional hyperparameters are not allowed ({unexpected})",
            "ValidationError",
            f"Additional properties are not allowed ({unexpected})",
        )
    if missing := [f"'{field.name}'" for field in table if field.required and field.name not in given]:
        raise ClientError(
            f"No value(s) were specified for {', '.join(missing)} which are required hyperparameter(s)",
            "ValidationError",
            f"{missing[0]} is a required property",
        )
    return {field.name: field.parse(given[field.name]) if field.name in given else field.default for field in table}


def _invalid(value: str, name: str, expected: str, cause: str) -> ClientError:
    return ClientError(f"The value '{value}' is not valid for the '{name}' hyperparameter which {expected}", "ValidationError", cause)
