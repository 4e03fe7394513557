"""Codes of MFA devices that come with GetSessionToken and AssumeRole. Codes run on real time, as the devices do, and each holds once."""

from __future__ import annotations

import base64
from typing import Any

from modelyard.kernel.clock import real_now
from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.iam import names, totp
from modelyard.services.iam.checks import save
from modelyard.services.iam.vault import Vault

SLACK_STEPS = 1
_FAILED = "MultiFactorAuthentication failed"


def seed_of(call: Call, device: Record) -> str:
    return Vault(call.platform.settings.secrets).open(base64.b64decode(device.spec["Seed"]), device.arn)


def sealed(call: Call, seed: str, arn: str) -> str:
    return base64.b64encode(Vault(call.platform.settings.secrets).seal(seed, arn)).decode()


def present(call: Call, request: dict[str, Any]) -> bool:
    """Whether a right code of the caller's own device came along. Raises AccessDenied for a wrong one."""
    serial, given = request.get("SerialNumber"), request.get("TokenCode")
    if not serial and not given:
        return False
    if not serial or not given:
        raise _denied(f"{_FAILED}, must provide both MFA serial number and one time pass code.")
    caller = call.principal
    devices = call.store.list(names.MFA_DEVICE.kind, caller.account, names.GLOBAL) if caller.kind == "user" else []
    device = next((d for d in devices if d.arn == serial and d.spec.get("UserId") == caller.user_id), None)
    if device is None:
        raise _denied(
            f"{_FAILED}, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user."
        )
    use(call, device, given)
    return True


def use(call: Call, device: Record, given: str) -> None:
    """Accepts a code once: the step is kept, and neither it nor an older one is taken again."""

    def change(record: Record) -> dict[str, Any]:
        step = totp.find(seed_of(call, record), given, real_now(), SLACK_STEPS, record.spec.get("LastStep", -1))
        if step is None:
            raise _denied(f"{_FAILED} with invalid MFA one time pass code. ")
        return {"LastStep": step}

    save(call, lambda: call.store.by_uid(device.uid) or device, change)


def _denied(message: str) -> ApiError:
    return ApiError("AccessDenied", message, 403)
