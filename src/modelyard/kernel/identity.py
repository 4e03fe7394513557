"""Who calls, and what the platform must be able to answer about them.

The types are the kernel's; the one implementation lives with IAM (`services/iam/`), the wire and the
services see only these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from modelyard.kernel.service import Call


@dataclass(frozen=True)
class Principal:
    """An authenticated caller, shaped as AWS sees it.

    `arn` is what GetCallerIdentity answers: `arn:aws:iam::A:root`, `arn:aws:iam::A:user/x`,
    `arn:aws:sts::A:assumed-role/ROLE/SESSION` or `arn:aws:sts::A:federated-user/NAME`. `kind` is root, user, role,
    federated-user, service, federated (an identity provider, while it assumes a role) or anonymous.
    `role_arn` is the IAM role behind a session. `session_policies` are the policy documents (as dicts)
    passed when the session was made. `tags` are principal tags. `session` is what a session says of itself: `issued_at` and
    `mfa_at` (platform time), `source_identity`, `transitive` (tag keys), `user_arn` and `user_id` (who asked for a federated
    user), `keys` (further condition keys).
    """

    kind: str
    account: str
    arn: str
    user_id: str
    access_key: str = ""
    role_arn: str | None = None
    session_policies: tuple[Mapping[str, Any], ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    session: Mapping[str, Any] = field(default_factory=dict)


ANONYMOUS = Principal("anonymous", "", "*", "ANONYMOUS")


@dataclass(frozen=True)
class Credential:
    """A key that can sign. `token` and `expires_at` (platform time) are those of a session."""

    access_key: str
    secret_key: str
    principal: Principal
    token: str | None = None
    expires_at: float | None = None


@dataclass(frozen=True)
class Decision:
    """`allowed`, and for a denial the message a client sees: AWS's text, then what would help."""

    allowed: bool
    message: str = ""


class Identity(Protocol):
    """What wire and services ask about callers. Implemented in `services/iam/identity.py`."""

    def credential(self, access_key: str) -> Credential | None:
        """The credential of this access key, cached; None where there is none (or it is inactive).
        An expired session is returned: the wire answers ExpiredToken for it."""

    def decide(
        self,
        principal: Principal,
        action: str,
        resource: str,
        condition: Mapping[str, Any],
        resource_policy: Mapping[str, Any] | None = None,
        resource_account: str | None = None,
        must_grant: bool = False,
    ) -> Decision:
        """Pure evaluation of all policies that apply (cached per principal until IAM changes). `must_grant`: the resource's policy
        must allow it within the account too."""

    def authorize(self, call: Call, request: Mapping[str, Any]) -> None:
        """The check of every operation before its function runs: actions and resources of the operation
        are taken from data; raises AccessDenied in the service's own dialect."""

    def steady(self, call: Call, request: Mapping[str, Any]) -> Any:
        """A mark, where `authorize` allows this call by nothing but who calls what: as long as `mark` answers an equal one, it
        would allow the same again, and `credential` would answer the same. None: it may depend on more (conditions, a resource's policy)."""

    def mark(self) -> Any:
        """Another one after whatever IAM changed; asked for with every call."""

    def require(self, call: Call, action: str, resource: str, condition: Mapping[str, Any]) -> None:
        """One further permission; raises AccessDenied."""

    def remember_named(self, policy: str) -> None:
        """To be called when a (sound) policy of a resource is put: the users and roles it names are those who have the names now."""

    def policy_in_force(self, policy: str) -> str:
        """A resource's policy as it is shown: who is gone since it was put is in it by its unique id."""

    def session_for_role(
        self, role_arn: str, session_name: str, duration_s: float, *, service: str = "sagemaker.amazonaws.com"
    ) -> Credential:
        """New temporary credentials of a role, for a job or replica acting as it. Raises
        ValidationException where the role is missing or does not trust `service`."""

    def check_pass_role(self, call: Call, role_arn: str, service: str = "sagemaker.amazonaws.com") -> None:
        """`iam:PassRole` with iam:PassedToService, that the role exists, and that it trusts `service`."""
