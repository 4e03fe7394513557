"""A real botocore client whose HTTP is a function: requests and answers pass the wire code, no socket is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import botocore.session
from botocore.awsrequest import AWSResponse
from botocore.config import Config

from modelyard.kernel.service import BytesBody
from modelyard.wire.http import HttpRequest, HttpResponse

Handler = Callable[[HttpRequest, bytes], HttpResponse]
_session = botocore.session.get_session()
_session.set_credentials("AKIDEXAMPLE", "secret")


def client(service: str, handler: Handler, *, signed: bool = True, endpoint: str = "http://127.0.0.1:4566", **config: Any):
    """A client of `service`; each request it would send goes to `handler`. Unsigned clients are quicker: they put the
    service's scope in by themselves."""
    settings = {"parameter_validation": False, "retries": {"total_max_attempts": 1}, "s3": {"addressing_style": "path"}, **config}
    if not signed:
        settings["signature_version"] = botocore.UNSIGNED
    made = _session.create_client(service, "us-east-1", endpoint_url=endpoint, config=Config(**settings))
    signing = made.meta.service_model.signing_name

    def send(request: Any, **_: Any) -> AWSResponse:
        asked = to_request(request, None if signed else signing)
        body = asked.body.read(1 << 30)
        asked.body = BytesBody(body)
        return to_botocore(request.url, handler(asked, body))

    made.meta.events.register_first("before-send.*.*", send)
    return made


def to_request(prepared: Any, signing: str | None) -> HttpRequest:
    """The HTTP request that botocore would have put on the wire."""
    url = urlsplit(prepared.url)
    headers = [(k.lower(), v.decode("latin-1") if isinstance(v, bytes) else str(v)) for k, v in prepared.headers.items()]
    if not any(name == "host" for name, _ in headers):
        headers.append(("host", url.netloc))
    if signing is not None:
        scope = f"AKID/20260101/us-east-1/{signing}/aws4_request"
        headers.append(("authorization", f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"))
    return HttpRequest(prepared.method, url.path, url.query, headers, BytesBody(body_bytes(prepared.body)))


def body_bytes(body: Any) -> bytes:
    if body is None:
        return b""
    if isinstance(body, (bytes, bytearray)):
        return bytes(body)
    return body.encode() if isinstance(body, str) else body.read()


class _Raw:
    """What botocore reads a body from."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def read(self, amount: int | None = None, **_: Any) -> bytes:
        end = len(self._data) if amount is None else self._at + amount
        piece, self._at = self._data[self._at : end], min(end, len(self._data))
        return piece

    def stream(self, amount: int = 1 << 16, **_: Any):
        while piece := self.read(amount):
            yield piece

    def close(self) -> None: ...


def to_botocore(url: str, answer: HttpResponse) -> AWSResponse:
    body = answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)
    headers = joined(answer.headers)
    headers.setdefault("content-length", str(len(body)))
    return AWSResponse(url, answer.status, headers, _Raw(body))


def joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Headers as a client folds them: repeated ones comma-joined."""
    headers: dict[str, str] = {}
    for name, value in pairs:
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def without_metadata(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}
