"""Service-linked roles: made for a service, which alone may change them. Deleting one is a task, which fails while the service uses the role."""

from __future__ import annotations

import uuid
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.kernel.store import Taken
from modelyard.services.iam import api, keys, names, service_principals
from modelyard.services.iam.managed import PREFIX
from modelyard.services.iam.role import DEFAULT_SESSION_S, describe, find_role

# Service → name of its role (IAM User Guide, "AWS services that work with IAM"); others get one in the same style.
_NAMES = {
    "autoscaling.amazonaws.com": "AWSServiceRoleForAutoScaling",
    "custom-resource.application-autoscaling.amazonaws.com": "AWSServiceRoleForApplicationAutoScaling_CustomResource",
    "elasticbeanstalk.amazonaws.com": "AWSServiceRoleForElasticBeanstalk",
    "lex.amazonaws.com": "AWSServiceRoleForLexBots",
    "rds.amazonaws.com": "AWSServiceRoleForRDS",
    "ssm.amazonaws.com": "AWSServiceRoleForAmazonSSM",
    "eks.amazonaws.com": "AWSServiceRoleForAmazonEKS",
    "batch.amazonaws.com": "AWSServiceRoleForBatch",
    "lambda.application-autoscaling.amazonaws.com": "AWSServiceRoleForApplicationAutoScaling_LambdaConcurrency",
    "ecs.amazonaws.com": "AWSServiceRoleForECS",
    "elasticloadbalancing.amazonaws.com": "AWSServiceRoleForElasticLoadBalancing",
    "events.amazonaws.com": "AWSServiceRoleForCloudWatchEvents",
    "sagemaker.amazonaws.com": "AWSServiceRoleForAmazonSageMakerNotebooks",
    "sagemaker.application-autoscaling.amazonaws.com": "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
    "dynamodb.application-autoscaling.amazonaws.com": "AWSServiceRoleForApplicationAutoScaling_DynamoDBTable",
    "ecs.application-autoscaling.amazonaws.com": "AWSServiceRoleForApplicationAutoScaling_ECSService",
}


# What a service may do with its role: AWS's managed policy for it (below aws-service-role/), where it is known.
_POLICIES = {
    "autoscaling.amazonaws.com": "AutoScalingServiceRolePolicy",
    "batch.amazonaws.com": "BatchServiceRolePolicy",
    "custom-resource.application-autoscaling.amazonaws.com": "AWSApplicationAutoScalingCustomResourcePolicy",
    "dynamodb.application-autoscaling.amazonaws.com": "AWSApplicationAutoscalingDynamoDBTablePolicy",
    "ecs.amazonaws.com": "AmazonECSServiceRolePolicy",
    "ecs.application-autoscaling.amazonaws.com": "AWSApplicationAutoscalingECSServicePolicy",
    "eks.amazonaws.com": "AmazonEKSServiceRolePolicy",
    "elasticbeanstalk.amazonaws.com": "AWSElasticBeanstalkServiceRolePolicy",
    "elasticloadbalancing.amazonaws.com": "AWSElasticLoadBalancingServiceRolePolicy",
    "events.amazonaws.com": "CloudWatchEventsServiceRolePolicy",
    "lambda.application-autoscaling.amazonaws.com": "AWSApplicationAutoscalingLambdaConcurrencyPolicy",
    "lex.amazonaws.com": "LexBotPolicy",
    "rds.amazonaws.com": "AmazonRDSServiceRolePolicy",
    "sagemaker.amazonaws.com": "AmazonSageMakerNotebooksServiceRolePolicy",
    "sagemaker.application-autoscaling.amazonaws.com": "AWSApplicationAutoscalingSageMakerEndpointPolicy",
    "ssm.amazonaws.com": "AmazonSSMServiceRolePolicy",
}


@api.operation
def create_service_linked_role(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    service = request["AWSServiceName"]
    if not service.endswith(".amazonaws.com") or not service_principals.is_known(service):
        raise api.error.InvalidInputException(f"{service} is not a valid service principal.")
    name = _NAMES.get(service) or "AWSServiceRoleFor" + service.removesuffix(".amazonaws.com").replace(".", "_")
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
        "Attached": [f"{PREFIX}/aws-service-role/{_POLICIES[service]}"] if service in _POLICIES else [],
        "Inline": {},
    }
    arn = names.arn(call.account, "role", path, name)
    try:
        record = call.store.create(names.ROLE, account=call.account, region=names.GLOBAL, name=name, arn=arn, spec=spec)
    except Taken:
        raise api.error.InvalidInputException(f"Service role name {name} has been taken in this account, please try a different suffix.")
    return {"Role": describe(call, record)}


# Records that a service keeps only while it needs its role.
_USERS = {"sagemaker.application-autoscaling.amazonaws.com": ("scalable-target",)}


@api.operation
def delete_service_linked_role(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """The task is done when this answers; its outcome is kept."""
    role = find_role(call, request["RoleName"])
    if not role.spec["Path"].startswith("/aws-service-role/"):
        raise ApiError("InvalidInput", f"Role {role.name} is not a service-linked role.", 400)
    service = role.spec["Path"].split("/")[2]
    task = f"task{role.spec['Path']}{role.name}/{uuid.uuid4()}"
    usage = _usage(call, service)
    spec: dict[str, Any] = {"Status": "FAILED" if usage else "SUCCEEDED"}
    if usage:
        spec["Reason"] = {"Reason": f"A service-linked role is required for {service} to manage its resources.", "RoleUsageList": usage}
    call.store.create(
        names.ROLE_DELETION, account=call.account, region=names.GLOBAL, name=task, arn=f"arn:aws:iam::{call.account}:{task}", spec=spec
    )
    if not usage:
        call.store.delete(role)
    return {"DeletionTaskId": task}


def _usage(call: Call, service: str) -> list[dict[str, Any]]:
    found: dict[str, list[str]] = {}
    for kind in _USERS.get(service, ()):
        for record in call.store.list(kind, call.account):
            found.setdefault(record.region, []).append(record.arn)
    return [{"Region": region, "Resources": arns} for region, arns in sorted(found.items())]


@api.operation
def get_service_linked_role_deletion_status(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    task: Record | None = call.store.get(names.ROLE_DELETION.kind, call.account, names.GLOBAL, request["DeletionTaskId"])
    if task is None:
        raise api.error.NoSuchEntityException(f"The deletion task {request['DeletionTaskId']} cannot be found.")
    return dict(task.spec)
