"""ARNs with holes, and what fills them from a request: the small language of `data/actions.zip`."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.service import Call
from modelyard.services.iam import names

Request = Mapping[str, Any]
_HOLE = re.compile(r"\{([^}]*)\}")
_OF_CALL = ("Region", "Account", "CallerUser")
_OF_S3 = "arn:aws:s3:"
"""Members of S3 never take an ARN in the place of a name: a key may look like one, and is still a key."""


class Template:
    """An ARN with holes: `{Region}`, `{Account}`, `{CallerUser}` (path and name of the calling user), request members by path, or `{transform:Member}`."""

    __slots__ = ("_holes", "_like", "_lower", "_plain", "_texts", "_whole")

    def __init__(self, text: str, lower: bool) -> None:
        pieces = _HOLE.split(text)
        self._texts, self._holes, self._lower = pieces[::2], [Hole(name) for name in pieces[1::2]], lower
        self._whole = len(self._holes) == 1 and self._texts == ["", ""]
        never = r"(?!)"
        self._like = re.compile(never if text.startswith(_OF_S3) else ".+".join(map(re.escape, self._texts)), re.DOTALL)
        self._plain = (
            None if self._whole or any(hole.is_deep for hole in self._holes) else list(zip(pieces[1::2], pieces[2::2], strict=True))
        )

    @property
    def top_members(self) -> list[str] | None:
        """The request members it reads, where these are single top members; None: it reads more."""
        if self._plain is None:
            return None
        return [name for name, _ in self._plain if name not in ("Region", "Account")]

    def fill(self, call: Call, request: Request) -> list[str]:
        """The ARNs, several where a hole has several values; [] where a hole has none."""
        return self._fill_deep(call, request) if self._plain is None else self._fill_plain(call, request, self._plain)

    def _fill_plain(self, call: Call, request: Request, holes: list[tuple[str, str]]) -> list[str]:
        """The same for top members only: nearly all templates, and on the path of every call."""
        arn = self._texts[0]
        for name, text in holes:
            if name == "Region":
                value = call.region
            elif name == "Account":
                value = call.account
            else:
                value = request.get(name)
                if value is None or value == "":
                    return []
                value = str(value)
                if value.startswith("arn:") and self._like.fullmatch(value):
                    return [self._cased(value)]  # the member takes a name or an ARN, and has the ARN
                if self._lower:
                    value = value.lower()
            arn += value + text
        return [arn]

    def _fill_deep(self, call: Call, request: Request) -> list[str]:
        arns = [self._texts[0]]
        for hole, text in zip(self._holes, self._texts[1:], strict=True):
            values = hole.values(call, request)
            if not values:
                return []
            if self._whole:
                return [self._cased(value) for value in values if value.startswith("arn:")]
            if self._lower and hole.of_request:
                values = [value.lower() for value in values]
            arns = [arn + value + text for arn in arns for value in values]
        return arns

    def _cased(self, arn: str) -> str:
        """Where names are kept in lower case the ARN of a request is read so too: a Deny must not depend on its case."""
        front, kind, rest = arn.rpartition(":") if arn.count(":") == 5 else (arn, "", "")
        return f"{front}{kind}{rest.lower()}" if self._lower else arn


class Hole:
    __slots__ = ("_name", "_path", "_transform", "is_deep", "of_request")

    def __init__(self, text: str) -> None:
        transform, _, self._name = text.rpartition(":")
        self._transform = _TRANSFORMS[transform] if transform else None
        self.of_request = self._name not in _OF_CALL
        self.is_deep = self._transform is not None or self._name == "CallerUser" or any(sign in text for sign in ".[*")
        self._path = MemberPath(self._name)

    def values(self, call: Call, request: Request) -> list[str]:
        if self._name == "CallerUser":  # whom the request means where it names no user
            return [call.principal.arn.split(":user", 1)[1]] if call.principal.kind == "user" else []
        if not self.of_request:
            return [call.region if self._name == "Region" else call.account]
        found = self._path.values(request)
        if self._transform is None:
            return [str(value) for value in found]
        return [made for value in found if (made := self._transform(call, request, self._name, value))]


class MemberPath:
    """`A.B`, `A[].B`, or `**B` at any depth."""

    __slots__ = ("_anywhere", "_steps", "member")

    def __init__(self, text: str) -> None:
        self._anywhere = text.startswith("**")
        self._steps = text.removeprefix("**").split(".")
        self.member = None if self._anywhere else self._steps[0].removesuffix("[]")
        """The member of the request without which there are no values; None: any may have them."""

    def values(self, request: Request) -> list[Any]:
        if not self._anywhere and len(self._steps) == 1 and not self._steps[0].endswith("[]"):
            value = request.get(self._steps[0])
            return [] if value is None or value == "" else [value]
        if self._anywhere:
            return list(_anywhere(request, self._steps[0]))
        found: list[Any] = [request]
        for step in self._steps:
            found = [value for item in found for value in _members(item, step)]
        return found


def _members(item: Any, step: str) -> list[Any]:
    if not isinstance(item, Mapping):
        return []
    value = item.get(step.removesuffix("[]"))
    if step.endswith("[]"):
        return list(value) if isinstance(value, (list, tuple)) else []
    return [] if value is None or value == "" else [value]


def _anywhere(item: Any, step: str) -> Iterator[Any]:
    if isinstance(item, Mapping):
        yield from _members(item, step)
        for value in item.values():
            yield from _anywhere(value, step)
    elif isinstance(item, (list, tuple)):
        for value in item:
            yield from _anywhere(value, step)


# --- what needs more than the member's value -----------------------------------------------------------


def _iam_path(call: Call, request: Request, member: str, value: str) -> str:
    """`/path/name` of a role, user, group or policy: the path of the request, or of the resource that is there."""
    if isinstance(request.get("Path"), str):
        return request["Path"] + value
    record = names.of_name(call.store, _IAM_KINDS[member], call.account, value) if member in _IAM_KINDS else None
    return f"{record.spec.get('Path', '/')}{record.name}" if record is not None else f"/{value}"


def _copy_source(call: Call, request: Request, member: str, value: Any) -> str:
    """`bucket/key` of S3's CopySource, a (URL-encoded) string or {Bucket, Key}."""
    if isinstance(value, Mapping):
        return f"{value.get('Bucket')}/{value.get('Key')}"
    return urllib.parse.unquote(value.partition("?versionId=")[0]).lstrip("/")


def _copy_version(call: Call, request: Request, member: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return value.get("VersionId") or ""
    return value.partition("?versionId=")[2]


def _before_colon(call: Call, request: Request, member: str, value: str) -> str:
    """The project of a build id `project:uuid`."""
    return value.partition(":")[0]


def _queue(call: Call, request: Request, member: str, value: str) -> str:
    """`account:name` of a queue URL, or of a name and (GetQueueUrl) whose it is."""
    if "/" not in value:
        return f"{request.get('QueueOwnerAWSAccountId') or call.account}:{value}"
    account, _, name = value.rstrip("/").removeprefix("https://").removeprefix("http://").partition("/")[2].rpartition("/")
    return f"{account or call.account}:{name}"


def _no_scheme(call: Call, request: Request, member: str, value: str) -> str:
    """The URL of an identity provider as its ARN has it."""
    return value.partition("://")[2].rstrip("/")


def _parameter(call: Call, request: Request, member: str, value: str) -> str:
    """The ARN of a parameter by its name, with or without `:version` or `:label`, or by its ARN. AWS's own belong to no account."""
    if member == "ResourceId" and request.get("ResourceType") != "Parameter":
        return ""
    if value.startswith("arn:"):
        return ":".join(value.split(":")[:6])
    name = value.partition(":")[0]
    account = "" if name.startswith("/aws/") else call.account
    return f"arn:aws:ssm:{call.region}:{account}:parameter/{name.removeprefix('/')}"


def _secret(call: Call, request: Request, member: str, value: str) -> str:
    """The whole ARN of a secret by its name, its ARN, or its ARN without the random end."""
    name, region, account = value, call.region, call.account
    if value.startswith("arn:"):
        pieces = value.split(":", 6)
        if len(pieces) < 7 or call.store.by_arn(value) is not None:
            return value
        region, account, name = pieces[3], pieces[4], pieces[6]
    record = call.store.get("secret", account, region, name)
    return record.arn if record is not None else f"arn:aws:secretsmanager:{region}:{account}:secret:{name}"


def _new_secret(call: Call, request: Request, member: str, value: str) -> str:
    """Of a secret that is not there yet: six characters follow its name."""
    return f"arn:aws:secretsmanager:{call.region}:{call.account}:secret:{value}-??????"


def _key(call: Call, request: Request, member: str, value: str) -> str:
    """The ARN of a KMS key by its id, ARN or alias; none of one that is not there."""
    keys = call.platform.parts.get("kms")
    try:
        return keys.arn(call.account, call.region, value) if keys is not None else ""
    except ApiError:
        return ""


_IAM_KINDS = {
    "RoleName": names.ROLE.kind,
    "UserName": names.USER.kind,
    "GroupName": names.GROUP.kind,
    "PolicyName": names.POLICY.kind,
    "InstanceProfileName": names.INSTANCE_PROFILE.kind,
    "ServerCertificateName": names.SERVER_CERTIFICATE.kind,
    "VirtualMFADeviceName": names.MFA_DEVICE.kind,
}
_TRANSFORMS: dict[str, Callable[[Call, Request, str, Any], str]] = {
    "iam_path": _iam_path,
    "no_scheme": _no_scheme,
    "before_colon": _before_colon,
    "queue": _queue,
    "parameter": _parameter,
    "secret": _secret,
    "new_secret": _new_secret,
    "key": _key,
    "copy_source": _copy_source,
    "copy_version": _copy_version,
}
