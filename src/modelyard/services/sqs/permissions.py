"""Queue policies: AddPermission, RemovePermission, and what the IAM engine asks about a queue."""

from __future__ import annotations

import re
from typing import Any

from modelyard.services.iam.resource_documents import with_permission, without_permission
from modelyard.services.sqs import api
from modelyard.services.sqs.attributes import policy_of
from modelyard.services.sqs.errors import bad, bad_value
from modelyard.services.sqs.queue import QUEUE, change_attributes, find_queue, the_queue

GRANTABLE = {
    "*",
    "SendMessage",
    "ReceiveMessage",
    "DeleteMessage",
    "ChangeMessageVisibility",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "PurgeQueue",
}


@api.operation
def add_permission(call, request):
    queue = the_queue(call, request)
    for account in request["AWSAccountIds"]:
        if not re.fullmatch(r"\d{12}", account):
            raise bad_value(f"[{account}]", "PrincipalId", "Unable to verify.")
    for action in request["Actions"]:
        if action not in GRANTABLE:
            raise bad_value(f"SQS:{action}", "ActionName", "Please refer to the appropriate WSDL for a list of valid actions.")
    actions = [f"SQS:{action}" for action in request["Actions"]]
    policy = queue.spec["Attributes"].get("Policy")
    changed = with_permission(policy, f"{queue.arn}/SQSDefaultPolicy", request["Label"], request["AWSAccountIds"], actions, queue.arn)
    if changed is None:
        raise bad_value(request["Label"], "Label", "Already exists.")
    change_attributes(call, queue, {"Policy": changed})
    return {}


@api.operation
def remove_permission(call, request):
    queue = the_queue(call, request)
    changed = without_permission(queue.spec["Attributes"].get("Policy"), request["Label"])
    if changed is None:
        raise bad(f"Value {request['Label']} for parameter Label is invalid. Reason: can't find label on existing policy.")
    change_attributes(call, queue, {"Policy": changed})
    return {}


def resource_policy(call: Any, request: dict[str, Any]) -> tuple[dict[str, Any] | None, str | None]:
    """The policy and owner of the queue a request is about; (None, None) where it is about none."""
    if request.get("QueueUrl"):
        queue = find_queue(call, request["QueueUrl"])
    elif call.operation == "GetQueueUrl":
        queue = call.store.get(QUEUE.kind, request.get("QueueOwnerAWSAccountId") or call.account, call.region, request["QueueName"])
    else:
        return None, None
    return (policy_of(queue), queue.account) if queue is not None else (None, None)
