"""botocore's service models, stripped of their prose and loaded when first asked for."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from botocore import xform_name

_ALIASES = {"monitoring": "cloudwatch", "states": "stepfunctions"}


@dataclass(frozen=True)
class ErrorShape:
    name: str
    code: str
    status: int


OWN = Path(__file__).with_name("own_models")
"""Models of services that are ours, in botocore's format: a folder that botocore's loader can search too."""


def _folder(service: str) -> Path:
    import botocore

    own = OWN / service
    return own if own.is_dir() else Path(botocore.__file__).parent / "data" / service


def _strip(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _strip(v) for k, v in value.items() if not (k in ("documentation", "documentationUrl") and isinstance(v, str))}
    if isinstance(value, list):
        return [_strip(item) for item in value]
    return value


@cache
def service_model(service: str) -> dict[str, Any]:
    """The raw service-2 model (metadata, operations, shapes) of botocore's service name."""
    latest = max(p for p in _folder(service).iterdir() if p.is_dir())
    packed, plain = latest / "service-2.json.gz", latest / "service-2.json"
    raw = gzip.decompress(packed.read_bytes()) if packed.exists() else plain.read_bytes()
    return _strip(orjson.loads(raw))


@cache
def _names(service: str) -> dict[str, str]:
    return {xform_name(name): name for name in service_model(service)["operations"]}


def operation_name(service: str, function: str) -> str | None:
    """`create_model` → `CreateModel`; None where the service has no such operation."""
    return _names(service).get(function)


@cache
def error(service: str, shape: str) -> ErrorShape | None:
    """An error shape by its name: the code that goes over the wire, and the HTTP status."""
    found = service_model(service)["shapes"].get(shape)
    if found is None or found.get("type") != "structure":
        return None
    said = found.get("error", {})
    return ErrorShape(shape, said.get("code", shape), said.get("httpStatusCode", 500 if found.get("fault") else 400))
