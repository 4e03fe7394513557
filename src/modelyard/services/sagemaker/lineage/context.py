"""Contexts: what groups other entities, such as an endpoint or a model package group."""

from __future__ import annotations

from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.lineage.entity import CONTEXT, create, delete, listed, shown, summary, the, update


@api.operation
def create_context(call, request):
    taken = f"Context names must be unique within an AWS account and region. Context with name ({request['ContextName']}) already exists."
    return {"ContextArn": create(call, CONTEXT, request, request["ContextName"], taken).arn}


@api.operation
def describe_context(call, request):
    record = the(call, CONTEXT, request["ContextName"])
    return {"ContextArn": record.arn, **shown(call, record)}


@api.operation
def update_context(call, request):
    return {"ContextArn": update(call, CONTEXT, request["ContextName"], request, ("Description",)).arn}


@api.operation
def list_contexts(call, request):
    found, more = listed(call, CONTEXT, request, "ContextType")
    return {"ContextSummaries": [summary(r, "ContextArn", ("ContextName", "Source", "ContextType")) for r in found], **more}


@api.operation
def delete_context(call, request):
    return {"ContextArn": delete(call, CONTEXT, request["ContextName"]).arn}
