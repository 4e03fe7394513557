"""Operations on aliases. Source: "Aliases in AWS KMS" of the KMS developer guide."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import ApiError, validation
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.kms import api
from modelyard.services.kms.access import find_key, is_alias, the_key
from modelyard.services.kms.aliases import ALIAS, alias_arn, aliases_of
from modelyard.services.kms.keyring import check_state
from modelyard.services.kms.paging import page
from modelyard.services.kms.policy import check_customer

MOST = 50


@api.operation
def create_alias(call, request):
    name = _checked(request["AliasName"])
    arn = alias_arn(call.account, call.region, name)
    call.authorize("kms:CreateAlias", arn)
    key = _target(call, request)
    if len(aliases_of(call.store, key)) >= MOST:
        raise api.error.LimitExceededException(f"A key may have at most {MOST} aliases.")
    try:
        call.store.create(ALIAS, account=call.account, region=call.region, name=name, arn=arn, spec={"TargetKeyId": key.name})
    except Taken:
        raise api.error.AlreadyExistsException(f"An alias with the name {arn} already exists") from None
    return {}


@api.operation
def update_alias(call, request):
    name = _checked(request["AliasName"])
    call.authorize("kms:UpdateAlias", alias_arn(call.account, call.region, name))
    alias = _alias(call, name)
    old = call.store.get("kms-key", call.account, call.region, alias.spec["TargetKeyId"])
    if old is not None:
        the_key(call, old.name, request, own=True)
    new = _target(call, request)
    if old is not None and (old.spec["KeyUsage"], _kind(old)) != (new.spec["KeyUsage"], _kind(new)):
        raise validation(f"Alias {alias.arn} cannot be moved to a key of another type or usage.")
    while True:
        try:
            call.store.request(alias, {"TargetKeyId": new.name}, due=False)
            return {}
        except Moved:
            alias = _alias(call, name)


@api.operation
def delete_alias(call, request):
    name = _checked(request["AliasName"])
    call.authorize("kms:DeleteAlias", alias_arn(call.account, call.region, name))
    alias = _alias(call, name)
    key = call.store.get("kms-key", call.account, call.region, alias.spec["TargetKeyId"])
    if key is not None:
        the_key(call, key.name, request, own=True)
    try:
        call.store.delete(alias)
    except Moved:
        raise _none(alias.arn) from None
    return {}


@api.operation
def list_aliases(call, request):
    if request.get("KeyId"):
        found = aliases_of(call.store, find_key(call.store, call.account, call.region, request["KeyId"]))
    else:
        found = call.store.list(ALIAS.kind, call.account, call.region, order_by="name")
    shown, more = page(found, request, lambda alias: alias.name)
    told = [
        {
            "AliasName": alias.name,
            "AliasArn": alias.arn,
            "TargetKeyId": alias.spec["TargetKeyId"],
            "CreationDate": alias.created_at,
            "LastUpdatedDate": alias.updated_at,
        }
        for alias in shown
    ]
    return {"Aliases": told, **more}


# --- helpers -------------------------------------------------------------------------------------


def _checked(name: str) -> str:
    if not name.startswith("alias/") or name == "alias/":
        raise validation(
            'Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html'
        )
    if name.startswith("alias/aws/"):
        raise ApiError("NotAuthorizedException", f"{name}: names that begin with alias/aws/ are AWS's.", 400)
    if ":" in name:
        raise validation(f"{name} contains invalid characters for an alias")
    return name


def _target(call: Any, request: Any) -> Record:
    if is_alias(request["TargetKeyId"]):
        raise validation("Aliases must refer to keys. Not aliases")
    key = the_key(call, request["TargetKeyId"], request, own=True)
    check_customer(key)
    check_state(key, call.now(), "Enabled", "Disabled", "PendingImport")
    return key


def _kind(key: Record) -> bool:
    return key.spec["KeySpec"] == "SYMMETRIC_DEFAULT"


def _alias(call: Any, name: str) -> Record:
    alias = call.store.get(ALIAS.kind, call.account, call.region, name)
    if alias is None:
        raise _none(alias_arn(call.account, call.region, name))
    return alias


def _none(arn: str) -> Exception:
    return api.error.NotFoundException(f"Alias {arn} is not found.")
