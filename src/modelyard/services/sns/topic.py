"""Topics: create, list, attributes, tags, delete."""

from __future__ import annotations

import json
import re
from typing import Any

from modelyard.kernel.lifecycle import static
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.iam.resource_documents import BadDocument, checked
from modelyard.services.sns import api
from modelyard.services.sns.errors import invalid, no_topic
from modelyard.services.sns.retries import DEFAULT, check_delivery_policy

TOPIC = static("sns-topic")
PAGE = 100
_BOOLEANS = ("FifoTopic", "ContentBasedDeduplication")
_FEEDBACK = re.compile(r"(HTTP|Firehose|Lambda|Application|SQS)(Success|Failure)Feedback(RoleArn|SampleRate)\Z")
_OWNER_ACTIONS = ("GetTopicAttributes", "SetTopicAttributes", "AddPermission", "RemovePermission", "DeleteTopic", "Subscribe",
                  "ListSubscriptionsByTopic", "Publish")  # fmt: skip


@api.operation
def create_topic(call, request):
    """Idempotent: the same name with the same attributes and tags answers the topic that is there."""
    name, given = request["Name"], dict(request.get("Attributes") or {})
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,256}|[A-Za-z0-9_-]{1,251}\.fifo", name):
        raise invalid("Topic Name")
    fifo = given.get("FifoTopic") == "true"
    if fifo and not name.endswith(".fifo"):
        raise invalid(
            "Fifo Topic names must end with .fifo and must be made up of only uppercase and lowercase ASCII letters, numbers, underscores, and hyphens, and must be between 1 and 256 characters long."
        )
    if name.endswith(".fifo") and not fifo:
        raise invalid("Topic Name")
    attributes = {key: value for key, value in given.items() if _check(key, value, fifo)}
    _pass_roles(call, attributes)
    if attributes.get("Policy"):
        call.platform.identity.remember_named(attributes["Policy"])
    arn, tags = f"arn:aws:sns:{call.region}:{call.account}:{name}", {tag["Key"]: tag["Value"] for tag in request.get("Tags") or []}
    try:
        call.store.create(TOPIC, account=call.account, region=call.region, name=name, arn=arn, spec={"Attributes": attributes}, tags=tags)
    except Taken as taken:
        have = taken.record.spec["Attributes"]
        if any(have.get(key, "") != value for key, value in attributes.items()):
            raise invalid("Attributes Reason: Topic already exists with different attributes") from None
        if tags and call.store.tags(arn) != tags:
            raise invalid("Tags Reason: Topic already exists with different tags") from None
    return {"TopicArn": arn}


@api.operation
def delete_topic(call, request):
    """With its subscriptions; deleting what is not there is no error."""
    _check_arn(request["TopicArn"])
    topic = find_topic(call.store, request["TopicArn"])
    if topic is None:
        return {}
    call.store.delete(topic)
    for subscription in call.store.children(topic.uid):
        call.store.delete(subscription)
        call.platform.topics.outbox.drop(subscription.uid)
    return {}


@api.operation
def list_topics(call, request):
    after = decode_token(request.get("NextToken"), invalid, "")
    found = call.store.list(TOPIC.kind, call.account, call.region, order_by="name", limit=PAGE + 1, after=("", after) if after else None)
    answer: dict[str, Any] = {"Topics": [{"TopicArn": topic.arn} for topic in found[:PAGE]]}
    if len(found) > PAGE:
        answer["NextToken"] = encode_token(found[PAGE - 1].name)
    return answer


@api.operation
def get_topic_attributes(call, request):
    topic = the_topic(call, request["TopicArn"])
    subscriptions = [child.spec["Confirmed"] for child in call.store.children(topic.uid)]
    attributes = {
        "Policy": json.dumps(policy_of(topic), separators=(",", ":")),
        "Owner": topic.account,
        "SubscriptionsPending": str(subscriptions.count(False)),
        "SubscriptionsConfirmed": str(subscriptions.count(True)),
        "SubscriptionsDeleted": "0",
        "TopicArn": topic.arn,
        "DisplayName": "",
        "EffectiveDeliveryPolicy": effective_policy(topic),
        **({"ContentBasedDeduplication": "false"} if is_fifo(topic) else {}),
    }
    return {"Attributes": {**attributes, **{name: value for name, value in topic.spec["Attributes"].items() if value}}}


@api.operation
def set_topic_attributes(call, request):
    topic, name, value = the_topic(call, request["TopicArn"]), request["AttributeName"], request.get("AttributeValue") or ""
    if name == "FifoTopic":
        raise invalid("AttributeName")
    _check(name, value, is_fifo(topic))
    _pass_roles(call, {name: value})
    if name == "Policy" and value:
        call.platform.identity.remember_named(value)
    change_topic(call, topic, {name: value})
    return {}


@api.operation
def tag_resource(call, request):
    call.store.set_tags(_tagged(call, request).arn, {tag["Key"]: tag["Value"] for tag in request["Tags"]})
    return {}


@api.operation
def untag_resource(call, request):
    call.store.remove_tags(_tagged(call, request).arn, request["TagKeys"])
    return {}


@api.operation
def list_tags_for_resource(call, request):
    return {"Tags": [{"Key": key, "Value": value} for key, value in call.store.tags(_tagged(call, request).arn).items()]}


# --- helpers -------------------------------------------------------------------------------------


def the_topic(call, arn: str | None) -> Record:
    """The topic of an ARN, whatever its account. Raises InvalidParameter or NotFound."""
    _check_arn(arn or "")
    topic = find_topic(call.store, arn or "")
    if topic is None or topic.region != call.region:
        raise no_topic()
    return topic


def find_topic(store: Any, arn: str) -> Record | None:
    record = store.by_arn(arn)
    return record if record is not None and record.kind == TOPIC.kind else None


def _check_arn(arn: str) -> None:
    parts = arn.split(":")
    if len(parts) < 6:
        raise invalid(f"TopicArn Reason: An ARN must have at least 6 elements, not {len(parts)}")
    if parts[2] != "sns" or len(parts) != 6:
        raise invalid("TopicArn")


def is_fifo(topic: Record) -> bool:
    return topic.name.endswith(".fifo")


def change_topic(call, topic: Record, changes: dict[str, str]) -> None:
    while True:
        try:
            call.store.request(topic, {"Attributes": {**topic.spec["Attributes"], **changes}}, due=False)
            return
        except Moved:
            topic = the_topic(call, topic.arn)


def policy_of(topic: Record) -> dict[str, Any]:
    """The topic's policy, or the one that every topic begins with: its owner's own services may do everything to it."""
    text = topic.spec["Attributes"].get("Policy")
    if text:
        return json.loads(text)
    return {
        "Version": "2008-10-17",
        "Id": "__default_policy_ID",
        "Statement": [
            {
                "Sid": "__default_statement_ID",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": [f"SNS:{action}" for action in _OWNER_ACTIONS],
                "Resource": topic.arn,
                "Condition": {"StringEquals": {"AWS:SourceOwner": topic.account}},
            }
        ],
    }


def effective_policy(topic: Record) -> str:
    said = json.loads(topic.spec["Attributes"].get("DeliveryPolicy") or "{}").get("http") or {}
    http = {
        "defaultHealthyRetryPolicy": {**DEFAULT, **(said.get("defaultHealthyRetryPolicy") or {})},
        "disableSubscriptionOverrides": said.get("disableSubscriptionOverrides", False),
        "defaultRequestPolicy": said.get("defaultRequestPolicy") or {"headerContentType": "text/plain; charset=UTF-8"},
    }
    return json.dumps({"http": http}, separators=(",", ":"))


def _check(name: str, value: str, fifo: bool) -> bool:
    """Raises InvalidParameter for an attribute that is unknown or wrong."""
    if name in _BOOLEANS:
        if value not in ("true", "false") or (name == "ContentBasedDeduplication" and not fifo):
            raise invalid(
                "Attributes Reason: Content-based deduplication can only be set for FIFO topics"
                if not fifo
                else f"Attributes Reason: {name}: Invalid value [{value}]. Must be true or false."
            )
    elif name == "Policy":
        try:
            if value:
                checked(value, "sns")
        except BadDocument as problem:
            raise invalid(f"Policy Error: {problem}") from None
    elif name == "DeliveryPolicy":
        if value:
            check_delivery_policy(value, of_topic=True)
    elif name == "SignatureVersion":
        if value not in ("1", "2"):
            raise invalid(f"SignatureVersion Reason: Invalid value [{value}]. Must be 1 or 2.")
    elif name == "DisplayName":
        if len(value) > 100:
            raise invalid("DisplayName Reason: must be at most 100 characters long")
    elif name in ("ArchivePolicy", "DataProtectionPolicy"):
        raise invalid(f"AttributeName Reason: Modelyard has not built {name}; nothing was done.")
    elif name not in ("KmsMasterKeyId", "TracingConfig", "FifoThroughputScope") and not _FEEDBACK.match(name):
        raise invalid("AttributeName")
    return True


def _pass_roles(call, attributes) -> None:
    """The roles in which SNS is to write of its deliveries are handed to it."""
    for name, value in attributes.items():
        if _FEEDBACK.match(name) and name.endswith("RoleArn") and value:
            call.authorize("iam:PassRole", value, {"iam:PassedToService": "sns.amazonaws.com"})


def _tagged(call, request) -> Record:
    topic = find_topic(call.store, request["ResourceArn"])
    if topic is None:
        raise api.error.ResourceNotFoundException("Resource does not exist")
    return topic
