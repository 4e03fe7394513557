"""Actions: something done that is no job, such as an approval or a deployment."""

from __future__ import annotations

from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.lineage.entity import ACTION, create, delete, listed, shown, summary, the, update


@api.operation
def create_action(call, request):
    taken = f"Action names must be unique within an AWS account and region. Action with name ({request['ActionName']}) already exists."
    return {"ActionArn": create(call, ACTION, request, request["ActionName"], taken).arn}


@api.operation
def describe_action(call, request):
    record = the(call, ACTION, request["ActionName"])
    return {"ActionArn": record.arn, **shown(call, record)}


@api.operation
def update_action(call, request):
    return {"ActionArn": update(call, ACTION, request["ActionName"], request, ("Description", "Status")).arn}


@api.operation
def list_actions(call, request):
    found, more = listed(call, ACTION, request, "ActionType")
    return {"ActionSummaries": [summary(r, "ActionArn", ("ActionName", "Source", "ActionType", "Status")) for r in found], **more}


@api.operation
def delete_action(call, request):
    return {"ActionArn": delete(call, ACTION, request["ActionName"]).arn}
