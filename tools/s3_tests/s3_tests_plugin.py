"""A pytest plugin for runs of ceph/s3-tests (tools/s3_tests.py): writes each result as a JSON line, and lets the suite's clients say
in AWS's way what they say in Ceph's."""

import json
import os

import botocore.client
import pytest

SEND = botocore.client.BaseClient._make_api_call


def pytest_configure(config):
    _name_a_region()


def pytest_runtest_logreport(report):
    if os.environ.get("PYTEST_XDIST_WORKER") or (report.when != "call" and report.outcome == "passed"):
        return
    crash = getattr(report.longrepr, "reprcrash", None)
    why = crash.message if crash else report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr or "")
    line = {
        "name": report.nodeid.rpartition("/")[2],
        "round": int(os.environ.get("S3TESTS_ROUND", "1")),
        "outcome": report.outcome,
        "why": (why.strip().splitlines() or [""])[0][:300],
        "marks": [name for name in report.keywords if not name.startswith(("test_", "pytest"))],
        "seconds": round(report.duration, 2),
    }
    with open(os.environ["S3TESTS_RESULTS"], "a") as file:
        file.write(json.dumps(line) + "\n")


@pytest.fixture(autouse=True)
def _as_aws_is_asked(request, monkeypatch):
    """What a test asks, in AWS's words; what it is answered stays as it is, but for the account in the ARNs of `test_sts.py`."""
    changes, back = [] if os.environ.get("S3TESTS_PLAIN") else [_buckets_with_acls, _one_condition_or_and], None
    if request.node.get_closest_marker("bucket_logging"):
        import s3tests.functional as suite

        monkeypatch.setattr(suite.config, "main_user_id", os.environ["S3TESTS_ACCOUNT"])
        changes.append(_log_objects_by_pattern)
    if request.node.nodeid.rpartition("/")[2].startswith("test_sts.py") and not request.node.name.startswith("test_account"):
        changes.append(_arns_with_account)
        back = _arns_without_account

    def call(self, operation, asked):
        for change in changes:
            asked = change(operation, asked)
        answer = SEND(self, operation, asked)
        return back(answer) if back else answer

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", call)
    yield
    if request.node.get_closest_marker("webidentity_test"):
        _remove_providers()


def _remove_providers():
    """A test that fails leaves its identity provider to the next, which makes one of the same name."""
    from s3tests.functional import get_iam_client

    iam = get_iam_client()
    for one in SEND(iam, "ListOpenIDConnectProviders", {})["OpenIDConnectProviderList"]:
        SEND(iam, "DeleteOpenIDConnectProvider", {"OpenIDConnectProviderArn": one["Arn"]})


def _buckets_with_acls(operation, asked):
    """The suite is from a time when every bucket had ACLs."""
    return {**asked, "ObjectOwnership": "ObjectWriter"} if operation == "CreateBucket" and "ObjectOwnership" not in asked else asked


def _one_condition_or_and(operation, asked):
    """Several conditions of a lifecycle filter stand in And on AWS."""
    if operation != "PutBucketLifecycleConfiguration":
        return asked
    rules = []
    for rule in asked["LifecycleConfiguration"].get("Rules", ()):
        said = rule.get("Filter") or {}
        if len(said) > 1:
            both = {key: value for key, value in said.items() if key not in ("Tag", "And")} | dict(said.get("And") or {})
            tags = [*([said["Tag"]] if "Tag" in said else []), *((said.get("And") or {}).get("Tags") or [])]
            both = {key: value for key, value in both.items() if value != ""} | ({"Tags": tags} if tags else {})
            rule = {**rule, "Filter": {"And": both} if len(both) > 1 or len(tags) > 1 else both}
        rules.append(rule)
    document = {**asked["LifecycleConfiguration"], "Rules": rules}  # small objects move to archives only under the older default
    return {"TransitionDefaultMinimumObjectSize": "varies_by_storage_class", **asked, "LifecycleConfiguration": document}


def _log_objects_by_pattern(operation, asked):
    """Ceph's policies for access logs name the prefix alone, AWS's the log objects' keys."""
    if operation != "PutBucketPolicy":
        return asked
    policy = json.loads(asked["Policy"])
    for statement in policy["Statement"]:
        if "Service" in statement.get("Principal", ()) and not statement["Resource"].endswith("*"):
            statement["Resource"] += "*"
    return {**asked, "Policy": json.dumps(policy)}


def _arns_with_account(operation, asked):
    """Ceph's users have no account: `arn:aws:iam:::role/x`. AWS's clients of a provider are named, and their condition key is `aud`."""
    account = os.environ["S3TESTS_IAM_ACCOUNT"]

    def told(value):
        if isinstance(value, str):
            value = value.replace("arn:aws:iam:::assumed-role/", f"arn:aws:sts::{account}:assumed-role/")
            return value.replace("arn:aws:iam:::", f"arn:aws:iam::{account}:").replace(":app_id", ":aud")
        return _each(value, told)

    asked = told(asked)
    if operation == "CreateOpenIDConnectProvider" and not asked.get("ClientIDList"):
        asked = {**asked, "ClientIDList": ["account"]}
    return asked


def _arns_without_account(answer):
    account = os.environ["S3TESTS_IAM_ACCOUNT"]

    def told(value):
        return value.replace(f"arn:aws:iam::{account}:", "arn:aws:iam:::") if isinstance(value, str) else _each(value, told)

    return told(answer)


def _each(value, change):
    if isinstance(value, dict):
        return {key: change(one) for key, one in value.items()}
    return [change(one) for one in value] if isinstance(value, list) else value


def _name_a_region():
    """The suite says `region_name=''`, which no signature to AWS can carry."""
    import boto3
    import boto3.session

    make = boto3.session.Session.client

    def client(self, service_name, region_name=None, *more, **options):
        return make(self, service_name, region_name or None, *more, **options)

    boto3.session.Session.client = client
