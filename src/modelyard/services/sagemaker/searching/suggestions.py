"""GetSearchSuggestions: the property names of a resource that begin with a hint; of metrics, parameters and tags those that are there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from modelyard.kernel import models
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.experiments.run_metrics import STATISTICS
from modelyard.services.sagemaker.searching.resources import RESOURCES, Resource

MOST, LOOKED_AT, DEEPEST = 100, 200, 4
DYNAMIC = ("Parameters", "HyperParameters", "InputArtifacts", "OutputArtifacts", "CustomerMetadataProperties")
"""Maps whose keys are what users named."""


@api.operation
def get_search_suggestions(call, request):
    hint = request.get("SuggestionQuery", {}).get("PropertyNameQuery", {}).get("PropertyNameHint", "").lower()
    resource = RESOURCES.get(request["Resource"])
    found = sorted({name for name in _names(call, resource) if hint in name.lower()}, key=str.lower) if resource else []
    found.sort(key=lambda name: not name.lower().startswith(hint))
    return {"PropertyNameSuggestions": [{"PropertyName": name} for name in found[:MOST]]}


def _names(call: Any, resource: Resource) -> Iterator[str]:
    yield from _of_shape(resource.shape, "", DEEPEST)
    for record in call.store.list(resource.kind, call.account, call.region, order_by="updated_at", descending=True, limit=LOOKED_AT):
        document = resource.describe(call, record)
        for member in DYNAMIC:
            for key, value in (document.get(member) or {}).items():
                yield from (f"{member}.{key}.{part}" for part in value) if isinstance(value, dict) else (f"{member}.{key}",)
        for final in document.get("FinalMetricDataList", ()):
            yield f"Metrics.{final['MetricName']}"
        yield from (f"Tags.{key}" for key in call.store.tags(record.arn))
    if "Metrics" in resource.extras:
        yield from (f"Metrics.{name}.{statistic}" for name in call.platform.run_metrics.names() for statistic in STATISTICS)


def _of_shape(shape: str, front: str, deep: int) -> Iterator[str]:
    """Dotted names of a shape's members, through structures and lists of structures."""
    shapes = models.service_model("sagemaker")["shapes"]
    for member, said in shapes[shape].get("members", {}).items():
        kind, name = shapes[said["shape"]], said["shape"]
        while kind["type"] == "list":
            name = kind["member"]["shape"]
            kind = shapes[name]
        if kind["type"] == "structure" and deep > 1:
            yield from _of_shape(name, f"{front}{member}.", deep - 1)
        elif kind["type"] != "map":
            yield f"{front}{member}"
