"""Checked hyperparameters: kinds, ranges, and the order and texts of AWS's algorithm toolkit."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import AlgorithmError, UserError


@dataclass(frozen=True)
class Interval:
    """A range of numbers; `low`/`high` None is infinite, `open_low`/`open_high` exclude the end."""

    low: float | None = None
    high: float | None = None
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        if self.low is not None and (value < self.low or (self.open_low and value == self.low)):
            return False
        return not (self.high is not None and (value > self.high or (self.open_high and value == self.high)))

    def __str__(self) -> str:
        low = "(-inf" if self.low is None else f"{'(' if self.open_low else '['}{self.low}"
        high = "+inf)" if self.high is None else f"{self.high}{')' if self.open_high else ']'}"
        return f"{low}, {high}"


class Checked:
    """A range given by a function; shown as the list of accepted values."""

    def __init__(self, values: list, accepts: Callable[[str], bool]):
        self.values, self.accepts = values, accepts

    def __contains__(self, value: str) -> bool:
        return self.accepts(value)

    def __str__(self) -> str:
        return str(self.values)


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text) if isinstance(text, str) else text
    except SyntaxError as error:
        raise ValueError(str(error)) from None


PARSERS: dict[str, Callable] = {
    "integer": int,
    "continuous": float,
    "category": str,
    "list": lambda text: text.split(","),
    "tuple": _literal,
    "nested": _literal,
}


@dataclass(frozen=True)
class Parameter:
    """One hyperparameter. `needs` names the parameters that `check(value, them)` looks at; it raises UserError."""

    name: str
    kind: str
    range: object
    required: bool = False
    needs: tuple[str, ...] = ()
    check: Callable[[object, dict], None] | None = None

    def check_range(self, value: object) -> None:
        if self.kind == "list" or self.kind == "tuple":
            bad = any(v not in self.range for v in value)
        elif self.kind == "nested":
            bad = any(v not in self.range for inner in value for v in inner)
        elif value not in self.range:
            raise UserError(f"Hyperparameter {self.name}: {value} is not in {self.range}")
        else:
            return
        if bad:
            raise UserError(f"Hyperparameter {self.name}: value {value} not in range {self.range}")


def validate(parameters: dict[str, Parameter], aliases: dict[str, str], given: dict[str, str]) -> dict:
    """Parse and check what the user gave; answers the typed values. Raises UserError with the toolkit's texts."""
    given = {aliases.get(name, name): value for name, value in given.items()}
    for name, parameter in parameters.items():
        if parameter.required and name not in given:
            raise UserError(f"Missing required hyperparameter: {name}")
    values = {}
    for name, text in given.items():
        if name not in parameters:
            raise UserError(f"Extraneous hyperparameter found: {name}")
        try:
            values[name] = PARSERS[parameters[name].kind](text)
        except (ValueError, TypeError) as error:
            raise UserError(f"Hyperparameter {name}: could not parse value", caused_by=error) from error
    for name, value in values.items():
        try:
            parameters[name].check_range(value)
        except UserError:
            raise
        except Exception as error:
            raise AlgorithmError(f"Hyperparameter {name}: unexpected failure when validating {value}", caused_by=error) from error
    for name, value in values.items():
        parameter = parameters[name]
        if parameter.check:
            parameter.check(value, {n: values[n] for n in parameter.needs if n in values})
    return values
