"""What endpoints moved and worked: bytes in and out, and model seconds of serverless variants, as the gateways counted them (serving/meter.py)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

NAMESPACE, DAY = "Modelyard/Billing", 86_400.0
METRICS = ("BytesIn", "BytesOut", "BusyMicroseconds")


@dataclass(frozen=True)
class Traffic:
    """Of one variant in one UTC day (`day` is its beginning): requests, bytes, and the seconds that models had requests."""

    endpoint: str
    variant: str
    region: str
    day: float
    requests: float
    bytes_in: float
    bytes_out: float
    busy_s: float


def of(platform: Any, account: str, regions: set[str], start: float, end: float) -> list[Traffic]:
    """By variant and day. Every count lies in the second in which it was handed over."""
    return [row for region in sorted(regions) for row in _of(platform.metrics, account, region, start, end)]


def _of(store: Any, account: str, region: str, start: float, end: float) -> Iterator[Traffic]:
    for _, _, _, dimensions in store.series(account, region, namespace=NAMESPACE, name="BytesIn", since=start):
        names = {d["Name"]: d["Value"] for d in dimensions}
        sums: dict[float, dict[str, float]] = {}
        for metric in METRICS:
            for bucket in store.buckets(account, region, NAMESPACE, metric, dimensions, start, end, DAY, exact=False):
                found = sums.setdefault(bucket.start, {})
                found[metric], found["requests"] = bucket.total, bucket.samples
        for day, found in sorted(sums.items()):
            yield Traffic(
                names["EndpointName"],
                names["VariantName"],
                region,
                day,
                found["requests"],
                found.get("BytesIn", 0.0),
                found.get("BytesOut", 0.0),
                found.get("BusyMicroseconds", 0.0) / 1e6,
            )
