"""Requests and answers as the trail keeps them: CloudTrail's spelling of names, and nothing that is secret.

What botocore's model marks `sensitive`, and what is named like a secret, is HIDDEN_DUE_TO_SECURITY_REASONS; blobs and streams are
left out, as CloudTrail does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from modelyard.kernel import models

HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
_SECRET_NAME = re.compile(
    r"(?i)password|passphrase|secret(?!s?(id|arn|name|list)\b)|plaintext|credential(?!provider)|private_?key|authorization|api_?key|token|signature"
)
_NOT_SECRET = re.compile(
    r"(?i)^(next|continuation|client(request)?|creation|idempotency|starting|sequence|nextforward|nextbackward|request)_?token$|^nextsequencetoken$"
    r"|tokenissue|^passwordpolicy$|passwordlength|passwordreset|allowuserstochange|passwordreuse|maxpasswordage|^max.*tokens?$|requirepassword"
    r"|^secret(id|arn|name)$|^passwordlastused$|^requiresecret|^excludepunctuation"
)
_FLAG = re.compile(r"--?([A-Za-z][\w-]*)(=.*)?", re.DOTALL).fullmatch
_WITH_PASSWORD = re.compile(r"([a-z][a-z0-9+.-]*://[^/@\s:]*:)([^/@\s]+)@", re.IGNORECASE).match
"""The address of a repository or server, with who logs in there."""
_MESSAGES = {
    "sqs": {"MessageBody", "MessageAttributes", "MessageSystemAttributes"},
    "sns": {"Message", "Subject", "MessageAttributes"},
}
"""What senders say; CloudTrail hides it."""
_OPEN_MAPS = ("environment", "environmentvariables")


def is_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None and _NOT_SECRET.search(name) is None


def told_moment(at: float) -> str:
    """A time within an event's elements, as most services write it there: `Jan 15, 2027, 8:00:00 AM`."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%b %-d, %Y, %-I:%M:%S %p")


def _seconds(value: float | datetime) -> float:
    return value.timestamp() if isinstance(value, datetime) else value


class Redacted:
    """`value` is what may be kept; `secrets` are the texts that were left out of it. `as_asked`: names stay those of the request."""

    def __init__(self, service: str, shape: str | None, value: Mapping[str, Any] | None, as_asked: bool = False) -> None:
        self.secrets: list[str] = []
        self._shapes, self._service, self._as_asked = models.service_model(service)["shapes"], service, as_asked
        self.value = None if value is None or shape is None else self._structure(self._shapes[shape], value)

    def without_secrets(self, text: str) -> str:
        """A message may repeat what was asked."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            if len(secret) >= 4:
                text = text.replace(secret, HIDDEN)
        return text

    def _value(self, shape: Mapping[str, Any], name: str, value: Any) -> Any:
        kind = shape.get("type")
        if shape.get("sensitive") or (is_secret(name) and kind not in ("boolean", "integer", "long")):
            self._hide(value)
            return HIDDEN
        if kind == "structure" and isinstance(value, Mapping):
            return self._structure(shape, value)
        if kind == "list" and isinstance(value, (list, tuple)):
            member = self._shapes[shape["member"]["shape"]]
            return self._words([self._value(member, name, one) for one in value])
        if kind == "map" and isinstance(value, Mapping):
            return self._map(shape, name, value)
        if kind == "timestamp" and isinstance(value, (int, float, datetime)):
            return _seconds(value) if self._as_asked else told_moment(_seconds(value))
        if isinstance(value, str) and (found := _WITH_PASSWORD(value)):
            self.secrets.append(found[2])
            return f"{found[1]}{HIDDEN}{value[found.end(2) :]}"
        return value if isinstance(value, (str, int, float, bool)) else str(value)

    def _words(self, words: list[Any]) -> list[Any]:
        """A command line says its secrets after a flag: `--password x`, `--token=x`."""
        found: list[Any] = []
        expected = False
        for word in words:
            flag = _FLAG(word) if isinstance(word, str) else None
            name, value = flag.groups() if flag is not None else ("", "")
            if name and is_secret(name.replace("-", "_")):
                expected = not value
                if value:
                    self.secrets.append(value[1:])
                    word = f"{word[: -len(value)]}={HIDDEN}"
            elif expected and not name and isinstance(word, str):
                expected = False
                self.secrets.append(word)
                word = HIDDEN
            else:
                expected = False
            found.append(word)
        return found

    def _structure(self, shape: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
        members, payload, found = shape.get("members", {}), shape.get("payload"), {}
        for name, one in value.items():
            member = members.get(name)
            if member is None or one is None:
                continue
            inner = self._shapes[member["shape"]]
            if inner.get("type") == "blob" or inner.get("eventstream") or (name == payload and inner.get("streaming")):
                self._hide(one)
                continue
            if name in _MESSAGES.get(self._service, ()):
                self._hide(one)
                found[self._spelled(name)] = HIDDEN
                continue
            found[self._spelled(name)] = self._value(inner, name, one)
        return found

    def _map(self, shape: Mapping[str, Any], name: str, value: Mapping[str, Any]) -> dict[str, Any]:
        inner, closed = self._shapes[shape["value"]["shape"]], name.lower() in _OPEN_MAPS
        found = {}
        for key, one in value.items():
            if closed:
                self._hide(one)
                found[str(key)] = HIDDEN
            else:
                found[str(key)] = self._value(inner, str(key), one)
        return found

    def _hide(self, value: Any) -> None:
        if isinstance(value, str):
            self.secrets.append(value)
        elif isinstance(value, bytes):
            self.secrets.append(value.decode("utf-8", "replace"))
        elif isinstance(value, Mapping):
            for one in value.values():
                self._hide(one)
        elif isinstance(value, (list, tuple)):
            for one in value:
                self._hide(one)

    def _spelled(self, name: str) -> str:
        """`RoleName` → `roleName`, `DBName` → `dBName`, as CloudTrail writes them."""
        if self._as_asked:
            return name
        return name[:1].lower() + name[1:]
