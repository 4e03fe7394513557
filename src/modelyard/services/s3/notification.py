"""The notification configuration of a bucket: who is told of which events of which keys.

Source: PutBucketNotificationConfiguration and "Amazon S3 Event Notifications" of the user guide. A destination is validated by
sending it `s3:TestEvent`, as AWS does: one that does not exist, or whose policy does not let S3 in, refuses the whole configuration.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from itertools import combinations
from typing import Any

from modelyard.kernel import targets
from modelyard.kernel.errors import ApiError
from modelyard.services.s3 import api
from modelyard.services.s3.depot import depot_of, owned_bucket
from modelyard.services.s3.errors import invalid_argument, s3_error
from modelyard.services.s3.index import Bucket, dump
from modelyard.services.s3.notices import LISTS, SOURCE, SUBJECT, _time, affixes, covers

SERVICES = {"TopicConfigurations": "sns", "QueueConfigurations": "sqs", "LambdaFunctionConfigurations": "lambda"}
MOST = 100
LONGEST_AFFIX = 1024
HAPPENS = (
    "s3:ObjectCreated:Put", "s3:ObjectCreated:Post", "s3:ObjectCreated:Copy", "s3:ObjectCreated:CompleteMultipartUpload",
    "s3:ObjectRemoved:Delete", "s3:ObjectRemoved:DeleteMarkerCreated", "s3:ObjectTagging:Put", "s3:ObjectTagging:Delete",
    "s3:ObjectAcl:Put", "s3:LifecycleExpiration:Delete", "s3:LifecycleExpiration:DeleteMarkerCreated", "s3:LifecycleTransition",
    "s3:ObjectRestore:Post", "s3:ObjectRestore:Completed", "s3:ObjectRestore:Delete", "s3:IntelligentTiering",
    "s3:ReducedRedundancyLostObject", "s3:Replication:OperationFailedReplication", "s3:Replication:OperationNotTracked",
    "s3:Replication:OperationMissedThreshold", "s3:Replication:OperationReplicatedAfterThreshold",
)  # fmt: skip
"""What a configuration may ask for. Restores, replication, tiering and lost objects never happen on this platform."""


@api.operation
def put_bucket_notification_configuration(call, request):
    home, asked = owned_bucket(call, request), request["NotificationConfiguration"]
    document: dict[str, Any] = {}
    for member, arn in LISTS.items():
        document |= {member: [_checked(one, arn) for one in asked[member]]} if asked.get(member) else {}
    if asked.get("EventBridgeConfiguration") is not None:
        document["EventBridgeConfiguration"] = {}
    rules = [one for member in LISTS for one in document.get(member, ())]
    if len(rules) > MOST:
        raise s3_error("InvalidRequest", f"The notification configuration has more than {MOST} rules.")
    if len({one["Id"] for one in rules}) != len(rules):
        raise s3_error("InvalidArgument", "Same ID used for multiple configurations. IDs must be unique")
    _check_overlaps(rules)
    _check_destinations(call, home, document, bool(request.get("SkipDestinationValidation")))
    depot_of(call).index.change_settings(home.name, "Notification", document or None)
    return {}


@api.operation
def get_bucket_notification_configuration(call, request):
    return owned_bucket(call, request).settings.get("Notification", {})


# --- checks ----------------------------------------------------------------------------------------


def _checked(one: Mapping[str, Any], arn: str) -> dict[str, Any]:
    if not one.get("Events"):
        raise s3_error("MalformedXML")
    for event in one["Events"]:
        if event not in HAPPENS and not (event.endswith(":*") and any(covers(event, name.removeprefix("s3:")) for name in HAPPENS)):
            raise invalid_argument("A specified event is not supported for notifications.", "Event", event)
    made = {"Id": one.get("Id") or secrets.token_hex(24), arn: one[arn], "Events": list(one["Events"])}
    if len(made["Id"]) > 255:
        raise invalid_argument("The ID of a notification configuration has at most 255 characters.", "Id", made["Id"])
    rules = ((one.get("Filter") or {}).get("Key") or {}).get("FilterRules") or []
    names = [str(rule.get("Name", "")).lower() for rule in rules]
    for name, rule in zip(names, rules, strict=True):
        if not name or rule.get("Value") is None:
            raise s3_error("MalformedXML")
        if name not in ("prefix", "suffix"):
            raise invalid_argument("filter rule name must be either prefix or suffix", "FilterRule.Name", rule.get("Name", ""))
        if names.count(name) > 1:
            raise invalid_argument(f"Cannot specify more than one {name} rule in a filter.", "FilterRule.Name", rule["Name"])
        if len(rule.get("Value", "").encode()) > LONGEST_AFFIX:
            raise invalid_argument("Size of filter rule value cannot exceed 1024 bytes in UTF-8", "FilterRule.Value", rule["Value"])
    if rules:
        told = [{"Name": name.capitalize(), "Value": rule.get("Value", "")} for name, rule in zip(names, rules, strict=True)]
        made["Filter"] = {"Key": {"FilterRules": told}}
    return made


def _check_overlaps(rules: list[dict[str, Any]]) -> None:
    """No event of a key may be meant by two rules, whatever their destinations."""
    for one, other in combinations(rules, 2):
        if not any(covers(wanted, event.removeprefix("s3:")) for wanted in one["Events"] for event in _single(other)):
            continue
        (prefix, suffix), (prefix2, suffix2) = affixes(one), affixes(other)
        if _nested(prefix, prefix2, str.startswith) and _nested(suffix, suffix2, str.endswith):
            text = (
                "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are overlapping for the same event type."
                if prefix or prefix2 or suffix or suffix2
                else "Configurations overlap. Configurations on the same bucket cannot share a common event type."
            )
            raise s3_error("InvalidArgument", text)


def _single(rule: Mapping[str, Any]) -> list[str]:
    return [name for name in HAPPENS if any(covers(wanted, name.removeprefix("s3:")) for wanted in rule["Events"])]


def _nested(one: str, other: str, has: Any) -> bool:
    return has(one, other) or has(other, one)


def _check_destinations(call: Any, home: Bucket, document: Mapping[str, Any], skip: bool) -> None:
    """Sends the test event to each. An ARN of the wrong service or region is refused even where validation is skipped."""
    wrong: list[tuple[str, str]] = []
    tried: set[str] = set()
    for member, name in LISTS.items():
        for one in document.get(member, ()):
            arn = one[name]
            if arn in tried:
                continue
            tried.add(arn)
            pieces = arn.split(":")
            if len(pieces) < 6 or pieces[0] != "arn" or pieces[2] != SERVICES[member]:
                raise invalid_argument("The ARN could not be parsed", _XML_NAMES[name], arn)
            if pieces[3] != home.region:
                raise invalid_argument(
                    "The notification destination service region is not valid for the bucket location constraint", _XML_NAMES[name], arn
                )
            if arn.endswith(".fifo"):
                wrong.append((arn, f"FIFO {'queues' if pieces[2] == 'sqs' else 'topics'} are not supported as a destination"))
            elif not skip and (why := _refusal(call, home, arn, SERVICES[member])):
                wrong.append((arn, why))
    if wrong:
        fields = {f"ArgumentName{n}": arn for n, (arn, _) in enumerate(wrong, 1)}
        fields |= {f"ArgumentValue{n}": why for n, (_, why) in enumerate(wrong, 1)}
        raise s3_error("InvalidArgument", "Unable to validate the following destination configurations", **fields)


_XML_NAMES = {"TopicArn": "Topic", "QueueArn": "Queue", "LambdaFunctionArn": "CloudFunction"}
_NAMES = {"sqs": "queue", "sns": "topic", "lambda": "function"}


def _refusal(call: Any, home: Bucket, arn: str, service: str) -> str:
    """Why a destination does not take the test event; "" where it does."""
    test = {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": _time(call.now(), "milliseconds"),
        "Bucket": home.name,
        "RequestId": call.request_id,
        "HostId": secrets.token_hex(24),
    }
    source = f"arn:aws:s3:::{home.name}"
    try:
        if service == "lambda":  # a function is not called with a test event, AWS asks its policy
            _check_function(call, home, arn)
        else:
            key = f"s3-test-{call.request_id}-{arn}"
            delivery = targets.Delivery(arn, dump(test), SOURCE, source, home.account, home.region, key, SUBJECT)
            targets.deliver(call.platform, delivery)
    except ApiError as problem:
        if problem.status == 403 or "Denied" in problem.code or "Authorization" in problem.code:
            if service == "lambda":
                return f"Not authorized to invoke function [{arn}]"
            return f"Permissions on the destination {_NAMES[service]} do not allow S3 to publish notifications from this bucket"
        return f"The destination {_NAMES[service]} does not exist"
    return ""


def _check_function(call: Any, home: Bucket, arn: str) -> None:
    """There must be a service of functions that knows it; one that is not built knows none."""
    if not any(one.target_function is not None and "lambda" in one.target_names for one in call.platform.services.values()):
        raise ApiError("ResourceNotFoundException", "no such function", 404)
    found = call.platform.store.by_arn(arn)
    if found is None:
        raise ApiError("ResourceNotFoundException", "no such function", 404)
