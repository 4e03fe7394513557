"""What an account has once: its alias, its password policy, its preference of session tokens. Kept in the account's record."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.iam import api, names
from modelyard.services.iam.checks import save
from modelyard.services.iam.pages import page

# What UpdateAccountPasswordPolicy sets where the request says nothing (API reference).
_DEFAULTS: dict[str, Any] = {
    "MinimumPasswordLength": 6,
    "RequireSymbols": False,
    "RequireNumbers": False,
    "RequireUppercaseCharacters": False,
    "RequireLowercaseCharacters": False,
    "AllowUsersToChangePassword": False,
}


def of(call: Call) -> Record:
    record = call.store.get(names.ACCOUNT.kind, call.account, names.GLOBAL, call.account)
    if record is None:
        raise api.error.NoSuchEntityException(f"The account {call.account} cannot be found.")
    return record


def password_policy(call: Call) -> dict[str, Any] | None:
    record = call.store.get(names.ACCOUNT.kind, call.account, names.GLOBAL, call.account)
    return record.spec.get("PasswordPolicy") if record is not None else None


@api.operation
def create_account_alias(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """One alias per account: a new one takes the place of the old. Aliases are unique over all accounts."""
    alias = request["AccountAlias"]
    for other in call.store.list(names.ACCOUNT.kind):
        if other.spec.get("Alias") == alias and other.name != call.account:
            raise api.error.EntityAlreadyExistsException(f"The account alias {alias} already exists.")
    save(call, lambda: of(call), lambda record: {"Alias": alias})
    return {}


@api.operation
def delete_account_alias(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    def change(record: Record) -> dict[str, Any]:
        if record.spec.get("Alias") != request["AccountAlias"]:
            raise api.error.NoSuchEntityException(f"The account alias {request['AccountAlias']} does not exist.")
        return {"Alias": None}

    save(call, lambda: of(call), change)
    return {}


@api.operation
def list_account_aliases(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    alias = of(call).spec.get("Alias")
    shown, more = page([alias] if alias else [], request, lambda one: one)
    return {"AccountAliases": shown, **more}


@api.operation
def update_account_password_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """Sets the whole policy: what the request leaves out goes back to its default."""
    policy = {**_DEFAULTS, **{key: value for key, value in request.items() if value is not None}}
    policy["ExpirePasswords"] = bool(request.get("MaxPasswordAge"))
    save(call, lambda: of(call), lambda record: {"PasswordPolicy": policy})
    return {}


@api.operation
def get_account_password_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    policy = password_policy(call)
    if policy is None:
        raise api.error.NoSuchEntityException(f"The Password Policy with domain name {call.account} cannot be found.")
    return {"PasswordPolicy": policy}


@api.operation
def delete_account_password_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    def change(record: Record) -> dict[str, Any]:
        if "PasswordPolicy" not in record.spec:
            raise api.error.NoSuchEntityException("The account policy with name PasswordPolicy cannot be found.")
        return {"PasswordPolicy": None}

    save(call, lambda: of(call), change)
    return {}


@api.operation
def set_security_token_service_preferences(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """Recorded, and told by GetAccountSummary: the tokens of this platform are one kind."""
    version = 2 if request["GlobalEndpointTokenVersion"] == "v2Token" else 1
    save(call, lambda: of(call), lambda record: {"TokenVersion": version})
    return {}
