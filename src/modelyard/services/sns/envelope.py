"""What a subscriber gets: the JSON envelope, a confirmation, or the raw message. Source: "HTTP/HTTPS notification JSON format"."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from modelyard.kernel.records import Record

API_VERSION = "2010-03-31"


def base_url(settings: Any) -> str:
    return f"http://{settings.host}:{settings.port}"


def iso_ms(at: float) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def notification(platform: Any, topic: Mapping[str, Any], subscription: Record, message: Mapping[str, Any]) -> dict[str, Any]:
    """The members in AWS's order, signed. `topic` are the attributes of the topic."""
    envelope: dict[str, Any] = {"Type": "Notification", "MessageId": message["MessageId"]}
    if message.get("SequenceNumber"):
        envelope["SequenceNumber"] = sequence_number(message["SequenceNumber"])
    envelope["TopicArn"] = message["TopicArn"]
    if message.get("Subject"):
        envelope["Subject"] = message["Subject"]
    envelope.update(Message=message_for(message, subscription.spec["Protocol"]), Timestamp=iso_ms(message["PublishedAt"]))
    version = topic.get("SignatureVersion") or "1"
    signer, base = platform.topics.signer, base_url(platform.settings)
    envelope.update(
        SignatureVersion=version, Signature=signer.sign(envelope, version), SigningCertURL=f"{base}/_modelyard/sns/{signer.name()}"
    )
    envelope["UnsubscribeURL"] = (
        f"{base}/?{urlencode({'Action': 'Unsubscribe', 'Version': API_VERSION, 'SubscriptionArn': subscription.arn})}"
    )
    if message.get("MessageAttributes"):
        envelope["MessageAttributes"] = {
            name: {"Type": value["DataType"], "Value": value.get("StringValue", value.get("BinaryValue"))}
            for name, value in message["MessageAttributes"].items()
        }
    return envelope


def confirmation(platform: Any, topic: Mapping[str, Any], subscription: Record, message: Mapping[str, Any]) -> dict[str, Any]:
    """SubscriptionConfirmation, or UnsubscribeConfirmation, by the message's Type."""
    base, arn, token = base_url(platform.settings), message["TopicArn"], subscription.spec["Token"]
    query = urlencode({"Action": "ConfirmSubscription", "Version": API_VERSION, "TopicArn": arn, "Token": token})
    version = topic.get("SignatureVersion") or "1"
    envelope: dict[str, Any] = {
        "Type": message["Type"],
        "MessageId": message["MessageId"],
        "Token": token,
        "TopicArn": arn,
        "Message": f"You have chosen to subscribe to the topic {arn}.\nTo confirm the subscription, visit the SubscribeURL included in this message.",
        "SubscribeURL": f"{base}/?{query}",
        "Timestamp": iso_ms(message["PublishedAt"]),
        "SignatureVersion": version,
    }
    signer = platform.topics.signer
    return {**envelope, "Signature": signer.sign(envelope, version), "SigningCertURL": f"{base}/_modelyard/sns/{signer.name()}"}


def message_for(message: Mapping[str, Any], protocol: str) -> str:
    """With MessageStructure json each protocol has its own text, or the default one."""
    if message.get("MessageStructure") == "json":
        texts = json.loads(message["Message"])
        return texts.get(protocol, texts["default"])
    return message["Message"]


def as_text(envelope: Mapping[str, Any]) -> str:
    """As AWS writes it: two spaces, and one around the colons."""
    return json.dumps(envelope, indent=2, separators=(",", " : "), ensure_ascii=False)


def lambda_event(envelope: Mapping[str, Any], subscription: Record) -> str:
    """What a function is invoked with."""
    told = {"SigningCertUrl": envelope["SigningCertURL"], "UnsubscribeUrl": envelope["UnsubscribeURL"]}
    inner = {name: value for name, value in envelope.items() if name not in ("SigningCertURL", "UnsubscribeURL")}
    sns = {"Subject": None, "MessageAttributes": {}, **inner, **told}
    record = {"EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": subscription.arn, "Sns": sns}
    return json.dumps({"Records": [record]}, ensure_ascii=False)


def sequence_number(seq: int) -> str:
    return f"{10_000_000_000_000_000_000 + seq * 1000:020d}"
