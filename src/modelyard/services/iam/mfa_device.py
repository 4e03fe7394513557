"""Virtual MFA devices: real seeds, real codes. A device belongs to nobody until two codes in a row prove that somebody has it."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.clock import real_now
from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.kernel.store import Taken
from modelyard.services.iam import api, mfa_codes, names, qr, totp
from modelyard.services.iam.checks import list_tags, new_tags, save, tag, tag_list, untag
from modelyard.services.iam.pages import page
from modelyard.services.iam.user import describe_whole as describe_user
from modelyard.services.iam.user import find_user, is_root_itself, own_name

MAX_DEVICES = 8
RESYNC_STEPS = 120  # how far a device's clock may be off


def _all(call: Call) -> list[Record]:
    return sorted(call.store.list(names.MFA_DEVICE.kind, call.account, names.GLOBAL), key=lambda device: device.arn)


def devices_of(call: Call, user: Record) -> list[Record]:
    return [device for device in _all(call) if device.spec.get("UserId") == user.spec["UserId"]]


def _find(call: Call, serial: str) -> Record:
    record = call.store.get(names.MFA_DEVICE.kind, call.account, names.GLOBAL, serial.rpartition(":mfa")[2])
    if record is None or record.arn != serial:
        raise api.error.NoSuchEntityException(f"VirtualMFADevice with serial number {serial} doesn't exist.")
    return record


def _find_of(call: Call, user: Record, serial: str) -> Record:
    device = next((device for device in devices_of(call, user) if device.arn == serial), None)
    if device is None:
        raise api.error.NoSuchEntityException(f"MFA Device {serial} for user {user.name} does not exist.")
    return device


@api.operation
def create_virtual_mfa_device(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """The seed is answered this once; the store has it sealed."""
    name, path = request["VirtualMFADeviceName"], request.get("Path", "/")
    if not path.startswith("/") or not path.endswith("/"):
        raise ApiError(
            "ValidationError",
            "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.",
            400,
        )
    arn, seed = names.arn(call.account, "mfa", path, name), totp.new_seed()
    try:
        record = call.store.create(
            names.MFA_DEVICE,
            account=call.account,
            region=names.GLOBAL,
            name=path + name,
            arn=arn,
            spec={"Path": path, "Seed": mfa_codes.sealed(call, seed, arn)},
            tags=new_tags(request),
        )
    except Taken:
        raise api.error.EntityAlreadyExistsException("MFADevice entity at the same path and name already exists.")
    tags = tag_list(call, record)
    picture = qr.png(totp.uri(seed, f"{name}@{call.account}"))
    device = {"SerialNumber": arn, "Base32StringSeed": seed.encode(), "QRCodePNG": picture, **({"Tags": tags} if tags else {})}
    return {"VirtualMFADevice": device}


@api.operation
def enable_mfa_device(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    user = find_user(call, request["UserName"])
    if len(devices_of(call, user)) >= MAX_DEVICES:
        raise api.error.LimitExceededException(f"Cannot exceed quota for MFADevicesPerUser: {MAX_DEVICES}")

    def change(device: Record) -> dict[str, Any]:
        if device.spec.get("UserId"):
            raise api.error.EntityAlreadyExistsException("MFA Device is already in use.")
        step = _two_codes(call, device, request, mfa_codes.SLACK_STEPS + 1)
        return {"UserId": user.spec["UserId"], "UserName": user.name, "EnableDate": call.now(), "LastStep": step}

    save(call, lambda: _find(call, request["SerialNumber"]), change)
    return {}


@api.operation
def resync_mfa_device(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    user = find_user(call, request["UserName"])

    def change(device: Record) -> dict[str, Any]:
        return {"LastStep": _two_codes(call, device, request, RESYNC_STEPS)}

    save(call, lambda: _find_of(call, user, request["SerialNumber"]), change)
    return {}


def _two_codes(call: Call, device: Record, request: dict[str, Any], slack: int) -> int:
    """The step of the second of two codes in a row."""
    seed, first, second = mfa_codes.seed_of(call, device), request["AuthenticationCode1"], request["AuthenticationCode2"]
    now = real_now()
    middle = totp.step_at(now)
    for step in range(middle - slack - 1, middle + slack + 1):
        if totp.code(seed, step) == first and totp.code(seed, step + 1) == second:
            return step + 1
    raise api.error.InvalidAuthenticationCodeException(
        f"Authentication codes for device {device.arn} are not valid: two codes in a row are asked for."
    )


@api.operation
def deactivate_mfa_device(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    user = find_user(call, own_name(call, request))
    nobody = {"UserId": None, "UserName": None, "EnableDate": None}
    save(call, lambda: _find_of(call, user, request["SerialNumber"]), lambda device: nobody)
    return {}


@api.operation
def delete_virtual_mfa_device(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    device = _find(call, request["SerialNumber"])
    if device.spec.get("UserId"):
        raise api.error.DeleteConflictException("MFA VirtualDevice in use. Must deactivate first.")
    call.store.delete(device)
    return {}


@api.operation
def list_mfa_devices(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    if is_root_itself(call, request):
        return {"MFADevices": [], "IsTruncated": False}
    user = find_user(call, own_name(call, request))
    shown, more = page(devices_of(call, user), request, lambda device: device.arn)
    rows = [{"UserName": user.name, "SerialNumber": d.arn, "EnableDate": d.spec["EnableDate"]} for d in shown]
    return {"MFADevices": rows, **more}


@api.operation
def get_mfa_device(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    user = find_user(call, own_name(call, request))
    device = _find_of(call, user, request["SerialNumber"])
    return {"UserName": user.name, "SerialNumber": device.arn, "EnableDate": device.spec["EnableDate"]}


@api.operation
def list_virtual_mfa_devices(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    wanted = request.get("AssignmentStatus", "Any")
    found = [d for d in _all(call) if wanted == "Any" or (wanted == "Assigned") == ("UserId" in d.spec)]
    shown, more = page(found, request, lambda device: device.arn)
    return {"VirtualMFADevices": [_describe(call, device) for device in shown], **more}


def _describe(call: Call, device: Record) -> dict[str, Any]:
    found: dict[str, Any] = {"SerialNumber": device.arn}
    user = call.store.get(names.USER.kind, call.account, names.GLOBAL, device.spec.get("UserName", ""))
    if user is not None:
        whole = describe_user(call, user)
        found |= {
            "User": {key: whole[key] for key in ("Path", "UserName", "UserId", "Arn", "CreateDate")},
            "EnableDate": device.spec["EnableDate"],
        }
    return found


# --- tags --------------------------------------------------------------------------------------------


@api.operation
def tag_mfa_device(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return tag(call, lambda: _find(call, request["SerialNumber"]), request)


@api.operation
def untag_mfa_device(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return untag(call, lambda: _find(call, request["SerialNumber"]), request)


@api.operation
def list_mfa_device_tags(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return list_tags(call, _find(call, request["SerialNumber"]), request)
