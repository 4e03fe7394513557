"""Topic policies: AddPermission, RemovePermission, and what the IAM engine asks about a topic."""

from __future__ import annotations

import json
import re
from typing import Any

from modelyard.services.iam.resource_documents import with_permission, without_permission
from modelyard.services.sns import api
from modelyard.services.sns.errors import invalid
from modelyard.services.sns.topic import change_topic, find_topic, policy_of, the_topic

GRANTABLE = {"Publish", "Subscribe", "Receive", "GetTopicAttributes", "SetTopicAttributes", "AddPermission", "RemovePermission",
             "DeleteTopic", "ListSubscriptionsByTopic"}  # fmt: skip
BY_TOKEN = ("ConfirmSubscription", "Unsubscribe")
api.unsigned |= set(BY_TOKEN)


@api.operation
def add_permission(call, request):
    topic = the_topic(call, request["TopicArn"])
    for account in request["AWSAccountId"]:
        if not re.fullmatch(r"\d{12}", account):
            raise invalid("AWSAccountId")
    for action in request["ActionName"]:
        if action not in GRANTABLE:
            raise invalid("Policy statement action out of service scope!")
    actions = [f"SNS:{action}" for action in request["ActionName"]]
    text = json.dumps(policy_of(topic))
    changed = with_permission(text, "__default_policy_ID", request["Label"], request["AWSAccountId"], actions, topic.arn)
    if changed is None:
        raise invalid("Statement already exists")
    change_topic(call, topic, {"Policy": changed})
    return {}


@api.operation
def remove_permission(call, request):
    topic = the_topic(call, request["TopicArn"])
    changed = without_permission(json.dumps(policy_of(topic)), request["Label"])
    if changed is not None:
        change_topic(call, topic, {"Policy": changed})
    return {}


def resource_policy(call: Any, request: dict[str, Any]) -> tuple[dict[str, Any] | None, str | None]:
    """The policy and owner of the topic a request is about. What comes by a link of a message has no signature: the token (and for
    unsubscribing the ARN, unless it was confirmed with AuthenticateOnUnsubscribe) is the permission, which the operation checks."""
    if call.operation in BY_TOKEN and call.principal.kind == "anonymous":
        return {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": f"sns:{call.operation}", "Resource": "*"}]}, None
    arn = request.get("TopicArn") or request.get("TargetArn") or request.get("ResourceArn")
    topic = find_topic(call.store, arn) if arn else None
    if topic is None:
        return None, None
    return (policy_of(topic) if "Policy" in topic.spec["Attributes"] else None), topic.account
