"""Where services put the logs that they vend: delivery destinations, their policies, and what would be delivered there.

No service of this platform vends logs, so there is no delivery source that could be made, and no delivery: PutDeliverySource says so with AWS's
error for a resource that is none.
"""

from __future__ import annotations

from typing import Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.lifecycle import static
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved
from modelyard.services.iam.resource_documents import BadDocument, checked
from modelyard.services.logs import api, named
from modelyard.services.logs.named import after_token, with_token

DESTINATION = static("log-delivery-destination")
PAGE, LONGEST_POLICY = 50, 51_200
_TYPES = {"s3": "S3", "logs": "CWL", "firehose": "FH"}


@api.operation
def put_delivery_destination(call, request):
    resource = request.get("deliveryDestinationConfiguration", {}).get("destinationResourceArn", "")
    kind = _TYPES.get(resource.split(":")[2] if resource.count(":") >= 5 else "")
    if kind is None:
        raise _invalid("A delivery destination is an S3 bucket, a log group or a Firehose stream; X-Ray is not built on this platform.")
    if request.get("deliveryDestinationType", kind) != kind:
        raise _invalid(f"The delivery destination type of {resource} is {kind}.")
    there, name = _find(call, request["name"]), request["name"]
    if there and request.get("outputFormat", there.spec.get("outputFormat")) != there.spec.get("outputFormat"):
        raise _invalid("Update to existing Delivery Destination with new Output Format is not allowed.")
    arn = f"arn:aws:logs:{call.region}:{call.account}:delivery-destination:{name}"
    before = there.spec if there else {"outputFormat": request.get("outputFormat"), "policy": None}
    there = named.put(call, there, DESTINATION, name, arn, {**before, "resource": resource, "type": kind}, _conflict)
    if request.get("tags"):
        call.store.set_tags(arn, request["tags"])
    return {"deliveryDestination": _describe(there)}


@api.operation
def get_delivery_destination(call, request):
    return {"deliveryDestination": _describe(_the_destination(call, request["name"]))}


@api.operation
def describe_delivery_destinations(call, request):
    after = after_token(request, _invalid)
    found = [one for one in call.store.list(DESTINATION.kind, call.account, call.region, order_by="name") if one.name > after]
    return with_token("deliveryDestinations", found, request.get("limit", PAGE), _describe)


@api.operation
def delete_delivery_destination(call, request):
    named.delete(call, _the_destination(call, request["name"]), _conflict)
    return {}


@api.operation
def put_delivery_destination_policy(call, request):
    there, text = _the_destination(call, request["deliveryDestinationName"]), request["deliveryDestinationPolicy"]
    try:
        checked(text, "logs")
    except BadDocument as problem:
        raise _invalid(f"Invalid delivery destination policy: {problem}") from None
    if len(text.encode()) > LONGEST_POLICY:
        raise _invalid(f"A delivery destination policy has at most {LONGEST_POLICY} bytes.")
    return {"policy": {"deliveryDestinationPolicy": _kept(call, there, text)}}


@api.operation
def get_delivery_destination_policy(call, request):
    text = _the_destination(call, request["deliveryDestinationName"]).spec.get("policy")
    return {"policy": {"deliveryDestinationPolicy": text} if text else {}}


@api.operation
def delete_delivery_destination_policy(call, request):
    _kept(call, _the_destination(call, request["deliveryDestinationName"]), None)
    return {}


# --- sources and deliveries: there are none -------------------------------------------------------


@api.operation
def put_delivery_source(call, request):
    raise api.error.ResourceNotFoundException("Cannot access provided service.")


@api.operation
def get_delivery_source(call, request):
    raise _missing("Delivery Source")


@api.operation
def delete_delivery_source(call, request):
    raise _missing("Delivery Source")


@api.operation
def describe_delivery_sources(call, request):
    return {"deliverySources": []}


@api.operation
def create_delivery(call, request):
    raise _missing("Delivery Source")


@api.operation
def get_delivery(call, request):
    raise _missing("Delivery")


@api.operation
def delete_delivery(call, request):
    raise _missing("Delivery")


@api.operation
def update_delivery_configuration(call, request):
    raise _missing("Delivery")


@api.operation
def describe_deliveries(call, request):
    return {"deliveries": []}


@api.operation
def describe_configuration_templates(call, request):
    return {"configurationTemplates": []}


# --- helpers -------------------------------------------------------------------------------------


def _find(call: Any, name: str) -> Record | None:
    return call.store.get(DESTINATION.kind, call.account, call.region, name)


def _the_destination(call: Any, name: str) -> Record:
    there = _find(call, name)
    if there is None:
        raise _missing("Delivery Destination")
    return there


def _kept(call: Any, there: Record, text: str | None) -> str | None:
    try:
        call.store.request(there, {**there.spec, "policy": text}, due=False)
    except Moved:
        raise _conflict() from None
    return orjson.dumps(orjson.loads(text)).decode() if text else None


def _missing(what: str) -> ApiError:
    return api.error.ResourceNotFoundException(f"Requested {what} does not exist in this account.")


def _invalid(text: str) -> ApiError:
    return ApiError("ValidationException", text, 400)


def _conflict() -> ApiError:
    return ApiError("ConflictException", "The resource is being changed by another request. Try again.", 400)


def _describe(there: Record) -> dict[str, Any]:
    said = {
        "name": there.name,
        "arn": there.arn,
        "deliveryDestinationType": there.spec["type"],
        "deliveryDestinationConfiguration": {"destinationResourceArn": there.spec["resource"]},
    }
    if there.spec.get("outputFormat"):
        said["outputFormat"] = there.spec["outputFormat"]
    return said
