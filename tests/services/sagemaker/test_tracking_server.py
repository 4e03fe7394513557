"""MLflow tracking servers by an unmodified boto3 client: what is refused, the walk with a run of this test, and both ways in."""

from __future__ import annotations

import asyncio
import json
import socketserver
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from modelyard.kernel.clock import ManualClock
from modelyard.kernel.reconcile import Engine
from modelyard.kernel.records import Record
from modelyard.runtime.base import RunState
from modelyard.services.sagemaker.tracking_server import reconcile
from modelyard.services.sagemaker.tracking_server.actions import action_of
from modelyard.services.sagemaker.tracking_server.reconcile import EndRun, Seen, StartRun, StopRun, decide
from modelyard.wire.http import HttpRequest
from tests.support import inproc
from tests.support.platform import ACCOUNT, InProcess

ARN = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:mlflow-tracking-server/tracker"


class Answer(BaseHTTPRequestHandler):
    """Tells what reached it."""

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        told = json.dumps(
            {"path": self.path, "method": self.command, "body": body, "headers": {k.lower(): v for k, v in self.headers.items()}}
        )
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told.encode())

    do_POST = do_DELETE = do_PATCH = do_GET


class Box:
    """A runtime whose runs are HTTP servers on threads."""

    tier = "fake"

    def __init__(self, root):
        self.root, self.servers, self.ended, self.specs = root, {}, set(), []

    def ensure(self, spec):
        if spec.id not in self.servers and spec.id not in self.ended:
            self.specs.append(spec)
            server = socketserver.ThreadingUnixStreamServer(spec.serve_socket, Answer)
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            self.servers[spec.id] = server

    def look(self, run_id):
        if run_id in self.servers:
            return RunState("running", started_at=1.0)
        return RunState("exited", exit_code=0) if run_id in self.ended else RunState("absent")

    def stop(self, run_id, grace_s=None):
        server = self.servers.pop(run_id, None)
        self.ended.add(run_id)
        if server:
            server.shutdown()
            server.server_close()

    def remove(self, run_id):
        self.stop(run_id)

    def folder(self, run_id):
        return self.root / run_id


class Quiet:
    def follow(self, *_): ...
    def drain(self, *_): ...


@pytest.fixture
def yard(tmp_path, monkeypatch):
    made = InProcess(tmp_path, ManualClock(1_700_000_000.0))
    made.settings.socket_dir.mkdir(parents=True, exist_ok=True)
    made.platform.parts["runtime"] = Box(tmp_path / "runs")
    made.platform.parts["follower"] = Quiet()
    monkeypatch.setattr(reconcile, "look_at_environment", lambda world, name: ("ready", ""))
    made.client("s3").create_bucket(Bucket="artifacts")
    yield made
    for run in list(made.platform.runtime.servers):
        made.platform.runtime.stop(run)
    made.close()


@pytest.fixture
def sm(yard):
    return yard.client("sagemaker")


@pytest.fixture
def role(yard):
    return f"arn:aws:iam::{ACCOUNT}:role/" + yard.client("sts").get_caller_identity()["Arn"].split("/")[1]


def refused(function, **request):
    with pytest.raises(ClientError) as caught:
        function(**request)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def create(sm, role, **more):
    request = {"TrackingServerName": "Tracker", "ArtifactStoreUri": "s3://artifacts/mlflow", "RoleArn": role} | more
    return sm.create_mlflow_tracking_server(**request)["TrackingServerArn"]


def settle(yard, looks=40):
    """So many looks of an engine: an active server is looked at for ever, and the clock stands still here."""
    engine = Engine(
        yard.platform, [r for r in yard.platform.services["sagemaker"].reconcilers if r.lifecycle.kind == "mlflow-tracking-server"]
    )
    for _ in range(looks):
        for record in engine._claim(8):
            engine._work(record)


def status(sm):
    there = sm.describe_mlflow_tracking_server(TrackingServerName="Tracker")
    return there["TrackingServerStatus"], there["IsActive"]


def test_create_stop_start_update_delete(yard, sm, role):
    assert create(sm, role) == ARN
    assert status(sm) == ("Creating", "Inactive")
    assert refused(sm.stop_mlflow_tracking_server, TrackingServerName="Tracker")[0] == "ConflictException"
    settle(yard)
    assert status(sm) == ("Created", "Active")
    (spec,) = yard.platform.runtime.specs
    assert spec.env["MODELYARD_ARTIFACT_ROOT"] == "s3://artifacts/mlflow" and spec.memory_bytes == 4 << 30
    assert "already exists" in refused(create, sm=sm, role=role)[1]
    assert refused(sm.start_mlflow_tracking_server, TrackingServerName="Tracker")[0] == "ConflictException"
    sm.stop_mlflow_tracking_server(TrackingServerName="Tracker")
    assert status(sm) == ("Stopping", "Inactive")
    settle(yard)
    assert status(sm) == ("Stopped", "Inactive") and not yard.platform.runtime.servers
    sm.start_mlflow_tracking_server(TrackingServerName="Tracker")
    assert status(sm) == ("Starting", "Inactive")
    settle(yard)
    assert status(sm) == ("Started", "Active")
    sm.update_mlflow_tracking_server(TrackingServerName="Tracker", TrackingServerSize="Medium", ArtifactStoreUri="s3://artifacts/other")
    assert status(sm)[0] == "Updating"
    settle(yard)
    assert status(sm) == ("Updated", "Active")
    assert yard.platform.runtime.specs[-1].env["MODELYARD_ARTIFACT_ROOT"] == "s3://artifacts/other"
    assert [s.ml for s in yard.platform.runtime.specs] == [spec.ml] * 3  # one database for all its runs
    assert sm.list_mlflow_tracking_servers(TrackingServerStatus="Updated")["TrackingServerSummaries"][0]["TrackingServerArn"] == ARN
    sm.delete_mlflow_tracking_server(TrackingServerName="Tracker")
    assert status(sm)[0] == "Deleting"
    settle(yard)
    assert refused(sm.describe_mlflow_tracking_server, TrackingServerName="Tracker") == (
        "ResourceNotFound",
        f"Tracking Server '{ARN}' does not exist.",
    )
    assert not yard.platform.runtime.servers and (yard.settings.data / "mlflow").glob("*/ml/*").__next__ is not None


def test_a_server_that_dies_is_started_again(yard, sm, role):
    create(sm, role)
    settle(yard)
    (run,) = yard.platform.runtime.servers
    yard.platform.runtime.stop(run)
    settle(yard)
    (other,) = yard.platform.runtime.servers
    assert other != run and status(sm) == ("Created", "Active")


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"ArtifactStoreUri": "s3://no-such-bucket-x/a"}, "cannot use the artifact store"),
        ({"MlflowVersion": "1.30.0"}, "MlflowVersion 1.30.0 is not supported"),
        ({"AutomaticModelRegistration": True}, "AutomaticModelRegistration is not built yet"),
        ({"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/none"}, "Could not assume role"),
        ({"TrackingServerName": "-x"}, "regular expression pattern"),
    ],
)
def test_bad_servers(yard, sm, role, more, text):
    code, said = refused(create, sm=sm, role=role, **more)
    assert code == "ValidationException" and text in said
    assert sm.list_mlflow_tracking_servers()["TrackingServerSummaries"] == []


# --- ways in -------------------------------------------------------------------------------------


def ask(yard, method, url, headers=None, body=b""):
    """An HTTP request of no AWS client."""
    parts = urlsplit(url)
    from modelyard.kernel.service import BytesBody

    sent = [(name.lower(), value) for name, value in {"Host": parts.netloc, **(headers or {})}.items()]
    answer = asyncio.run(yard.gateway.handle(HttpRequest(method, parts.path, parts.query, sent, BytesBody(body))))
    return answer.status, answer.body


def signed(yard, method, path, body=b"", arn=ARN, keys=None):
    keys = keys or yard.secrets["session"]
    url = inproc.ENDPOINT + path
    request = AWSRequest(
        method=method, url=url, data=body, headers={"x-mlflow-sm-tracking-server-arn": arn, "Content-Type": "application/json"}
    )
    credentials = Credentials(keys["AccessKeyId"], keys.get("SecretAccessKey"), keys.get("SessionToken"))
    SigV4Auth(credentials, "sagemaker-mlflow", "us-east-1").add_auth(request)
    return ask(yard, method, url, dict(request.headers), body)


def test_signed_requests_reach_the_server(yard, sm, role):
    create(sm, role)
    code, said = signed(yard, "GET", "/api/2.0/mlflow/experiments/search?max_results=1")
    assert code == 503 and b"Creating" in said
    settle(yard)
    code, said = signed(yard, "POST", "/api/2.0/mlflow/runs/log-metric", b'{"key": "a"}')
    told = json.loads(said)
    assert code == 200 and told["path"] == "/api/2.0/mlflow/runs/log-metric" and told["body"] == '{"key": "a"}'
    assert "authorization" not in told["headers"] and "x-amz-security-token" not in told["headers"]
    assert json.loads(signed(yard, "GET", "/api/2.0/mlflow/experiments/search?max_results=1")[1])["path"].endswith("?max_results=1")
    bad = {**yard.secrets["session"], "SecretAccessKey": "x" * 40}
    assert signed(yard, "GET", "/api/2.0/mlflow/experiments/search", keys=bad)[0] == 403
    assert signed(yard, "GET", "/health", arn=ARN + "-none")[0] == 404
    assert signed(yard, "GET", "/health", arn="")[0] == 400


def test_signed_requests_need_the_permission_of_their_api(yard, sm, role):
    create(sm, role)
    settle(yard)
    iam = yard.client("iam")
    iam.create_user(UserName="reader")
    may = [{"Effect": "Allow", "Action": "sagemaker-mlflow:SearchRuns", "Resource": ARN}]
    iam.put_user_policy(UserName="reader", PolicyName="may", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": may}))
    keys = iam.create_access_key(UserName="reader")["AccessKey"]
    assert signed(yard, "POST", "/api/2.0/mlflow/runs/search", b"{}", keys=keys)[0] == 200
    code, said = signed(yard, "POST", "/api/2.0/mlflow/runs/log-metric", b"{}", keys=keys)
    assert code in (400, 403) and b"sagemaker-mlflow:LogMetric" in said


def test_presigned_urls(yard, sm, role):
    create(sm, role)
    assert refused(sm.create_presigned_mlflow_tracking_server_url, TrackingServerName="Tracker")[0] == "ValidationException"
    settle(yard)
    url = sm.create_presigned_mlflow_tracking_server_url(TrackingServerName="Tracker", ExpiresInSeconds=60)["AuthorizedUrl"]
    other = sm.create_presigned_mlflow_tracking_server_url(TrackingServerName="Tracker", ExpiresInSeconds=60)["AuthorizedUrl"]
    assert url != other
    code, said = ask(yard, "POST", url + "api/2.0/mlflow/runs/create", body=b"{}")
    assert code == 200 and json.loads(said)["path"] == "/api/2.0/mlflow/runs/create"
    assert json.loads(ask(yard, "GET", url)[1])["path"] == "/"
    assert ask(yard, "GET", url.rstrip("/"))[0] == 307
    yard.platform.clock.advance(61)
    assert ask(yard, "GET", url)[0] == 200  # used in time: a session
    assert ask(yard, "GET", other)[0] == 403  # not used in time
    yard.platform.clock.advance(43_200)
    assert ask(yard, "GET", url)[0] == 403
    assert ask(yard, "GET", inproc.ENDPOINT + "/_modelyard/mlflow/tracker/api/2.0/mlflow/runs/create")[0] == 403
    stranger = {"Host": "evil.example"}
    assert ask(yard, "GET", url, stranger)[0] == 403
    assert sm.create_presigned_mlflow_tracking_server_url(TrackingServerName="Tracker")["AuthorizedUrl"]
    assert len(yard.platform.store.list("mlflow-session")) == 1  # what had expired is gone


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("POST", "/api/2.0/mlflow/runs/create", "CreateRun"),
        ("POST", "/ajax-api/2.0/mlflow/runs/search", "SearchRuns"),
        ("GET", "/api/2.0/mlflow/experiments/get-by-name", "GetExperimentByName"),
        ("POST", "/api/2.0/mlflow/registered-models/alias", "SetRegisteredModelAlias"),
        ("DELETE", "/api/2.0/mlflow/registered-models/alias", "DeleteRegisteredModelAlias"),
        ("GET", "/graphql", "AccessUI"),
        ("GET", "/", "AccessUI"),
        ("GET", "/api/3.0/mlflow/traces/x", "AccessUI"),
    ],
)
def test_actions(method, path, action):
    assert action_of(method, path) == action


# --- decisions -----------------------------------------------------------------------------------


def server(status, spec=None, **state):
    wishes = {"on": True, "asked": 1, "edition": 1} | (spec or {})
    return Record("u" * 24, "mlflow-tracking-server", ACCOUNT, "us-east-1", "t", ARN, None, status, wishes, state, 1, 0.0, 0, 0.0, 0.0)


RUNNING = Seen(100.0, run=RunState("running", started_at=1.0))
UP = {"since": 90.0, "asked": 1, "edition": 1, "attempt": 1, "running": 1}


def kinds(step):
    return [type(action) for action in step.do]


def test_it_fails_after_three_ends_or_too_long_a_start():
    dead = Seen(100.0, run=RunState("exited", exit_code=1))
    step = decide(server("Creating", **UP), dead, 0.0)
    assert (step.status, step.state["attempt"], step.state["tries"], kinds(step)) == ("Creating", 2, 1, [EndRun])
    assert decide(server("Creating", **{**UP, "tries": 2}), dead, 0.0).status == "CreateFailed"
    assert decide(server("Starting", **UP), replace(RUNNING, real_now=1000.0), 0.0).status == "StartFailed"
    assert decide(server("Creating", **UP), Seen(100.0, image="failed", image_reason="no index"), 0.0).status == "CreateFailed"


def test_an_update_ends_the_old_run_first():
    updating = server("Updating", {"edition": 2}, **{**UP, "edition": 2})
    assert kinds(decide(updating, RUNNING, 0.0)) == [StopRun]
    step = decide(updating, Seen(100.0, run=RunState("exited")), 0.0)
    assert (step.state["attempt"], step.state["running"], kinds(step)) == (2, 2, [EndRun])
    step = decide(server("Updating", {"edition": 2}, **{**UP, "edition": 2, "attempt": 2, "running": 2}), Seen(100.0), 0.0)
    assert kinds(step) == [StartRun]


def test_a_wish_to_delete_wins():
    step = decide(server("Creating", {"delete": True}, **UP), RUNNING, 0.0)
    assert (step.status, kinds(step), step.delete) == ("Deleting", [StopRun], False)
    assert decide(server("Deleting", {"delete": True}, **UP), Seen(100.0, run=RunState("exited")), 0.0).delete
