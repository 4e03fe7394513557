"""Who calls and what they may: the one implementation of `kernel.identity.Identity`."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError, validation
from modelyard.kernel.identity import Credential, Decision, Principal
from modelyard.kernel.platform import Platform
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.iam import bootstrap, denial, names, session_limits, trust
from modelyard.services.iam.actions import Need, needs
from modelyard.services.iam.context import Context
from modelyard.services.iam.credentials import Credentials
from modelyard.services.iam.directory import Caller, Directory
from modelyard.services.iam.document import PolicySet, compile_set
from modelyard.services.iam.evaluate import Verdict, evaluate
from modelyard.services.iam.judgement import Judgement
from modelyard.services.iam.last_used import LastUsed
from modelyard.services.iam.named import Named
from modelyard.services.iam.request_context import of_call, of_principal
from modelyard.services.iam.resource_documents import PoliciesOf
from modelyard.services.iam.uses import Uses
from modelyard.services.iam.vault import Vault

MAX_VERDICTS = 4096
FURTHER_KEPT = 100
_NONE: Mapping[str, Any] = {}
_NAMES = {"s3": "the bucket policy", "kms": "the key policy", "sts": "the trust policy"}


class IamIdentity:
    """`parts["resource_policies"]` of the platform: service name → callable(call, request) that answers
    (policy document or None, account that owns the resource or None: the caller's), or a `PoliciesOf`."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._open = platform.settings.auth == "open"
        self.credentials = Credentials(platform.store.db, Vault(platform.settings.secrets), platform.clock)
        self.directory = Directory(platform.store)
        self.mark = self.directory.version
        self.last_used = LastUsed(platform.store.db)
        self.uses = Uses()
        self.named = Named(platform.store)
        self.trail: Any = None
        """Set by the audit trail, where there is one."""
        platform.parts.setdefault("resource_policies", {})["sts"] = trust.policies_of(platform)
        self._lock = threading.Lock()
        self._known: dict[str, Credential] = {}
        self._known_at = -1

    # --- authentication ----------------------------------------------------------------------------

    def credential(self, access_key: str) -> Credential | None:
        version = self.directory.version()
        with self._lock:
            if version != self._known_at or len(self._known) > 10_000:
                self._known, self._known_at = {}, version
            known = self._known
        found = known.get(access_key)
        if found is None:
            found = self._active(self.credentials.get(access_key))
            if found is not None:
                known[access_key] = found
        if found is None and self._open:
            return self._anyone(access_key)
        return found

    def _active(self, credential: Credential | None) -> Credential | None:
        """Keys of users and of root have a record that says whether they are in use (but for root's keys of an account that was made
        before they had). Sessions live as long as the role or user whose they are."""
        if credential is None:
            return None
        if credential.token is not None:
            return credential if self.directory.is_there(credential.principal) else None
        if credential.principal.kind not in ("user", "root"):
            return credential
        record = self._platform.store.get(names.ACCESS_KEY.kind, credential.principal.account, names.GLOBAL, credential.access_key)
        if record is None and credential.principal.kind == "root":
            return credential
        return credential if record is not None and record.spec["Status"] == "Active" else None

    def _anyone(self, access_key: str) -> Credential:
        """Open mode: any key is the default role of an account; 12 digits choose the account."""
        account = access_key if re.fullmatch(r"\d{12}", access_key) else self._platform.settings.account
        secrets = bootstrap.secrets_of(self._platform, account) or bootstrap.ensure_account(self._platform, account)
        return Credential(access_key, "", bootstrap.default_principal(secrets))

    # --- authorisation -------------------------------------------------------------------------------

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
        caller = self.directory.caller(principal)
        context = Context(lambda: of_principal(principal, caller.tags), condition)
        policy = self._compiled(resource_policy, "the resource's policy") if resource_policy is not None else None
        judged = Judgement(
            principal, caller.name, caller.policies, action, resource, context, policy, resource_account, must_grant, condition, caller.gone
        )
        verdict = judged.verdict()
        return Decision(True) if verdict.allowed else Decision(False, denial.explain(judged, verdict))

    def authorize(self, call: Call, request: Mapping[str, Any]) -> None:
        self.last_used.note(call)
        if self._open:
            for need in needs(call, request):
                self.uses.note(call.principal, need.action, need.resource, True)
            return
        if call.service in ("iam", "sts"):
            session_limits.check(call)
        for need in (asked := needs(call, request)):
            self._check(call, need, request, {})
        call.about = asked[0].resource if asked else ""

    def needs(self, call: Call, request: Mapping[str, Any]) -> list[Need]:
        """(action, resource) of everything that `authorize` looks at."""
        return needs(call, request)

    def require(self, call: Call, action: str, resource: str, condition: Mapping[str, Any], asked: Mapping[str, Any] | None = None) -> None:
        if call.further is None:
            call.further = []
        if len(call.further) < FURTHER_KEPT:  # DeleteObjects asks for a thousand keys
            call.further.append((action, resource, condition))
        if not self._open:
            if asked is None:
                asked = {"VersionId": condition["s3:VersionId"]} if "s3:VersionId" in condition else _NONE
            self._check(call, Need(action, resource), asked, condition)

    def steady(self, call: Call, request: Mapping[str, Any]) -> Any:
        mark, caller = self.directory.version(), self.directory.caller(call.principal)
        for need in needs(call, request):
            kept = caller.verdicts.get(need)
            if kept is None or not kept.allowed or self._lookup(need) is not None:
                return None
        return None if self._open else mark

    def changed(self) -> None:
        """Something else that every call looks at has changed: `mark` answers another one, in every process."""
        self.directory.touch()

    def _lookup(self, need: Need) -> Any:
        """What answers a resource's policy, where this resource may have one."""
        lookup = self._platform.parts.get("resource_policies", _NONE).get(need.action.partition(":")[0])
        if type(lookup) is PoliciesOf and not any(piece in need.resource for piece in lookup.about):
            return None
        return lookup

    def _check(self, call: Call, need: Need, request: Mapping[str, Any], condition: Mapping[str, Any]) -> None:
        caller = self.directory.caller(call.principal)
        if call.weighed is None:
            call.weighed = caller
        lookup = self._lookup(need)
        if lookup is None and (kept := caller.verdicts.get(need)) is not None and kept.allowed:
            given = _given(need.action, condition, request) if need.action in denial.CONDITIONS else ""
            self.uses.note(call.principal, need.action, need.resource, True, given)
            return
        policy, account = self._resource_policy(call, need, request, lookup)
        alone = policy is None and account in (None, call.principal.account)
        verdict = caller.verdicts.get(need) if alone else None
        if verdict is None:
            context = of_call(call, caller, request, condition, need, account)
            must_grant = type(lookup) is PoliciesOf and lookup.must_grant
            verdict = evaluate(call.principal, caller.policies, need.action, need.resource, context, policy, account, must_grant)
            if alone and len(caller.verdicts) < MAX_VERDICTS and caller.policies.ignore_context(need.action, need.resource):
                caller.verdicts[need] = verdict
        given = _given(need.action, condition, request) if need.action in denial.CONDITIONS else ""
        self.uses.note(call.principal, need.action, need.resource, verdict.allowed, given)
        if policy is not None:
            keep_resource_policy(call, need, policy, account, lookup)
        if not verdict.allowed:
            raise self._refusal(call, caller, need, request, condition, policy, account, lookup, verdict)

    def _refusal(
        self, call: Call, caller: Caller, need: Need, request: Mapping[str, Any], condition: Mapping[str, Any],
        policy: PolicySet | None, account: str | None, lookup: Any, verdict: Verdict,
    ) -> ApiError:  # fmt: skip
        """What a denied caller is told; the error carries the whole decision for the audit trail, made with the facts of this moment."""
        judged = Judgement(
            call.principal, caller.name, caller.policies, need.action, need.resource, of_call(call, caller, request, condition, need, account),
            policy, account, type(lookup) is PoliciesOf and lookup.must_grant, condition, caller.gone,
        )  # fmt: skip
        error = denial.error(call.service, denial.explain(judged, verdict))
        error.denial = denial.told(judged, verdict)
        return error

    def _resource_policy(self, call: Call, need: Need, request: Mapping[str, Any], lookup: Any) -> tuple[PolicySet | None, str | None]:
        if lookup is None:
            return None, _account_of(need.resource)
        if isinstance(lookup, PoliciesOf):
            document, account = lookup.find(need.resource)
            return (
                self._compiled(document, _NAMES.get(need.action.partition(":")[0], "the resource's policy")) if document else None
            ), account
        service = need.action.partition(":")[0]
        if service == "s3" and need.resource.startswith("arn:aws:s3:::"):
            # A copy reads from another bucket than it writes to: the policy is that of the resource at hand.
            bucket, _, key = need.resource[len("arn:aws:s3:::") :].partition("/")
            request = {**request, "Bucket": bucket, **({"Key": key} if key else {}), "Action": need.action}
        document, account = lookup(call, request)
        return (self._compiled(document, _NAMES.get(service, f"the {service} resource policy")) if document else None), account

    def _compiled(self, document: Mapping[str, Any] | str, name: str) -> PolicySet:
        """After `directory.caller`, whose look at IAM's version it shares."""
        text = document if isinstance(document, str) else orjson.dumps(dict(document)).decode()
        return compile_set(self.named.in_force(text, self.directory.seen), name)

    def remember_named(self, policy: str) -> None:
        self.named.remember(policy)

    def policy_in_force(self, policy: str) -> str:
        return self.named.in_force(policy, self.directory.version())

    def resource_policy(self, call: Call, need: Need, request: Mapping[str, Any]) -> tuple[PolicySet | None, str | None, bool]:
        """The resource's policy, whose the resource is (None: the caller's account's), and whether that policy must grant."""
        lookup = self._lookup(need)
        policy, account = self._resource_policy(call, need, request, lookup)
        return policy, account, type(lookup) is PoliciesOf and lookup.must_grant

    # --- roles for work done in their name --------------------------------------------------------------

    def session_for_role(
        self, role_arn: str, session_name: str, duration_s: float, *, service: str = "sagemaker.amazonaws.com"
    ) -> Credential:
        role = self._trusting_role(role_arn, service)
        credential = self.new_role_session(role, session_name, duration_s)
        if self.trail is not None:
            self.trail.assumed(role, credential, service)
        return credential

    def new_role_session(
        self,
        role: Record,
        session_name: str,
        duration_s: float,
        session_policies: tuple[Mapping[str, Any], ...] = (),
        tags: Mapping[str, str] | None = None,
        session: Mapping[str, Any] | None = None,
    ) -> Credential:
        """Temporary credentials of a role; whether the caller may have them was decided before. `session`: see Principal."""
        fields = {
            "kind": "role",
            "account": role.account,
            "arn": names.session_arn(role.account, role.name, session_name),
            "user_id": f"{role.spec['RoleId']}:{session_name}",
            "role_arn": role.arn,
            "session_policies": session_policies,
            "tags": dict(tags or {}),
            "session": {"issued_at": self._platform.clock.now(), **(session or {})},
        }
        return self.credentials.new_session(fields, self._platform.clock.now() + duration_s)

    def check_pass_role(self, call: Call, role_arn: str, service: str = "sagemaker.amazonaws.com") -> None:
        found = names.split_role_arn(role_arn)
        if found is not None and found[0] != call.account:
            said = "RoleArn: " if call.service == "sagemaker" else ""
            raise validation(f"{said}Cross-account pass role is not allowed. The role {role_arn} is not of account {call.account}.")
        self.require(call, "iam:PassRole", role_arn, {"iam:PassedToService": service, "iam:AssociatedResourceArn": call.about or None})
        self._trusting_role(role_arn, service)

    def role(self, role_arn: str) -> Record | None:
        """The role of this ARN, whatever its account."""
        found = names.split_role_arn(role_arn)
        record = self._platform.store.get(names.ROLE.kind, found[0], names.GLOBAL, found[1]) if found else None
        return record if record is not None and record.arn == role_arn else None

    def _trusting_role(self, role_arn: str, service: str) -> Record:
        role = self.role(role_arn)
        if role is None or not trust.admits_service(self._platform.store, role, service, self._platform.settings.region):
            raise could_not_assume(role_arn, service)
        return role


def could_not_assume(role_arn: str, service: str) -> ApiError:
    """SageMaker's text for a role that is missing or does not trust it."""
    return validation(
        f"Could not assume role {role_arn}. Please ensure that the role exists and allows principal '{service}' to assume the role."
    )


def keep_resource_policy(call: Call, need: Need, policy: PolicySet, account: str | None, lookup: Any) -> None:
    """For the audit trail: what a resource's policy said when the call was decided."""
    if call.ruled is None:
        call.ruled = []
    if len(call.ruled) < FURTHER_KEPT:
        call.ruled.append((need, policy, account, type(lookup) is PoliciesOf and lookup.must_grant))


def _given(action: str, condition: Mapping[str, Any], request: Mapping[str, Any]) -> str:
    key = denial.CONDITIONS[action]
    value = condition.get(key) or request.get(key.partition(":")[2])
    return f"{key}={value}" if value else ""


def _account_of(resource: str) -> str | None:
    parts = resource.split(":", 5)
    return parts[4] if len(parts) == 6 and parts[4].isdigit() else None
