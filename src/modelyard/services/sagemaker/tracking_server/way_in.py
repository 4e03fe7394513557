"""The two ways to a tracking server: signed requests (the sagemaker-mlflow plug-in of MLflow), and presigned URLs.

A signed request names the server in a header and needs the permission `sagemaker-mlflow:<API>` on it. A presigned URL carries a token in
its path: a browser opens it as the user interface, and `mlflow.set_tracking_uri` takes it as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import secrets
from typing import Any

from modelyard.kernel.errors import ApiError, validation
from modelyard.kernel.records import Record
from modelyard.kernel.service import RawRequest, RawResponse
from modelyard.kernel.store import Moved
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.tracking_server import box
from modelyard.services.sagemaker.tracking_server.actions import action_of
from modelyard.services.sagemaker.tracking_server.lifecycle import ACTIVE, LIFECYCLE, SESSION, status_of
from modelyard.services.sagemaker.tracking_server.operations import the_server

HEADER = "x-mlflow-sm-tracking-server-arn"
ANSWER_SECONDS = 120.0
FIRST_USE_SECONDS, SESSION_SECONDS = 300, 43_200
UID = 24
"""Of the token's hash so much names the session's record: one look finds it."""
NOT_PASSED_ON = {
    "host", "connection", "keep-alive", "transfer-encoding", "content-length", "authorization", "x-amz-security-token", "x-amz-date",
    "x-amz-content-sha256", "accept-encoding", "te", "upgrade", "proxy-authorization", HEADER,
}  # fmt: skip
NOT_PASSED_BACK = {"connection", "keep-alive", "transfer-encoding", "content-length", "server", "date"}


@api.operation
def create_presigned_mlflow_tracking_server_url(call, request):
    server = the_server(call, request["TrackingServerName"])
    if status_of(server) not in ACTIVE:
        raise validation(f"Tracking Server '{server.arn}' is {status_of(server)}: a URL can be made once it is active.")
    now, token = call.now(), secrets.token_urlsafe(32)
    for old in call.store.children(server.uid, SESSION.kind):
        if _is_over(old, now):
            _forget(call.store, old)
    spec = {
        "first_use_until": now + request.get("ExpiresInSeconds", FIRST_USE_SECONDS),
        "session_s": request.get("SessionExpirationDurationInSeconds", SESSION_SECONDS),
        "principal": call.principal.arn,
    }
    name = _hashed(token)
    arn = f"{server.arn}/session/{name[:16]}"
    call.store.create(
        SESSION, account=server.account, region=server.region, name=name, arn=arn, spec=spec, owner=server.uid, uid=name[:UID]
    )
    scheme = "https" if call.secure else "http"
    return {"AuthorizedUrl": f"{scheme}://{call.host or '127.0.0.1'}/_modelyard/mlflow/auth/{token}/"}


@api.door("sagemaker-mlflow")
def signed(call: Any, request: RawRequest) -> RawResponse:
    arn = request.header(HEADER)
    if not arn:
        raise validation(f"The header {HEADER} is missing: it names the tracking server.")
    call.authorize(f"sagemaker-mlflow:{action_of(request.method, request.path)}", arn)
    front, slash, name = arn.partition("/")
    server = call.store.by_arn(front + slash + name.lower())
    if server is None or server.kind != LIFECYCLE.kind:
        raise ApiError("ResourceNotFound", f"Tracking Server '{arn}' does not exist.", 404)
    return _passed_on(call.platform, server, request, request.path)


@api.raw_page("mlflow")
def presigned(platform: Any, request: RawRequest) -> RawResponse:
    """`/auth/<token>/…` of a presigned URL; anything else needs a signature."""
    _, first, token, *rest = [*request.path.split("/", 3), "", "", ""][:4]
    if first != "auth" or not token:
        raise ApiError(
            "AccessDenied",
            "This address needs a signature: use CreatePresignedMlflowTrackingServerUrl, or the server's ARN as tracking URI with the "
            "sagemaker-mlflow plug-in.",
            403,
        )
    server = _of_session(platform, token)
    if not rest[0] and not request.path.endswith("/"):
        return RawResponse(307, [("location", f"{token}/")], b"")  # pages name what they load relative to it
    return _passed_on(platform, server, request, "/" + rest[0])


def _of_session(platform: Any, token: str) -> Record:
    now = platform.clock.now()
    name = _hashed(token)
    session = platform.store.by_uid(name[:UID])
    if session is None or session.kind != SESSION.kind or session.name != name or _is_over(session, now):
        raise ApiError(
            "AccessDenied", "The URL has expired, or never was: make another one with CreatePresignedMlflowTrackingServerUrl.", 403
        )
    if "used_at" not in session.spec:
        with contextlib.suppress(Moved):  # another request of the same page was first
            platform.store.request(session, {"used_at": now}, due=False)
    server = platform.store.by_uid(session.owner)
    if server is None:
        raise ApiError("ResourceNotFound", "The tracking server is gone.", 404)
    return server


def _is_over(session: Record, now: float) -> bool:
    """Not used in time, or used for as long as a session lasts."""
    used = session.spec.get("used_at")
    return now > (session.spec["first_use_until"] if used is None else used + session.spec["session_s"])


def _forget(store: Any, session: Record) -> None:
    with contextlib.suppress(Moved):  # it is used this moment; the next call comes by again
        store.delete(session)


def _passed_on(platform: Any, server: Record, request: RawRequest, path: str) -> RawResponse:
    if status_of(server) not in ACTIVE:
        raise ApiError("ServiceUnavailable", f"Tracking Server '{server.arn}' is {status_of(server)}.", 503)
    headers = {name: value for name, value in request.headers if name not in NOT_PASSED_ON}
    target = path + (f"?{request.query}" if request.query else "")
    socket = box.socket_path(platform.settings, box.run_id(server))
    try:
        status, said, body = box.ask(socket, request.method, target, headers, request.body, ANSWER_SECONDS)
    except (OSError, http.client.HTTPException) as problem:
        raise ApiError("ServiceUnavailable", f"The tracking server does not answer ({problem}); it is started again.", 503) from None
    return RawResponse(status, [(name.lower(), value) for name, value in said if name.lower() not in NOT_PASSED_BACK], body)


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
