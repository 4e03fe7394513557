"""Prices: the table of the package, with the user's own `prices.json` over it. Nothing is guessed: what has no price stays without."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

TABLE = Path(__file__).with_name("prices.json")
OWN = "prices.json"
"""In the data folder: the same members as the table, as plain numbers or [number, source]."""
SECTIONS = ("instance_hour", "storage_gb_month", "data_gb", "serverless_second", "provisioned_second")
HOURS_PER_MONTH = 730.0
"""AWS prices a GB-month by the hours of a month; its calculator counts 730."""
OWN_SOURCE = "your prices.json"


class BadPrices(ValueError):
    """The user's file is none."""


@dataclass(frozen=True)
class Prices:
    """`sections` is section → key → (USD, source)."""

    region: str
    dated: str
    sources: Mapping[str, str]
    sections: Mapping[str, Mapping[str, tuple[float, str]]]

    def of(self, section: str, key: str) -> float | None:
        found = self.sections[section].get(key)
        return None if found is None else found[0]

    def source(self, section: str, key: str) -> str | None:
        found = self.sections[section].get(key)
        return None if found is None else self.sources.get(found[1], found[1])

    def told(self) -> dict[str, Any]:
        return {"Region": self.region, "Dated": self.dated, "Sources": list(self.sources.values())}


def load(own: Path | None = None) -> Prices:
    """The table, and `own` over it where the file is there. Raises BadPrices."""
    if own is None or not own.exists():
        return _table()
    return _with_own(own, own.stat().st_mtime_ns)


@functools.cache
def _table() -> Prices:
    raw = orjson.loads(TABLE.read_bytes())
    sections = {name: {key: (float(usd), source) for key, (usd, source) in raw[name].items()} for name in SECTIONS}
    return Prices(raw["region"], raw["dated"], raw["sources"], sections)


@functools.lru_cache(4)
def _with_own(path: Path, changed_ns: int) -> Prices:
    table = _table()
    try:
        raw = orjson.loads(path.read_bytes())
        sections = {name: {**table.sections[name], **_numbers(raw.get(name, {}))} for name in SECTIONS}
    except (ValueError, TypeError, AttributeError) as problem:
        raise BadPrices(f"{path} is no price table: {problem}") from None
    sources = {**table.sources, OWN_SOURCE: f"{OWN_SOURCE} ({raw.get('dated', 'not dated')})"}
    return Prices(raw.get("region", table.region), table.dated, sources, sections)


def _numbers(rows: Mapping[str, Any]) -> dict[str, tuple[float, str]]:
    found = {}
    for key, value in rows.items():
        usd = float(value[0] if isinstance(value, list) else value)
        if not 0 <= usd < 1e6:
            raise ValueError(f"{key}: {value}")
        found[key] = (usd, OWN_SOURCE)
    return found
