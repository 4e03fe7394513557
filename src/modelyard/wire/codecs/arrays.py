"""Long lists of numbers and times of an answer that come as arrays of 8-byte floats (numpy's): written at once, not one by one.

An answer of GetMetricData has up to 100,800 data points. An operation may give such an array wherever a list of doubles or timestamps goes;
no number in it is infinite or NaN.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any

import orjson

ARRAY_SIZES = ((24, ""), (1 << 8, "B"), (1 << 16, "H"), (1 << 32, "I"))


def is_array(value: Any) -> bool:
    return hasattr(value, "__array_interface__")


class Raw:
    """CBOR that is written already."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


def cbor(values: Any, times: bool) -> Raw:
    """An array of doubles; `times`: of epoch seconds (tag 1)."""
    import numpy as np

    made = np.empty(len(values), [("tag", "u1"), ("kind", "u1"), ("number", ">f8")] if times else [("kind", "u1"), ("number", ">f8")])
    made["kind"], made["number"] = 0xFB, values
    if times:
        made["tag"] = 0xC1
    return Raw(_cbor_head(len(values)) + made.tobytes())


def _cbor_head(count: int) -> bytes:
    if count < 24:
        return bytes([0x80 | count])
    for extra, (most, kind) in enumerate(ARRAY_SIZES[1:]):
        if count < most:
            return bytes([0x98 + extra]) + struct.pack(">" + kind, count)
    raise ValueError("too many for one array")


def json(values: Any, times: bool) -> Any:
    """What orjson writes; times are to the millisecond, whole ones without a fraction."""
    import numpy as np

    if times:
        values = np.round(values, 3)
        whole = values.astype(np.int64)
        values = whole if np.array_equal(whole, values) else values
    return orjson.Fragment(orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY))


def xml(values: Any, times: bool, tag: str, namespace: str) -> str:
    """One element each."""
    import numpy as np

    opening, closing = f"<{tag}{namespace}>", f"</{tag}>"
    if not len(values):
        return ""
    if times:
        return _iso(np.ascontiguousarray(values).tobytes(), opening, closing)
    written = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY).decode()
    return opening + written[1:-1].replace(",", closing + opening) + closing


@lru_cache(maxsize=32)
def _iso(values: bytes, opening: str, closing: str) -> str:
    """Many series of an answer have the same times."""
    import numpy as np

    milliseconds = np.round(np.frombuffer(values) * 1000).astype("datetime64[ms]")
    whole = bool(np.all(milliseconds == milliseconds.astype("datetime64[s]")))
    texts = np.datetime_as_string(milliseconds, unit="s" if whole else "ms").tolist()
    return opening + f"Z{closing}{opening}".join(texts) + "Z" + closing
