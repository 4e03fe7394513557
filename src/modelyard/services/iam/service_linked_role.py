"""Service-linked roles: made for a service, which alone may change them."""

from __future__ import annotations

from typing import Any

import orjson

from modelyard.kernel.service import Call
from modelyard.kernel.store import Taken
from modelyard.services.iam import api, keys, names
from modelyard.services.iam.managed import PREFIX
from modelyard.services.iam.role import DEFAULT_SESSION_S, describe

# Service → name of its role (IAM User Guide, "AWS services that work with IAM"); others get one in the same style.
_NAMES = {
    "autoscaling.amazonaws.com": "AWSServiceRoleForAutoScaling",
    "ecs.amazonaws.com": "AWSServiceRoleForECS",
    "elasticloadbalancing.amazonaws.com": "AWSServiceRoleForElasticLoadBalancing",
    "events.amazonaws.com": "AWSServiceRoleForCloudWatchEvents",
    "sagemaker.amazonaws.com": "AWSServiceRoleForAmazonSageMakerNotebooks",
    "sagemaker.application-autoscaling.amazonaws.com": "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
    "dynamodb.application-autoscaling.amazonaws.com": "AWSServiceRoleForApplicationAutoScaling_DynamoDBTable",
    "ecs.application-autoscaling.amazonaws.com": "AWSServiceRoleForApplicationAutoScaling_ECSService",
}


# What a service may do with its role, where AWS's managed policy for it is at hand.
_POLICIES = {
    "sagemaker.application-autoscaling.amazonaws.com": "aws-service-role/AWSApplicationAutoscalingSageMakerEndpointPolicy",
}


@api.operation
def create_service_linked_role(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    service = request["AWSServiceName"]
    if not service.endswith(".amazonaws.com"):
        raise api.error.InvalidInputException(f"{service} is not a valid service principal.")
    name = _NAMES.get(service) or "AWSServiceRoleFor" + "".join(p.capitalize() for p in service.removesuffix(".amazonaws.com").split("."))
    if request.get("CustomSuffix"):
        name += f"_{request['CustomSuffix']}"
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Action": ["sts:AssumeRole"], "Effect": "Allow", "Principal": {"Service": [service]}}],
    }
    path = f"/aws-service-role/{service}/"
    spec = {
        "Path": path,
        "RoleName": name,
        "RoleId": keys.unique_id(keys.ROLE),
        "AssumeRolePolicyDocument": orjson.dumps(trust).decode(),
        "Description": request.get("Description", ""),
        "MaxSessionDuration": DEFAULT_SESSION_S,
        "Attached": [f"{PREFIX}/{_POLICIES[service]}"] if service in _POLICIES else [],
        "Inline": {},
    }
    arn = names.arn(call.account, "role", path, name)
    try:
        record = call.store.create(names.ROLE, account=call.account, region=names.GLOBAL, name=name, arn=arn, spec=spec)
    except Taken:
        raise api.error.InvalidInputException(f"Service role name {name} has been taken in this account, please try a different suffix.")
    return {"Role": describe(call, record)}
