"""What a denied caller reads: AWS's sentence, then which statement denied, or which are missing, ready to paste, and where they go.

Sources: IAM User Guide, "Troubleshoot access denied error messages"; what the services answer, where they differ.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from modelyard.kernel import models
from modelyard.kernel.errors import ApiError
from modelyard.kernel.identity import Principal
from modelyard.services.iam.evaluate import BOUNDARY, IDENTITY, RESOURCE, SESSION, Verdict
from modelyard.services.iam.judgement import Judgement

MOST_RESOURCES = 3
"""Of a statement that allows it elsewhere, how many are shown."""
_CODES = {"sns": ("AuthorizationError", 403), "sqs": ("AccessDenied", 403), "cloudwatch": ("AccessDenied", 403)}
_NO_STAR = ("s3", "secretsmanager", "cloudwatch", "cloudtrail", "sagemaker")
"""Services that leave "on resource" out, where an action has no resource."""
_IAM_LISTS = {"iam:ListUsers": "user/", "iam:ListRoles": "role/", "iam:ListGroups": "group/"}
_ENTITY = re.compile(r"arn:aws:iam::\d{12}:(role|user|group|instance-profile|policy)/(?:.*/)?([^/]+)")
CONDITIONS = {"iam:PassRole": "iam:PassedToService", "iam:CreateServiceLinkedRole": "iam:AWSServiceName"}
"""What a statement should always say beside the resource, so that it gives no more than is needed."""
_PLACES = {"kms": "the key policy of {}", "sqs": "the policy of queue {}", "sns": "the policy of topic {}",
           "secretsmanager": "the resource policy of secret {}", "sagemaker": "the resource policy of {}"}  # fmt: skip


def explain(judgement: Judgement, verdict: Verdict) -> str:
    said = sentence(judgement.principal, judgement.action, judgement.resource, verdict)
    if verdict.explicit:
        if verdict.statement is None:
            return said
        whose = verdict.statement.label + ("" if verdict.kind != RESOURCE else f", {place(judgement, RESOURCE)}")
        if held := judgement.holding(verdict.statement):
            whose += f" (its condition holds: {held})"
        return f"{said}. Denied by {whose}. No other statement can allow it while this one applies."
    if judgement.gone:
        return f"{said}. The {judgement.owner} that these credentials were made for is no longer there."
    near = judgement.near()
    if near is not None:
        keys = list(dict.fromkeys(key for test, (_, key, _) in zip(near.conditions, near.asks, strict=True) if not test(judgement.context)))
        holds = "its conditions do" if len(keys) > 1 else "its condition does"
        said += f". {near.label[0].upper()}{near.label[1:]} would allow it, but {holds} not hold: {', '.join(keys)}"
    elif (other := judgement.elsewhere()) is not None:
        shown = ", ".join(other.about[:MOST_RESOURCES]) + (", …" if len(other.about) > MOST_RESOURCES else "")
        said += f". {other.label[0].upper()}{other.label[1:]} allows it on other resources only: {shown}"
    pieces = [f"{where}: {orjson.dumps(missing).decode()}" for where, missing in remedies(judgement)]
    return f"{said}. To allow it, add this statement to {'; and this one to '.join(pieces)}"


def told(judgement: Judgement, verdict: Verdict) -> dict[str, Any]:
    """The whole decision, as ExplainCall answers it."""
    found: dict[str, Any] = {
        "Action": judgement.action,
        "Resource": judgement.resource,
        "Decision": "allowed" if verdict.allowed else "explicitDeny" if verdict.explicit else "implicitDeny",
        "Reason": _reason(judgement, verdict),
        "Policies": judgement.considered(),
    }
    if not verdict.allowed and not verdict.explicit and not judgement.gone:
        missing = [{"AddTo": where, "Statement": orjson.dumps(one).decode()} for where, one in remedies(judgement)]
        found |= {"MissingStatement": missing[0]["Statement"], "AddTo": missing[0]["AddTo"], "Missing": missing}
    return found


def _reason(judgement: Judgement, verdict: Verdict) -> str:
    if verdict.explicit:
        return f"Denied by {verdict.statement.label}." if verdict.statement else "Denied explicitly."
    if judgement.gone:
        return f"The {judgement.owner} that these credentials were made for is no longer there."
    if not verdict.allowed:
        return f"No {' and no '.join(judgement.lacking())} allows {judgement.action}."
    if verdict.statement is None:
        return "The root user needs no policy." if judgement.principal.kind == "root" else "Allowed."
    return f"Allowed by {verdict.statement.label}."


def sentence(principal: Principal, action: str, resource: str, verdict: Verdict | None = None) -> str:
    who = "anonymous" if principal.kind == "anonymous" else principal.arn
    said = f"User: {who} is not authorized to perform: {action}{_on(principal, action, resource)}"
    if verdict is None:
        return said
    if verdict.kind == RESOURCE and action.startswith("sts:"):
        denied, silent = (
            f"{said} with an explicit deny in the role trust policy",
            f"{said} because no role trust policy allows the {action} action",
        )
        return denied if verdict.explicit else silent
    if not verdict.explicit:
        return f"{said} because no {verdict.kind} allows the {action} action"
    said += f" with an explicit deny in {_article(verdict.kind)} {verdict.kind}"
    managed = re.search(r"arn:\S+:policy/\S+", verdict.statement.policy) if verdict.statement is not None else None
    return f"{said}: {managed[0]}" if managed is not None and verdict.kind in (IDENTITY, BOUNDARY) else said


def _on(principal: Principal, action: str, resource: str) -> str:
    """How the service of the action writes the resource: S3 in quotes, IAM by its kind and name."""
    service, _, name = action.partition(":")
    if service == "iam":
        if action in _IAM_LISTS and resource == "*":
            return f" on resource: arn:aws:iam::{principal.account}:{_IAM_LISTS[action]}"
        return f" on resource: {_entity(name, resource)}"
    if resource in ("*", "arn:aws:s3:::*") and service in _NO_STAR:
        return ""
    return f' on resource: "{resource}"' if service == "s3" else f" on resource: {resource}"


def _entity(operation: str, arn: str) -> str:
    found = _ENTITY.fullmatch(arn)
    if found is None or operation == "PassRole":
        return arn
    kind, name = found.groups()
    if kind == "policy":
        return f"policy {name if operation == 'CreatePolicy' else arn}"
    if operation in ("CreateRole", "CreateUser", "CreateGroup", "CreateInstanceProfile", "CreateServiceLinkedRole"):
        return arn
    return f"{kind.replace('-', ' ')} {name}"


def _article(kind: str) -> str:
    return "an" if kind[0] in "aeiou" else "a"


# --- what would allow it ----------------------------------------------------------------------------------


def remedies(judgement: Judgement) -> list[tuple[str, dict[str, Any]]]:
    """(policy that it goes into, statement): all of them together let the call through."""
    return [(place(judgement, kind), statement(judgement, kind)) for kind in judgement.lacking()]


def statement(judgement: Judgement, kind: str) -> dict[str, Any]:
    missing: dict[str, Any] = {"Effect": "Allow", "Action": judgement.action, "Resource": lasting(judgement.resource)}
    key = CONDITIONS.get(judgement.action)
    if key is not None and (value := _value(judgement, key)) is not None:
        missing["Condition"] = {"StringEquals": {key: value}}
    if kind != RESOURCE:
        return missing
    missing = {"Effect": "Allow", "Principal": _grantee(judgement.principal), **missing}
    if judgement.action.startswith("sts:"):
        del missing["Resource"]  # a trust policy speaks of its own role only
    elif judgement.action.startswith("kms:"):
        missing["Resource"] = "*"  # and a key policy of its own key
    return missing


def lasting(resource: str) -> str:
    """What a policy should name for a resource, so that the next call like it is allowed too: a job has a name of its own each time, an object
    lies in a folder, a log stream in its group."""
    if resource == "arn:aws:s3:::*":
        return "*"
    if resource.startswith("arn:aws:s3:::") and resource.count("/") > 1:
        return "/".join([*resource.split("/", 2)[:2], "*"])
    resource = re.sub(r"^(arn:aws:logs:[^:]*:\d*:log-group:[^:*]+):log-stream:.*", r"\1:*", resource)
    return re.sub(r"^(arn:aws:sagemaker:[^:]*:\d*:(?:training|processing|transform|hyper-parameter-tuning)-job)/.*", r"\1/*", resource)


def _value(judgement: Judgement, key: str) -> str | None:
    value = judgement.condition.get(key)
    if value is None:
        found = judgement.context.get(key.lower())
        return found[0] if found else None
    return str(value)


def _grantee(principal: Principal) -> Any:
    if principal.kind == "anonymous":
        return "*"
    if principal.kind == "service":
        return {"Service": principal.arn}
    if principal.kind == "federated":
        return {"Federated": principal.arn}
    return {"AWS": principal.role_arn or principal.arn}


def place(judgement: Judgement, kind: str) -> str:
    if kind == IDENTITY:
        return f"a policy of {judgement.owner}"
    if kind == BOUNDARY:
        names = {one.policy for one in judgement.policies.boundary.statements} if judgement.policies.boundary is not None else set()
        return f"the permissions boundary of {judgement.owner}" + (f" ({names.pop()})" if len(names) == 1 else "")
    if kind == SESSION:
        return "the session policy"
    service, resource = judgement.action.partition(":")[0], judgement.resource
    if service == "s3":
        where = f"the bucket policy of {resource.removeprefix('arn:aws:s3:::').partition('/')[0]}"
    elif service == "sts":
        where = f"the trust policy of role {resource.rsplit('/', 1)[-1]}"
    else:
        where = _PLACES.get(service, "the policy of {}").format(resource.rsplit(":", 1)[-1] if service in ("sqs", "sns") else resource)
    return where if judgement.own else f"{where} (account {judgement.account})"


def error(service: str, message: str) -> ApiError:
    """AccessDenied as the service says it: code and HTTP status of its protocol."""
    if service in _CODES:
        code, status = _CODES[service]
        return ApiError(code, message, status)
    metadata: Mapping[str, Any] = models.service_model(service)["metadata"]
    protocol = metadata["protocol"]
    if protocol == "ec2":
        return ApiError("UnauthorizedOperation", message, 403)
    if protocol in ("query", "rest-xml"):
        return ApiError("AccessDenied", message, 403)
    modelled = models.error(service, "AccessDeniedException")
    status = modelled.status if modelled is not None else 403 if protocol == "rest-json" else 400
    return ApiError("AccessDeniedException", message, status)
