"""Stand-ins for what the standard library has, where importing that costs a run's start more than it is worth.

`contextlib` and `signal` bring in `enum`, `functools` and `collections`: 10 to 15 ms of a shim's start. `signal` here is the
built-in module under it, whose numbers are plain ints.
"""

import _signal as signal

__all__ = ["signal", "suppress"]


class suppress:
    """`contextlib.suppress`."""

    def __init__(self, *errors: type) -> None:
        self._errors = errors

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, trace) -> bool:
        return kind is not None and issubclass(kind, self._errors)
