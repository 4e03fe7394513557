"""How CloudWatch writes numbers and times into texts."""

from __future__ import annotations

from datetime import UTC, datetime


def number(value: float) -> str:
    """As Java writes a double: `5.0`, `0.0666851903306472`, `2.0E7`."""
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(float(value))
    mantissa, _, exponent = f"{float(value):e}".partition("e")
    digits = repr(float(value))
    shortest = digits.partition("e")[0] if "e" in digits else None
    if shortest is None:
        plain = digits.replace(".", "").replace("-", "").strip("0") or "0"
        sign = "-" if value < 0 else ""
        mantissa = f"{sign}{plain[0]}.{plain[1:] or '0'}"
    else:
        mantissa = shortest if "." in shortest else f"{shortest}.0"
    return f"{mantissa}E{int(exponent)}"


def stamp(at: float) -> str:
    """`2018-08-15T21:20:02.381+0000`."""
    time = datetime.fromtimestamp(round(at, 3), UTC)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}+0000"


def short(at: float) -> str:
    """`15/08/18 21:15:00`, as in reasons."""
    return f"{datetime.fromtimestamp(at, UTC):%d/%m/%y %H:%M:%S}"


def spoken(at: float) -> str:
    """`Friday 22 July, 2022 15:57:45 UTC`, as composite alarms say it."""
    return f"{datetime.fromtimestamp(at, UTC):%A %d %B, %Y %H:%M:%S} UTC"


def count(amount: int, word: str) -> str:
    return f"{amount} {word}" if amount == 1 else f"{amount} {word}s"


def were(amount: int) -> str:
    return "was" if amount == 1 else "were"
