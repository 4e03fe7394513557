"""A pytest plugin for runs of ceph/s3-tests (tools/s3_tests.py): writes each result as a JSON line, and lets the suite's clients
make buckets that have ACLs, as they did when it was written."""

import json
import os

import pytest


def pytest_configure(config):
    _name_a_region()
    if not os.environ.get("S3TESTS_PLAIN"):
        _make_buckets_with_acls()


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


def _make_buckets_with_acls():
    import botocore.client

    send = botocore.client.BaseClient._make_api_call

    def call(self, operation, request):
        if operation == "CreateBucket" and "ObjectOwnership" not in request:
            request = {**request, "ObjectOwnership": "ObjectWriter"}
        return send(self, operation, request)

    botocore.client.BaseClient._make_api_call = call


def _name_a_region():
    """The suite says `region_name=''`, which no signature to AWS can carry."""
    import boto3
    import boto3.session

    make = boto3.session.Session.client

    def client(self, service_name, region_name=None, *more, **options):
        return make(self, service_name, region_name or None, *more, **options)

    boto3.session.Session.client = client


@pytest.fixture(autouse=True)
def _logging_as_on_aws(request):
    """The tests of access logs write Ceph's form of the target's policy. AWS's names the account by its number (`aws:SourceAccount`; the
    suite has one ID for account and canonical user) and the log objects by a pattern (the suite: by the prefix alone)."""
    if request.node.get_closest_marker("bucket_logging") is None:
        yield
        return
    import botocore.client
    import s3tests.functional as suite

    kept, send = suite.config.main_user_id, botocore.client.BaseClient._make_api_call

    def call(self, operation, asked):
        if operation == "PutBucketPolicy":
            policy = json.loads(asked["Policy"])
            for statement in policy["Statement"]:
                if "Service" in statement.get("Principal", ()):
                    statement["Resource"] += "*"
            asked = {**asked, "Policy": json.dumps(policy)}
        return send(self, operation, asked)

    suite.config.main_user_id, botocore.client.BaseClient._make_api_call = os.environ["S3TESTS_ACCOUNT"], call
    yield
    suite.config.main_user_id, botocore.client.BaseClient._make_api_call = kept, send
