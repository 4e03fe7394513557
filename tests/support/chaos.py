"""Seeded crashes: a proxy that dies before or after any call of the things it wraps."""

from __future__ import annotations

import random
from typing import Any


class Crash(BaseException):
    """The process is gone: nothing after this line ran."""


class Chaos:
    """`rate` of the calls die, half of them before they had their effect, half after."""

    def __init__(self, seed: int, rate: float) -> None:
        self.random = random.Random(seed)
        self.rate = rate
        self.crashes = 0

    def wrap(self, target: Any) -> Any:
        return _Wrapped(target, self)

    def point(self) -> None:
        if self.random.random() < self.rate / 2:
            self.crashes += 1
            raise Crash


class _Wrapped:
    def __init__(self, target: Any, chaos: Chaos) -> None:
        self._target, self._chaos = target, chaos

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value):
            return value

        def call(*arguments: Any, **named: Any) -> Any:
            self._chaos.point()
            answer = value(*arguments, **named)
            self._chaos.point()
            return answer

        return call
