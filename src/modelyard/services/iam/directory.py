"""The policies of a caller, read from the store when first asked for and kept until IAM changes."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any

import orjson

from modelyard.kernel.identity import Principal
from modelyard.kernel.records import Record
from modelyard.kernel.store import Store
from modelyard.services.iam import managed, names
from modelyard.services.iam.changes import Changes
from modelyard.services.iam.document import PolicySet, Statement, compile_policy
from modelyard.services.iam.evaluate import Policies, Verdict
from modelyard.services.iam.membership import groups_of

NOTHING = PolicySet(())
EVERYTHING = PolicySet(compile_policy({"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}, "the root user"))
Documents = list[tuple[str, str]]
"""(how messages call the policy, its text)"""


@dataclass(frozen=True)
class Caller:
    """A principal's policies and tags, and whose they are (`role X`). `verdicts` remembers decisions in which no condition had
    a say, by (action, resource), for as long as this snapshot of IAM lives. `gone`: the user or role is no longer there."""

    policies: Policies
    tags: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    verdicts: dict[tuple[str, str], Verdict] = field(default_factory=dict)
    gone: bool = False
    documents: Mapping[str, Documents] = field(default_factory=dict)
    """Of what `policies` was compiled, but for the session's own: `identity`, `boundary`."""

    @cached_property
    def snapshot(self) -> tuple[str, bytes]:
        """(fingerprint, JSON) of these policies and tags, to be decided by again later: see `of_snapshot`."""
        text = orjson.dumps({"name": self.name, "gone": self.gone, "tags": dict(self.tags), **self.documents}, option=orjson.OPT_SORT_KEYS)
        return sha256(text).hexdigest()[:32], text


def of_snapshot(said: Mapping[str, Any], principal: Principal) -> Caller:
    """The caller of a snapshot; what the session itself brought is the principal's."""
    boundary = said.get("boundary")
    root = principal.kind == "root"
    policies = Policies(
        EVERYTHING if root or said.get("root") else _compiled(said.get("identity", [])),
        _compiled(boundary) if boundary is not None else None,
        session_policies(principal),
    )
    return Caller(policies, said["tags"], said["name"], gone=said["gone"])


def session_policies(principal: Principal) -> PolicySet | None:
    documents = principal.session_policies
    return PolicySet(tuple(s for d in documents for s in compile_policy(d, "the session policy"))) if documents else None


def _compiled(documents: Iterable[tuple[str, str] | list[str]]) -> PolicySet:
    return PolicySet(tuple(statement for name, text in documents for statement in compile_policy(text, name)))


class Directory:
    def __init__(self, store: Store) -> None:
        self._store, self._changes = store, Changes(store.db)
        self.version, self.touch = self._changes.version, self._changes.touch
        self._lock = threading.Lock()
        self._version, self._callers = -1, {}

    def caller(self, principal: Principal) -> Caller:
        """Always as of a moment after this call began: what IAM answered before it is in force."""
        version = self._changes.version()
        with self._lock:
            if version != self._version:
                self._version, self._callers = version, {}
            callers = self._callers
        key = (principal.arn, principal.access_key)
        found = callers.get(key)
        if found is None:
            found = self._read(principal)
            if len(callers) >= 10_000:
                callers.clear()
            # Read at or after `version`; a change since then has raised the counter and drops this dict.
            callers[key] = found
        return found

    def _read(self, principal: Principal) -> Caller:
        session = session_policies(principal)
        record, name = self._record(principal)
        if record is None:
            by_root = principal.kind == "federated-user" and principal.session.get("user_arn") == names.root_arn(principal.account)
            gone = not by_root and principal.kind in ("role", "user", "federated-user")
            documents = {"root": True} if by_root else {}
            return Caller(Policies(EVERYTHING if by_root else NOTHING, None, session), principal.tags, name, gone=gone, documents=documents)
        documents = {"identity": self.identity_documents(record)}
        if record.spec.get("PermissionsBoundary"):
            documents["boundary"] = self._managed(record.account, record.spec["PermissionsBoundary"])
        limit = _compiled(documents["boundary"]) if "boundary" in documents else None
        tags = {**self._store.tags(record.arn), **principal.tags}
        return Caller(Policies(_compiled(documents["identity"]), limit, session), tags, name, documents=documents)

    def is_there(self, principal: Principal) -> bool:
        """Whether the role or user behind a session is still there; sessions of root always are."""
        record, name = self._record(principal)
        return record is not None or not name.startswith(("role ", "user "))

    def _record(self, principal: Principal) -> tuple[Record | None, str]:
        """The role or user behind a caller: the very one, not a later one of the same name."""
        if principal.kind == "role" and principal.role_arn:
            role = principal.role_arn.rsplit("/", 1)[-1]
            found = self._store.get(names.ROLE.kind, principal.account, names.GLOBAL, role)
            same = found is not None and found.spec["RoleId"] == principal.user_id.split(":")[0]
            return (found if same else None), f"role {role}"
        if principal.kind in ("user", "federated-user") and ":user/" in (arn := principal.session.get("user_arn", principal.arn)):
            user = arn.rsplit("/", 1)[-1]
            found = self._store.get(names.USER.kind, principal.account, names.GLOBAL, user)
            same = found is not None and found.spec["UserId"] == principal.session.get("user_id", principal.user_id)
            return (found if same else None), f"user {user}"
        return None, principal.arn

    @property
    def seen(self) -> int:
        """The version of IAM that the last look found."""
        return self._version

    def identity_statements(self, record: Record) -> tuple[Statement, ...]:
        return _compiled(self.identity_documents(record)).statements

    def managed_statements(self, account: str, arn: str) -> tuple[Statement, ...]:
        return _compiled(self._managed(account, arn)).statements

    def identity_documents(self, record: Record) -> Documents:
        """Inline and managed policies of a role, a user (with the groups it is in) or a group."""
        whose = f"{record.kind.removeprefix('iam-')} {record.name}"
        found = [(f"inline policy {name} of {whose}", document) for name, document in sorted(record.spec.get("Inline", {}).items())]
        for arn in record.spec.get("Attached", []):
            found += self._managed(record.account, arn)
        for group in groups_of(self._store, record):
            found += self.identity_documents(group)
        return found

    def _managed(self, account: str, arn: str) -> Documents:
        found = self.managed_version(account, arn)
        return [(f"managed policy {arn} (version {found[0]})", found[1])] if found else []

    def managed_document(self, account: str, arn: str) -> str | None:
        """The default version's document of an AWS-managed or customer-managed policy."""
        found = self.managed_version(account, arn)
        return found[1] if found else None

    def managed_version(self, account: str, arn: str) -> tuple[str, str] | None:
        """(default version, its document)"""
        aws = managed.find(arn)
        if aws is not None:
            return aws.version, aws.document
        record = self._store.get(names.POLICY.kind, account, names.GLOBAL, arn.rsplit("/", 1)[-1])
        if record is None or record.arn != arn:
            return None
        version = record.spec["DefaultVersionId"]
        return version, record.spec["Versions"][version]["Document"]
