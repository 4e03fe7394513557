"""The policies of a caller, read from the store when first asked for and kept until IAM changes."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

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


@dataclass(frozen=True)
class Caller:
    """A principal's policies and tags, and whose they are (`role X`). `verdicts` remembers decisions in which no condition had
    a say, by (action, resource), for as long as this snapshot of IAM lives."""

    policies: Policies
    tags: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    verdicts: dict[tuple[str, str], Verdict] = field(default_factory=dict)


class Directory:
    def __init__(self, store: Store) -> None:
        self._store, self._changes = store, Changes(store.db)
        self.version = self._changes.version
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
        documents = principal.session_policies
        session = PolicySet(tuple(s for d in documents for s in compile_policy(d, "the session policy"))) if documents else None
        record, name = self._record(principal)
        if record is None:
            by_root = principal.kind == "federated-user" and principal.session.get("user_arn") == names.root_arn(principal.account)
            return Caller(Policies(EVERYTHING if by_root else NOTHING, None, session), principal.tags, name)
        boundary = record.spec.get("PermissionsBoundary")
        limit = PolicySet(self.managed_statements(record.account, boundary)) if boundary else None
        tags = {**self._store.tags(record.arn), **principal.tags}
        return Caller(Policies(PolicySet(self.identity_statements(record)), limit, session), tags, name)

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

    def identity_statements(self, record: Record) -> tuple[Statement, ...]:
        """Inline and managed statements of a role, a user (with the groups it is in) or a group."""
        found: list[Statement] = []
        for name, document in sorted(record.spec.get("Inline", {}).items()):
            found += compile_policy(document, f"inline policy {name}")
        for arn in record.spec.get("Attached", []):
            found += self.managed_statements(record.account, arn)
        for group in groups_of(self._store, record):
            found += self.identity_statements(group)
        return tuple(found)

    def managed_statements(self, account: str, arn: str) -> tuple[Statement, ...]:
        document = self.managed_document(account, arn)
        return compile_policy(document, f"managed policy {arn.rsplit('/', 1)[-1]}") if document else ()

    def managed_document(self, account: str, arn: str) -> str | None:
        """The default version's document of an AWS-managed or customer-managed policy."""
        aws = managed.find(arn)
        if aws is not None:
            return aws.document
        record = self._store.get(names.POLICY.kind, account, names.GLOBAL, arn.rsplit("/", 1)[-1])
        if record is None or record.arn != arn:
            return None
        return record.spec["Versions"][record.spec["DefaultVersionId"]]["Document"]
