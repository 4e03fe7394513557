"""A plan before it runs: create requests as JSON or YAML, or a CloudFormation template, as lines of a bill.

Jobs are counted for as long as they may run (MaxRuntimeInSeconds) or for the hours one expects, endpoints for a month or so many hours.
A plan is one request, a list of requests, `{"operation": "CreateTrainingJob", "request": {…}, "count": 3, "hours": 0.5}` in place of
a request, `{"CreateTrainingJob": {…}}`, or a template with `Resources`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from modelyard.services.sagemaker.cost import bill
from modelyard.services.sagemaker.cost.bill import Line
from modelyard.services.sagemaker.cost.meters import Meter
from modelyard.services.sagemaker.cost.prices import HOURS_PER_MONTH, Prices
from modelyard.services.sagemaker.cost.reader import JOBS, resources_of

TELLTALE = {
    "HyperParameterTuningJobName": "CreateHyperParameterTuningJob",
    "TrainingJobName": "CreateTrainingJob",
    "ProcessingJobName": "CreateProcessingJob",
    "TransformJobName": "CreateTransformJob",
    "EndpointConfigName": "CreateEndpointConfig",
}
"""The member by which a bare request is known."""
KINDS = {"CreateTrainingJob": "training-job", "CreateProcessingJob": "processing-job", "CreateTransformJob": "transform-job"}
LIMITS = {"training-job": 86_400.0, "processing-job": 86_400.0, "transform-job": 86_400.0}
"""Seconds that a job may run where its request does not say: AWS's default."""
TEMPLATE = {"AWS::SageMaker::EndpointConfig": "CreateEndpointConfig", "AWS::SageMaker::ProcessingJob": "CreateProcessingJob"}
FREE = ("Model", "Endpoint", "ModelPackage", "ModelPackageGroup", "Pipeline", "Project")
_SUB = re.compile(r"\$\{([^}!]+)\}")


class BadPlan(ValueError):
    """The plan is none."""


@dataclass(frozen=True)
class Item:
    operation: str
    request: Mapping[str, Any]
    count: float = 1
    hours: float | None = None


def lines(plan: Any, prices: Prices, *, job_hours: float | None = None, endpoint_hours: float = HOURS_PER_MONTH) -> list[Line]:
    """Raises BadPlan for what cannot be priced at all; a type without a price is a line without one."""
    return [line for item in items(plan) for line in _of(item, prices, job_hours, endpoint_hours)]


def items(plan: Any) -> Iterator[Item]:
    if isinstance(plan, list):
        for part in plan:
            yield from items(part)
    elif not isinstance(plan, dict):
        raise BadPlan(f"A plan is a request, a list of requests or a template, not {type(plan).__name__}.")
    elif "Resources" in plan:
        yield from _template(plan)
    elif "operation" in plan:
        request = plan.get("request")
        if not isinstance(request, dict):
            raise BadPlan(f"{plan['operation']}: 'request' must be an object.")
        yield Item(plan["operation"], request, _number(plan, "count", 1), _number(plan, "hours", None))
    elif len(plan) == 1 and next(iter(plan)).startswith("Create"):
        ((operation, request),) = plan.items()
        for each in request if isinstance(request, list) else [request]:
            yield from items({"operation": operation, "request": each})
    else:
        operation = next((name for member, name in TELLTALE.items() if member in plan), None)
        if operation is None:
            raise BadPlan(f"This is no create request that costs something; members: {', '.join(map(str, list(plan)[:6]))}.")
        yield Item(operation, plan)


def _number(plan: Mapping[str, Any], name: str, default: float | None) -> Any:
    value = plan.get(name, default)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
        raise BadPlan(f"'{name}' must be a number of at least 0, not {value!r}.")
    return value


def _of(item: Item, prices: Prices, job_hours: float | None, endpoint_hours: float) -> list[Line]:
    if item.operation == "CreateEndpointConfig":
        found = _endpoint(item, prices, item.hours if item.hours is not None else endpoint_hours)
    elif item.operation == "CreateHyperParameterTuningJob":
        found = _tuning(item, prices, job_hours)
    elif item.operation in KINDS:
        found = _job(item, prices, item.hours if item.hours is not None else job_hours)
    elif item.operation in ("CreateModel", "CreateEndpoint"):
        found = []
    else:
        raise BadPlan(
            f"{item.operation} is not priced; known: {', '.join([*KINDS, 'CreateHyperParameterTuningJob', 'CreateEndpointConfig'])}."
        )
    return [_times(line, item.count) for line in found]


def _job(item: Item, prices: Prices, hours: float | None) -> list[Line]:
    kind = KINDS[item.operation]
    facts = resources_of(kind, item.request)
    if not facts["instances"]:
        raise BadPlan(f"{item.operation}: {JOBS[kind]} must name an instance type.")
    limit = (item.request.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds", LIMITS[kind])
    seconds = limit if hours is None else hours * bill.HOUR
    name = item.request.get(f"{item.operation.removeprefix('Create')}Name", item.operation)
    meter = Meter("", kind, "", prices.region, str(name), facts, 0.0, float(seconds))
    return bill.of_meter(meter, prices, 0.0, float(seconds), float(seconds))


def _tuning(item: Item, prices: Prices, job_hours: float | None) -> list[Line]:
    """Every training job that it may start; of several definitions the share of each is the same."""
    config = item.request.get("HyperParameterTuningJobConfig") or {}
    jobs = (config.get("ResourceLimits") or {}).get("MaxNumberOfTrainingJobs")
    definitions = item.request.get("TrainingJobDefinitions") or [item.request.get("TrainingJobDefinition") or {}]
    if not jobs:
        raise BadPlan("CreateHyperParameterTuningJob: ResourceLimits must have MaxNumberOfTrainingJobs.")
    found = []
    for definition in definitions:
        one = {**definition, "TrainingJobName": item.request.get("HyperParameterTuningJobName", "tuning")}
        if "ResourceConfig" not in one and one.get("HyperParameterTuningResourceConfig"):
            one["ResourceConfig"] = one["HyperParameterTuningResourceConfig"]
        part = Item("CreateTrainingJob", one, hours=item.hours)
        hours = item.hours if item.hours is not None else job_hours
        found += [_times(line, jobs / len(definitions)) for line in _job(part, prices, hours)]
    return found


def _endpoint(item: Item, prices: Prices, hours: float) -> list[Line]:
    name, seconds, found = str(item.request.get("EndpointConfigName", "endpoint")), hours * bill.HOUR, []
    for variant in [*item.request.get("ProductionVariants", []), *item.request.get("ShadowProductionVariants", [])]:
        if variant.get("ServerlessConfig"):
            memory = variant["ServerlessConfig"].get("MemorySizeInMB")
            price = prices.of("serverless_second", str(memory))
            title = f"Serverless inference {memory} MB (by use; none counted)"
            found.append(Line("endpoint", name, prices.region, title, 0.0, "seconds", price, None if price is None else 0.0, 0.0))
            if always := variant["ServerlessConfig"].get("ProvisionedConcurrency"):
                facts = {"serverless": True, "type": f"ml.serverless.{memory}", "provisioned": always}
                meters = [Meter("", "endpoint", "", prices.region, name, facts, 0.0, seconds)] * always
                found += bill.of_provisioned(meters, prices, 0.0, seconds)
            continue
        if not variant.get("InstanceType"):
            raise BadPlan(f"CreateEndpointConfig {name}: each variant must name an InstanceType or a ServerlessConfig.")
        facts = {"type": variant["InstanceType"], "volume_gb": variant.get("VolumeSizeInGB", 0)}
        meter = Meter("", "endpoint", "", prices.region, name, facts, 0.0, seconds)
        count = variant.get("InitialInstanceCount", 1)
        found += [_times(line, count) for line in bill.of_meter(meter, prices, 0.0, seconds, seconds)]
    return found


def _times(line: Line, count: float) -> Line:
    return replace(line, quantity=line.quantity * count, usd=None if line.usd is None else line.usd * count, saved=line.saved * count)


def not_counted(plan: Any) -> list[str]:
    """Types of a template's resources that cost something beside, or nothing: what no line speaks of."""
    if not isinstance(plan, dict) or "Resources" not in plan:
        return []
    kinds = {(resource or {}).get("Type", "?") for resource in plan["Resources"].values()}
    return sorted(kind for kind in kinds if kind not in TEMPLATE and kind.removeprefix("AWS::SageMaker::") not in FREE)


# --- templates ---------------------------------------------------------------------------------------


def _template(template: Mapping[str, Any]) -> Iterator[Item]:
    """What a CloudFormation template makes, with the parameters' defaults."""
    defaults = {name: (p or {}).get("Default") for name, p in (template.get("Parameters") or {}).items()}
    for name, resource in template["Resources"].items():
        kind = (resource or {}).get("Type", "")
        if kind in TEMPLATE:
            request = _filled((resource.get("Properties") or {}), defaults)
            yield Item(TEMPLATE[kind], {"EndpointConfigName": name, "ProcessingJobName": name, **request})
        elif kind.startswith("AWS::SageMaker::") and kind.rpartition(":")[2] not in FREE:
            raise BadPlan(f"{name}: {kind} is not priced.")


def _filled(value: Any, defaults: Mapping[str, Any]) -> Any:
    """Ref and Fn::Sub of parameters with their defaults; numbers given as text become numbers."""
    if isinstance(value, list):
        return [_filled(each, defaults) for each in value]
    if not isinstance(value, dict):
        return int(value) if isinstance(value, str) and value.isdigit() else value
    if set(value) == {"Ref"} and value["Ref"] in defaults:
        if defaults[value["Ref"]] is None:
            raise BadPlan(f"The parameter {value['Ref']} has no default: give the template one.")
        return _filled(defaults[value["Ref"]], defaults)
    if set(value) == {"Fn::Sub"} and isinstance(value["Fn::Sub"], str):
        return _SUB.sub(lambda found: str(defaults.get(found[1], found[0])), value["Fn::Sub"])
    return {key: _filled(each, defaults) for key, each in value.items()}
