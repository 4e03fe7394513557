"""What a denied caller reads: AWS's sentence, then which statement denied or which one is missing, ready to paste."""

from __future__ import annotations

import orjson

from modelyard.kernel import models
from modelyard.kernel.errors import ApiError
from modelyard.kernel.identity import Principal
from modelyard.services.iam.evaluate import BOUNDARY, IDENTITY, RESOURCE, SESSION, Verdict

_CODES = {"sns": ("AuthorizationError", 403), "sqs": ("AccessDenied", 403), "cloudwatch": ("AccessDenied", 403)}


def explain(principal: Principal, owner: str, action: str, resource: str, verdict: Verdict) -> str:
    """`owner` is whose policies they are (`role X`)."""
    who = "anonymous" if principal.kind == "anonymous" else principal.arn
    shown = f'"{resource}"' if action.startswith("s3:") else resource  # S3 alone writes it in quotes
    said = f"User: {who} is not authorized to perform: {action} on resource: {shown}"
    if verdict.explicit:
        said += f" with an explicit deny in {_article(verdict.kind)} {verdict.kind}"
        return f"{said}. Denied by {verdict.statement.label}." if verdict.statement else said
    said += f" because no {verdict.kind} allows the {action} action"
    missing = {"Effect": "Allow", "Action": action, "Resource": resource}
    if verdict.kind == RESOURCE:
        missing = {"Effect": "Allow", "Principal": "*" if principal.kind == "anonymous" else _grantee(principal), **missing}
        if action.startswith("sts:"):
            del missing["Resource"]  # a trust policy speaks of its own role only
            owner = f"the trust policy of {resource.split(':')[-1]}"
    return f"{said}. To allow it, add this statement to {_where(verdict.kind, owner)}: {orjson.dumps(missing).decode()}"


def _article(kind: str) -> str:
    return "an" if kind[0] in "aeiou" else "a"


def _grantee(principal: Principal) -> dict[str, str]:
    if principal.kind == "service":
        return {"Service": principal.arn}
    return {"AWS": principal.role_arn or principal.arn}


def _where(kind: str, owner: str) -> str:
    return {
        IDENTITY: f"a policy of {owner}",
        BOUNDARY: f"the permissions boundary of {owner}",
        SESSION: "the session policy",
        RESOURCE: owner if owner.startswith("the trust") else "the resource's policy",
    }[kind]


def error(service: str, message: str) -> ApiError:
    """AccessDenied as the service says it: code and HTTP status of its protocol."""
    if service in _CODES:
        code, status = _CODES[service]
        return ApiError(code, message, status)
    metadata = models.service_model(service)["metadata"]
    protocol = metadata["protocol"]
    if protocol == "ec2":
        return ApiError("UnauthorizedOperation", message, 403)
    if protocol in ("query", "rest-xml"):
        return ApiError("AccessDenied", message, 403)
    modelled = models.error(service, "AccessDeniedException")
    status = modelled.status if modelled is not None else 403 if protocol == "rest-json" else 400
    return ApiError("AccessDeniedException", message, status)
