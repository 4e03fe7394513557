"""Which permissions a process was asked for since it told last: one increment per check, taken over by the audit trail."""

from __future__ import annotations

from collections.abc import Callable

from modelyard.kernel.identity import Principal

Use = tuple[str, str, str, bool, str]
"""(role or other principal, action, resource, allowed, the one condition that a policy should name, as `key=value`, or "")"""
MOST = 50_000


class Uses:
    """Counts may lose one where two threads meet; that something was done at all is not lost."""

    def __init__(self) -> None:
        self._counts: dict[Use, int] = {}
        self._before: dict[Use, int] = {}
        self.bell: Callable[[], None] = lambda: None
        """Rung at the first use after `take`."""
        self.first: Callable[[Use], bool] = lambda use: False
        """Told of a use that is the first since `take`: whether it has counted it itself."""

    def note(self, principal: Principal, action: str, resource: str, allowed: bool, given: str = "") -> None:
        counts, use = self._counts, (principal.role_arn or principal.arn, action, resource, allowed, given)
        had = counts.get(use)
        if had is not None:
            counts[use] = had + 1
        elif len(counts) < MOST:
            counts[use] = 0 if self.first(use) else 1
            if len(counts) == 1:
                self.bell()

    def take(self) -> dict[Use, int]:
        """What was counted up to the last call of this: who was about to count then, has done so meanwhile."""
        done, self._before, self._counts = self._before, self._counts, {}
        return done

    @property
    def waiting(self) -> bool:
        return bool(self._before or self._counts)
