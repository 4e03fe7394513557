"""What a caller sends to an endpoint, and what of it is the same for every call that says the same."""

from __future__ import annotations

from dataclasses import dataclass, replace

from modelyard.serving import sessions
from modelyard.serving.outcome import NOTHING, Wants
from modelyard.serving.routes import endpoint_arn


@dataclass(slots=True)
class Sent:
    """`head`: header lines, each ended by CRLF; what comes after `streaming` is in them and goes into captured data."""

    account: str
    region: str
    endpoint: str
    head: bytes
    body: bytes
    target: str | None
    streaming: bool
    content_type: str
    inference_id: str | None
    attributes: str | None
    wants: Wants = NOTHING

    def carrying(self, body: bytes) -> Sent:
        return replace(self, body=body)


class Ready:
    """A call but for its body. `plain`: it asks for nothing that a coroutine must see to. `start` is all of the request to a
    model server before the number of Content-Length."""

    __slots__ = ("key", "plain", "sent", "start")

    def __init__(self, sent: Sent) -> None:
        self.sent, self.key = sent, endpoint_arn(sent.account, sent.region, sent.endpoint)
        self.plain = sent.wants is NOTHING and sessions.HEADER not in sent.head
        self.start = start(sent.head)


def start(head: bytes) -> bytes:
    return b"POST /invocations HTTP/1.1\r\nHost: localhost:8080\r\n%bContent-Length: " % head
