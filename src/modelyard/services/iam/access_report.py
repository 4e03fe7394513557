"""Which services an entity may use and when it did last: GenerateServiceLastAccessedDetails, and which policies grant a service.

What was used is noted by the identity (last_used.py), by service; actions are not tracked one by one.
"""

from __future__ import annotations

import uuid
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.iam import api, managed, names
from modelyard.services.iam.actions import prefixes
from modelyard.services.iam.document import Statement, compile_policy
from modelyard.services.iam.membership import groups_of, members
from modelyard.services.iam.pages import page
from modelyard.services.iam.policy import attachments, find_policy
from modelyard.services.iam.simulate import find_entity

_IDS = {"iam-user": "UserId", "iam-role": "RoleId"}


def _subject(call: Call, arn: str) -> Record | managed.ManagedPolicy:
    """A user, a role, a group or a policy."""
    return find_policy(call, arn) if ":policy/" in arn else find_entity(call, arn)


def _statements(call: Call, subject: Record | managed.ManagedPolicy) -> tuple[Statement, ...]:
    directory = call.platform.identity.directory
    if isinstance(subject, managed.ManagedPolicy) or subject.kind == names.POLICY.kind:
        return directory.managed_statements(call.account, subject.arn)
    return directory.identity_statements(subject)


def _entities(call: Call, subject: Record | managed.ManagedPolicy) -> list[Record]:
    """The users and roles whose use counts for the subject."""
    if isinstance(subject, managed.ManagedPolicy) or subject.kind == names.POLICY.kind:
        found = [record for _, record in attachments(call).get(subject.arn, [])]
    else:
        found = [subject]
    return [one for record in found for one in (members(call.store, record) if record.kind == names.GROUP.kind else [record])]


def _speaks(statement: Statement, service: str) -> bool:
    """Whether an Allow statement may grant anything of the service."""
    if statement.not_actions:
        return f"{service}:*" not in statement.not_actions and "*" not in statement.not_actions
    return any(action == "*" or action.partition(":")[0] in (service, "*") for action in statement.actions)


def _granted(statements: tuple[Statement, ...]) -> list[str]:
    allowing = [statement for statement in statements if statement.allow]
    return [service for service in prefixes() if service.islower() and any(_speaks(statement, service) for statement in allowing)]


@api.operation
def generate_service_last_accessed_details(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    if request.get("Granularity") == "ACTION_LEVEL":
        raise api.error.InvalidInputException("ACTION_LEVEL is not built: uses are noted by service. Ask for SERVICE_LEVEL.")
    subject = _subject(call, request["Arn"])
    job = str(uuid.uuid4())
    services = [_row(call, subject, service) for service in _granted(_statements(call, subject))]
    arn = f"arn:aws:iam::{call.account}:access-job/{job}"
    spec = {"Arn": subject.arn, "Services": services}
    call.store.create(names.ACCESS_JOB, account=call.account, region=names.GLOBAL, name=job, arn=arn, spec=spec)
    return {"JobId": job}


# As the console calls them; others go by their namespace.
_NAMES = {
    "application-autoscaling": "AWS Application Auto Scaling",
    "cloudformation": "AWS CloudFormation",
    "cloudtrail": "AWS CloudTrail",
    "cloudwatch": "Amazon CloudWatch",
    "dynamodb": "Amazon DynamoDB",
    "ec2": "Amazon EC2",
    "ecr": "Amazon Elastic Container Registry",
    "events": "Amazon EventBridge",
    "iam": "AWS Identity and Access Management",
    "kms": "AWS Key Management Service",
    "lambda": "AWS Lambda",
    "logs": "Amazon CloudWatch Logs",
    "s3": "Amazon S3",
    "sagemaker": "Amazon SageMaker",
    "secretsmanager": "AWS Secrets Manager",
    "sns": "Amazon SNS",
    "sqs": "Amazon SQS",
    "ssm": "AWS Systems Manager",
    "states": "AWS Step Functions",
    "sts": "AWS Security Token Service",
}


def _uses(call: Call, subject: Record | managed.ManagedPolicy, service: str) -> list[dict[str, Any]]:
    """Who of the subject's entities used the service and when, the latest first."""
    found = []
    for record in _entities(call, subject):
        for use in call.platform.identity.last_used.of(record.spec[_IDS[record.kind]]):
            if use.service == service:
                found.append({"arn": record.arn, "at": use.at, "region": use.region})
    return sorted(found, key=lambda use: -use["at"])


def _row(call: Call, subject: Record | managed.ManagedPolicy, service: str) -> dict[str, Any]:
    uses = _uses(call, subject, service)
    row: dict[str, Any] = {
        "ServiceName": _NAMES.get(service, service),
        "ServiceNamespace": service,
        "TotalAuthenticatedEntities": len(uses),
    }
    if uses:
        last = uses[0]
        row |= {"LastAuthenticated": last["at"], "LastAuthenticatedEntity": last["arn"], "LastAuthenticatedRegion": last["region"]}
    return row


def _job(call: Call, job: str) -> Record:
    record = call.store.get(names.ACCESS_JOB.kind, call.account, names.GLOBAL, job)
    if record is None:
        raise api.error.NoSuchEntityException(f"Job {job} could not be found.")
    return record


def _ended(job: Record) -> dict[str, Any]:
    return {"JobStatus": "COMPLETED", "JobCreationDate": job.created_at, "JobCompletionDate": job.created_at}


@api.operation
def get_service_last_accessed_details(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    job = _job(call, request["JobId"])
    shown, more = page(job.spec["Services"], request, lambda row: row["ServiceNamespace"])
    return {**_ended(job), "JobType": "SERVICE_LEVEL", "ServicesLastAccessed": shown, **more}


@api.operation
def get_service_last_accessed_details_with_entities(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    job = _job(call, request["JobId"])
    subject = _subject(call, job.spec["Arn"])
    uses = {use["arn"]: use["at"] for use in _uses(call, subject, request["ServiceNamespace"])}
    shown, more = page(sorted(_entities(call, subject), key=lambda record: record.arn), request, lambda record: record.arn)
    return {**_ended(job), "EntityDetailsList": [_entity_details(record, uses.get(record.arn)) for record in shown], **more}


def _entity_details(record: Record, at: float | None) -> dict[str, Any]:
    word = record.kind.removeprefix("iam-")
    told = {"Arn": record.arn, "Name": record.name, "Type": word.upper(), "Id": record.spec[_IDS[record.kind]], "Path": record.spec["Path"]}
    return {"EntityInfo": told, **({"LastAuthenticated": at} if at is not None else {})}


@api.operation
def list_policies_granting_service_access(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    entity = find_entity(call, request["Arn"])
    found = []
    for service in request["ServiceNamespaces"]:
        rows = [row for record in (entity, *groups_of(call.store, entity)) for row in _granting(call, entity, record, service)]
        found.append({"ServiceNamespace": service, "Policies": rows})
    return {"PoliciesGrantingServiceAccess": found, "IsTruncated": False}


def _granting(call: Call, entity: Record, record: Record, service: str) -> list[dict[str, Any]]:
    rows, word = [], record.kind.removeprefix("iam-").upper()
    for name, text in sorted(record.spec["Inline"].items()):
        if any(s.allow and _speaks(s, service) for s in compile_policy(text, name)):
            rows.append({"PolicyName": name, "PolicyType": "INLINE", "EntityType": word, "EntityName": record.name})
    for arn in record.spec["Attached"]:
        if any(s.allow and _speaks(s, service) for s in call.platform.identity.directory.managed_statements(call.account, arn)):
            rows.append({"PolicyName": arn.rsplit("/", 1)[-1], "PolicyType": "MANAGED", "PolicyArn": arn})
    return rows
