"""Subscriptions: subscribe, confirm, attributes, list, unsubscribe."""

from __future__ import annotations

import json
import re
import secrets
import uuid
from typing import Any
from urllib.parse import urlsplit

from modelyard.kernel.errors import ApiError
from modelyard.kernel.lifecycle import static
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved
from modelyard.services.sns import api
from modelyard.services.sns.errors import invalid, no_subscription
from modelyard.services.sns.filter_check import checked_policy
from modelyard.services.sns.outbox import Publication
from modelyard.services.sns.retries import check_delivery_policy, effective
from modelyard.services.sns.topic import find_topic, is_fifo, the_topic

SUBSCRIPTION = static("sns-subscription")
PAGE, TOKEN_S = 100, 2 * 86400.0
PENDING = "pending confirmation"
OF_HTTP, OF_MAIL = ("http", "https"), ("email", "email-json")
ATTRIBUTES = ("DeliveryPolicy", "FilterPolicy", "FilterPolicyScope", "RawMessageDelivery", "RedrivePolicy")


@api.operation
def subscribe(call, request):
    """A queue of the caller's own account is confirmed at once; http(s) endpoints get a confirmation to answer, and so do queues of
    others. Mail is recorded and stays pending: nothing here sends any. A function stays pending as long as there is no Lambda here."""
    topic, protocol, endpoint = the_topic(call, request["TopicArn"]), request["Protocol"], request.get("Endpoint") or ""
    check_endpoint(call, topic, protocol, endpoint)
    attributes: dict[str, str] = {}
    for name, value in sorted((request.get("Attributes") or {}).items(), reverse=True):  # the scope is known before its policy
        attributes.update(
            _checked(call, protocol, name, value, attributes.get("FilterPolicyScope", "MessageAttributes"), "Attributes Reason: ")
        )
    have = next((s for s in call.store.children(topic.uid) if (s.spec["Protocol"], s.spec["Endpoint"]) == (protocol, endpoint)), None)
    if have is not None and {k: v for k, v in have.spec["Attributes"].items() if v} != attributes and request.get("Attributes"):
        raise invalid("Attributes Reason: Subscription already exists with different attributes")
    if have is None:
        name = str(uuid.uuid4())
        have = call.store.create(
            SUBSCRIPTION,
            account=call.account,
            region=topic.region,
            name=name,
            arn=f"{topic.arn}:{name}",
            owner=topic.uid,
            spec={
                "TopicArn": topic.arn,
                "Protocol": protocol,
                "Endpoint": endpoint,
                "Attributes": attributes,
                "Confirmed": _is_confirmed(call, protocol, endpoint),
                "Token": secrets.token_hex(64),
                "TokenAt": call.now(),
                "Authenticated": True,
            },
        )
    if not have.spec["Confirmed"] and protocol in (*OF_HTTP, "sqs"):
        body = {"Type": "SubscriptionConfirmation", "MessageId": str(uuid.uuid4()), "TopicArn": topic.arn, "PublishedAt": call.now()}
        call.platform.topics.outbox.publish([Publication(body["MessageId"], topic.uid, body, (have.uid,))])
        call.platform.ring("sns")
    told = have.spec["Confirmed"] or request.get("ReturnSubscriptionArn")
    return {"SubscriptionArn": have.arn if told else PENDING}


@api.operation
def confirm_subscription(call, request):
    topic = the_topic(call, request["TopicArn"])
    for subscription in call.store.children(topic.uid):
        if secrets.compare_digest(subscription.spec["Token"], request["Token"]):
            break
    else:
        raise invalid("Token")
    if not subscription.spec["Confirmed"]:
        if call.now() - subscription.spec["TokenAt"] > TOKEN_S:
            raise invalid("Token Reason: the token has expired; subscribe again")
        authenticated = str(request.get("AuthenticateOnUnsubscribe", "false")).lower() == "true" and call.principal.kind != "anonymous"
        _change(call, subscription, {"Confirmed": True, "Authenticated": authenticated})
    return {"SubscriptionArn": subscription.arn}


@api.operation
def unsubscribe(call, request):
    arn = request["SubscriptionArn"]
    if arn.count(":") < 6:
        raise invalid("SubscriptionArn Reason: An ARN must have at least 6 elements" if arn.count(":") < 5 else "SubscriptionArn")
    subscription = find_subscription(call.store, arn)
    if subscription is None:
        return {}
    if call.principal.kind == "anonymous":
        if subscription.spec["Authenticated"] and subscription.spec["Protocol"] in OF_HTTP:
            raise api.error.AuthorizationErrorException("This subscription was confirmed with AuthenticateOnUnsubscribe: sign the request.")
    else:
        _own(call, subscription)
    call.store.delete(subscription)
    call.platform.topics.outbox.drop(subscription.uid)
    return {}


@api.operation
def get_subscription_attributes(call, request):
    subscription = the_subscription(call, request["SubscriptionArn"])
    spec, topic = subscription.spec, find_topic(call.store, subscription.spec["TopicArn"])
    attributes = {
        "SubscriptionArn": subscription.arn,
        "TopicArn": spec["TopicArn"],
        "Protocol": spec["Protocol"],
        "Endpoint": spec["Endpoint"],
        "Owner": subscription.account,
        "PendingConfirmation": str(not spec["Confirmed"]).lower(),
        "ConfirmationWasAuthenticated": str(spec["Confirmed"] and spec["Authenticated"]).lower(),
        "RawMessageDelivery": "false",
        "SubscriptionPrincipal": f"arn:aws:iam::{subscription.account}:root",
        **{name: value for name, value in spec["Attributes"].items() if value},
    }
    if attributes.get("FilterPolicy"):
        attributes.setdefault("FilterPolicyScope", "MessageAttributes")
    if spec["Protocol"] in OF_HTTP and topic is not None:
        policy = effective(topic.spec["Attributes"], spec["Attributes"], spec["Protocol"])
        attributes["EffectiveDeliveryPolicy"] = json.dumps({"healthyRetryPolicy": policy}, separators=(",", ":"))
    return {"Attributes": attributes}


@api.operation
def set_subscription_attributes(call, request):
    subscription, name = the_subscription(call, request["SubscriptionArn"]), request["AttributeName"]
    have = subscription.spec["Attributes"]
    value, scope = request.get("AttributeValue") or "", have.get("FilterPolicyScope", "MessageAttributes")
    changes = _checked(call, subscription.spec["Protocol"], name, value, scope, "")
    if name == "FilterPolicyScope" and have.get("FilterPolicy"):
        checked_policy(have["FilterPolicy"], value)
    _change(call, subscription, {"Attributes": {**have, **changes}})
    return {}


@api.operation
def list_subscriptions(call, request):
    after = decode_token(request.get("NextToken"), invalid, [0.0, ""])
    found = call.store.list(SUBSCRIPTION.kind, call.account, call.region, limit=PAGE + 1, after=tuple(after) if after else None)
    return _page(found)


@api.operation
def list_subscriptions_by_topic(call, request):
    topic, after = the_topic(call, request["TopicArn"]), decode_token(request.get("NextToken"), invalid, [0.0, ""])
    found = sorted(call.store.children(topic.uid), key=lambda one: (one.created_at, one.name))
    return _page([one for one in found if not after or (one.created_at, one.name) > tuple(after)][: PAGE + 1])


# --- helpers -------------------------------------------------------------------------------------


def check_endpoint(call, topic: Record, protocol: str, endpoint: str) -> None:
    """Raises InvalidParameter where this protocol cannot have this endpoint, or this topic cannot have this protocol."""
    if protocol in OF_HTTP:
        try:
            good = endpoint.startswith(f"{protocol}://") and bool(urlsplit(endpoint).hostname) and (urlsplit(endpoint).port or 1)
        except ValueError:
            good = False
        if not good:
            raise invalid(f"Endpoint must match the specified protocol: {protocol}")
    elif protocol in OF_MAIL:
        if not re.fullmatch(r"[^@\s]+@[^@\s]+", endpoint):
            raise invalid("Email address")
    elif protocol in ("sqs", "lambda"):
        if not re.fullmatch(rf"arn:aws:{protocol}:[a-z0-9-]+:\d{{12}}:\S+", endpoint):
            raise invalid(f"{protocol.upper() if protocol == 'sqs' else 'Lambda'} endpoint ARN")
    elif protocol in ("sms", "application", "firehose"):
        raise invalid(f"Protocol Reason: Modelyard has not built the protocol {protocol}; nothing was done.")
    else:
        raise invalid(f"Amazon SNS does not support this protocol string: {protocol}")
    if is_fifo(topic) and protocol != "sqs":
        raise invalid("Invalid protocol type: FIFO topics deliver to queues only")
    if protocol == "sqs" and endpoint.endswith(".fifo") and not is_fifo(topic):
        raise invalid("Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics")


def the_subscription(call, arn: str) -> Record:
    subscription = find_subscription(call.store, arn)
    if subscription is None:
        raise no_subscription()
    _own(call, subscription)
    return subscription


def find_subscription(store: Any, arn: str) -> Record | None:
    record = store.by_arn(arn)
    return record if record is not None and record.kind == SUBSCRIPTION.kind else None


def _own(call, subscription: Record) -> None:
    """The subscriber's account, and the topic's owner."""
    if call.account not in (subscription.account, subscription.spec["TopicArn"].split(":")[4]):
        raise api.error.AuthorizationErrorException(
            f"User: {call.principal.arn} is not authorized to perform: SNS:{call.operation} on resource: {subscription.arn}"
        )


def _is_confirmed(call, protocol: str, endpoint: str) -> bool:
    if protocol == "lambda":
        return any("lambda" in service.target_names and service.target_function for service in call.platform.services.values())
    return protocol == "sqs" and endpoint.split(":")[4] == call.account


def _checked(call, protocol: str, name: str, value: str, scope: str, where: str) -> dict[str, str]:
    """The attribute as it is kept ("" removes it)."""
    if name not in ATTRIBUTES:
        raise invalid(f"{where}Unknown attribute {name}" if where else "AttributeName")
    if not value:
        return {name: ""}
    if name == "FilterPolicy":
        try:
            return {name: value if checked_policy(value, scope) else ""}
        except ApiError as error:
            error.message = error.message.replace("Invalid parameter: ", f"Invalid parameter: {where}", 1)
            raise
    if name == "FilterPolicyScope" and value not in ("MessageAttributes", "MessageBody"):
        raise invalid(f"{where}FilterPolicyScope: Invalid value [{value}]. Please use either MessageBody or MessageAttributes")
    if name == "RawMessageDelivery":
        if value.lower() not in ("true", "false"):
            raise invalid(f"{where}RawMessageDelivery: Invalid value [{value}]. Must be true or false.")
        if protocol not in (*OF_HTTP, "sqs"):
            raise invalid(f"{where}RawMessageDelivery is not supported for the protocol {protocol}")
        return {name: value.lower()}
    if name == "DeliveryPolicy":
        if protocol not in OF_HTTP:
            raise invalid(f"{where}DeliveryPolicy: only http and https subscriptions have one")
        check_delivery_policy(value, of_topic=False)
    if name == "RedrivePolicy":
        _check_redrive(value, where)
    return {name: value}


def _check_redrive(value: str, where: str) -> None:
    try:
        arn = json.loads(value)["deadLetterTargetArn"]
    except (ValueError, TypeError, KeyError):
        raise invalid(f"{where}RedrivePolicy: failed to parse JSON.") from None
    if not isinstance(arn, str) or not re.fullmatch(r"arn:aws:sqs:[a-z0-9-]+:\d{12}:\S+", arn):
        raise invalid(f"{where}RedrivePolicy: deadLetterTargetArn is an invalid arn")


def _change(call, subscription: Record, changes: dict[str, Any]) -> None:
    while True:
        try:
            call.store.request(subscription, changes, due=False)
            return
        except Moved:
            found = call.store.by_uid(subscription.uid)
            if found is None:
                raise no_subscription() from None
            subscription = found


def _page(found: list[Record]) -> dict[str, Any]:
    told = [
        {
            "SubscriptionArn": one.arn if one.spec["Confirmed"] else "PendingConfirmation",
            "Owner": one.account,
            "Protocol": one.spec["Protocol"],
            "Endpoint": one.spec["Endpoint"],
            "TopicArn": one.spec["TopicArn"],
        }
        for one in found[:PAGE]
    ]
    answer: dict[str, Any] = {"Subscriptions": told}
    if len(found) > PAGE:
        answer["NextToken"] = encode_token([found[PAGE - 1].created_at, found[PAGE - 1].name])
    return answer
