"""GetSessionToken: temporary credentials of the calling user (or root) itself, with MFA where a code comes along."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.service import Call
from modelyard.services.iam import mfa_codes
from modelyard.services.iam.keys import TEMPORARY
from modelyard.services.sts import api
from modelyard.services.sts.session import credentials_field

DEFAULT_S = {"root": 3600, "user": 43_200}


@api.operation
def get_session_token(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    kind = call.principal.kind
    if kind not in DEFAULT_S or call.principal.access_key.startswith(TEMPORARY):
        raise ApiError("AccessDenied", "Cannot call GetSessionToken with session credentials", 403)
    seconds = request.get("DurationSeconds", DEFAULT_S[kind])
    if kind == "root":
        seconds = min(seconds, DEFAULT_S[kind])
    session = {"issued_at": call.now(), **({"mfa_at": call.now()} if mfa_codes.present(call, request) else {})}
    fields = {key: value for key, value in asdict(call.principal).items() if key != "access_key"}
    credential = call.platform.identity.credentials.new_session({**fields, "session": session}, call.now() + seconds)
    return {"Credentials": credentials_field(credential)}
