"""Passwords of users. There is no console to sign in to; the password is kept as a hash, and held to the account's policy."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.iam import account, api, passwords
from modelyard.services.iam.checks import save
from modelyard.services.iam.user import find_user, own_name

KEPT_FORMER = 24  # PasswordReusePrevention's most


def _login(user: Record) -> dict[str, Any]:
    found = user.spec.get("Login")
    if found is None:
        raise api.error.NoSuchEntityException(f"Login Profile for User {user.name} cannot be found.")
    return found


def _describe(user: Record) -> dict[str, Any]:
    login = _login(user)
    return {"UserName": user.name, "CreateDate": login["CreateDate"], "PasswordResetRequired": login["PasswordResetRequired"]}


def _with_password(call: Call, user: Record, login: dict[str, Any], password: str) -> dict[str, Any]:
    """The login with a new password. Raises PasswordPolicyViolation."""
    former = [*login.get("Former", []), *([login["Password"]] if "Password" in login else [])][-KEPT_FORMER:]
    lack = passwords.lacking(password, account.password_policy(call), user.name, former)
    if lack:
        raise api.error.PasswordPolicyViolationException(lack)
    return {**login, "Password": passwords.hashed(password), "Former": former, "Changed": call.now()}


@api.operation
def create_login_profile(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    name = own_name(call, request)
    if not request.get("Password"):
        raise ApiError("ValidationError", "Password is required.", 400)

    def change(user: Record) -> dict[str, Any]:
        if user.spec.get("Login"):
            raise api.error.EntityAlreadyExistsException(f"Login Profile for user {user.name} already exists.")
        login = {"CreateDate": call.now(), "PasswordResetRequired": bool(request.get("PasswordResetRequired"))}
        return {"Login": _with_password(call, user, login, request["Password"])}

    return {"LoginProfile": _describe(save(call, lambda: find_user(call, name), change))}


@api.operation
def get_login_profile(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return {"LoginProfile": _describe(find_user(call, own_name(call, request)))}


@api.operation
def update_login_profile(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    def change(user: Record) -> dict[str, Any]:
        login = dict(_login(user))
        if request.get("Password"):
            login = _with_password(call, user, login, request["Password"])
        if request.get("PasswordResetRequired") is not None:
            login["PasswordResetRequired"] = request["PasswordResetRequired"]
        return {"Login": login}

    save(call, lambda: find_user(call, request["UserName"]), change)
    return {}


@api.operation
def delete_login_profile(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    def change(user: Record) -> dict[str, Any]:
        _login(user)
        return {"Login": None}

    save(call, lambda: find_user(call, own_name(call, request)), change)
    return {}


@api.operation
def change_password(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """The calling user's own. The account's password policy may let every user do it (AllowUsersToChangePassword)."""
    if call.principal.kind != "user":
        raise api.error.InvalidUserTypeException("Only IAM Users can change their own password")
    if not (account.password_policy(call) or {}).get("AllowUsersToChangePassword"):
        call.authorize("iam:ChangePassword", call.principal.arn)

    def change(user: Record) -> dict[str, Any]:
        login = _login(user)
        if not passwords.same(request["OldPassword"], login["Password"]):
            raise ApiError("AccessDenied", "The old password was incorrect.", 403)
        return {"Login": {**_with_password(call, user, login, request["NewPassword"]), "PasswordResetRequired": False}}

    save(call, lambda: find_user(call, call.principal.arn.rsplit("/", 1)[-1]), change)
    return {}
