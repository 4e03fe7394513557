"""Names of parameters: what they may be, and what a request may say in their place. Source: PutParameter in the SSM API reference."""

from __future__ import annotations

import re
from typing import Any

from modelyard.kernel.errors import ApiError, validation
from modelyard.services.ssm import api

DEEPEST, LONGEST = 15, 1011
_NAME = re.compile(r"[A-Za-z0-9_.\-/]+\Z")
_RULE = "If formed as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 symbols .-_"


def check_name(name: str, region: str, account: str) -> None:
    """Raises what PutParameter says of a name that a parameter cannot have."""
    first = name.strip("/").partition("/")[0].lower()
    is_path = name.count("/") > 1
    if is_path and name.lower().startswith("/aws"):
        raise ApiError("AccessDeniedException", f"No access to reserved parameter name: {name}.", 400)
    if first.startswith(("aws", "ssm")):
        if not is_path:
            raise validation('Parameter name: can\'t be prefixed with "aws" or "ssm" (case-insensitive).')
        raise validation(f'Parameter name: can\'t be prefixed with "ssm" (case-insensitive). {_RULE}')
    if not _NAME.match(name):
        raise validation(f"Invalid parameter name. Please use correct syntax for referencing a version/label or a name. {_RULE}")
    if "/" in name and not name.startswith("/"):
        raise validation("Parameter name must be a fully qualified name.")
    if name.endswith("/") or "//" in name:
        raise validation(f"Parameter name: can't end with a slash or have an empty sub-path. {_RULE}")
    if name.startswith("/") and name.count("/") > DEEPEST:
        raise api.error.HierarchyLevelLimitExceededException(
            f"A hierarchy can have a maximum of {DEEPEST} levels: the parameter name {name} has {name.count('/')}."
        )
    if len(arn_of(name, region, account)) > LONGEST + len("arn:aws:ssm:us-east-1:123456789012:parameter/"):
        raise validation(f"Parameter name is too long: its ARN may have at most {LONGEST} characters after the prefix.")


def arn_of(name: str, region: str, account: str) -> str:
    return f"arn:aws:ssm:{region}:{account}:parameter/{name.removeprefix('/')}"


def split_name(call: Any, given: str) -> tuple[list[str], str]:
    """(names that are meant, selector with its colon or "") of a name, `name:version`, `name:label`, or an ARN of this account.
    Raises ValidationException for what no parameter can be called."""
    name, selector = given, ""
    if given.startswith("arn:"):
        pieces = given.split(":", 6)
        name = pieces[5].removeprefix("parameter") if len(pieces) > 5 and pieces[5].startswith("parameter/") else ""
        if not name or pieces[2] != "ssm" or pieces[3] != call.region or pieces[4] not in ("", call.account):
            return [], ""
        selector = f":{pieces[6]}" if len(pieces) > 6 else ""
        return [name, name[1:]], selector
    if ":" in given:
        name, _, rest = given.partition(":")
        selector = f":{rest}"
    if ":" in selector[1:]:
        return [], ""
    if not name or selector == ":":
        raise validation(
            f"Invalid parameter name. Please use correct syntax for referencing a version/label, such as name:version or name:label: {given}"
        )
    if "//" in name or ("/" in name and not name.startswith("/")):
        raise validation(f'Parameter name: can\'t be prefixed with "ssm" (case-insensitive). {_RULE}')
    return [name, *([name[1:]] if name.rfind("/") == 0 else [f"/{name}"] if "/" not in name else [])], selector
