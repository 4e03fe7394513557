"""Seeded crashes: a proxy that dies before or after any call of the things it wraps."""

from __future__ import annotations

import random
from typing import Any

from modelyard.kernel.bus import Bus, Reader
from modelyard.kernel.reconcile import Engine


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


def outlive(platform: Any, name: str, chaos: Chaos, rounds: int = 300) -> None:
    """Lets a service's reconcilers and readers work, dying at calls of the store and coming back, until three looks in a row end well."""
    service, real, quiet = platform.services[name], platform.store, 0
    readers = [Reader(name, lambda event, handle=handle: handle(event, platform), kinds) for name, kinds, handle in service.readers]
    for _ in range(rounds):
        platform.store = chaos.wrap(real)
        try:
            Engine(platform, service.reconcilers).settle()
            Bus(platform.store, readers).drain()
            quiet += 1
        except Crash:
            real.db.grouped(lambda tx: tx.execute("UPDATE records SET lease_until = 0"))
            platform.parts["tasks"] = type(platform.parts["tasks"])()  # what a process was doing ends with it
            quiet = 0
        finally:
            platform.store = real
        if quiet == 3:
            return
    raise AssertionError("the engine never came to rest")
