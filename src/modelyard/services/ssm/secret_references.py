"""Secrets read as parameters: `/aws/reference/secretsmanager/NAME`, with `:VERSION-ID` or `:STAGE`.

Source: "Referencing AWS Secrets Manager secrets from Parameter Store parameters" of the Systems Manager user guide. The caller needs
secretsmanager:GetSecretValue too: the value is asked for in the caller's name.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError, validation
from modelyard.services.ssm import api

PREFIX = "/aws/reference/secretsmanager/"
_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_TOLD = ("ARN", "Name", "VersionId", "SecretString", "VersionStages")


def is_reference(given: str) -> bool:
    return given.startswith(PREFIX)


def referenced(call: Any, given: str, decrypt: bool) -> dict[str, Any]:
    """The Parameter that stands for a secret. Raises ParameterNotFound, ValidationException, or the AccessDenied of Secrets Manager."""
    if not decrypt:
        raise validation("WithDecryption flag must be True for retrieving a Secret Manager secret.")
    name, _, version = given.removeprefix(PREFIX).partition(":")
    request = {"SecretId": name} | ({"VersionId" if _ID.match(version) else "VersionStage": version} if version else {})
    try:
        found = call.invoke("secretsmanager", "GetSecretValue", request)
    except ApiError as problem:
        if problem.code in ("ResourceNotFoundException", "ValidationException"):
            raise api.error.ParameterNotFound(
                f"An error occurred (ParameterNotFound) when referencing Secrets Manager: Secret {given} not found."
            ) from None
        if problem.code == "AccessDeniedException":
            raise
        raise validation(f"An error occurred ({problem.code}) when referencing Secrets Manager: {problem.message}") from None
    if "SecretString" not in found:
        raise validation(f"{given} is a binary secret: parameters refer to secrets with a SecretString only.")
    source = {"CreatedDate": found["CreatedDate"], **{member: found[member] for member in _TOLD if member in found}}
    return {
        "Name": PREFIX + name,
        "Type": "SecureString",
        "Value": found["SecretString"],
        "Version": 0,
        "SourceResult": orjson.dumps(source).decode(),
        "LastModifiedDate": found["CreatedDate"],
        "ARN": found["ARN"],
        "DataType": "text",
        **({"Selector": f":{version}"} if version else {}),
    }
