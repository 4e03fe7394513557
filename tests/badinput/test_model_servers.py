"""Model archives and model servers that are wrong in every way: the endpoint fails with AWS's reason or the caller gets
AWS's error, and the endpoints beside it go on."""

from __future__ import annotations

import gzip
import os
import tarfile
import time
from pathlib import Path

import pytest

from modelyard.runtime import archives
from modelyard.services.sagemaker.endpoint import container, replica
from modelyard.services.sagemaker.instances import Instance
from tests.support.boxes import BUCKET, IMAGE, tar

SERVE = """
import http.server, os, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, body, status=200, **headers):
        self.send_response(status); self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items(): self.send_header(name.replace("_", "-"), value)
        self.end_headers(); self.wfile.write(body)
    def do_GET(self): self.answer(b"")
    def do_POST(self): self.invoke(self.rfile.read(int(self.headers["Content-Length"])))
    def invoke(self, body): self.answer(body)
    def log_message(self, *words): pass
"""
RUN = "\nhttp.server.ThreadingHTTPServer(('127.0.0.1', 8080), Handler).serve_forever()\n"


def server(invoke: str = "self.answer(body)", more: str = "") -> str:
    body = "\n".join("    " + line for line in invoke.splitlines())
    return f"{SERVE}\n{more}\ndef invoke(self, body):\n{body}\nHandler.invoke = invoke\n{RUN}"


@pytest.fixture(scope="module")
def good(boxes):
    """An endpoint that is well, and must stay so."""
    boxes.serve("good", server())
    assert boxes.settled("good")["EndpointStatus"] == "InService"


@pytest.fixture(autouse=True)
def goes_on(boxes, good, bad):
    yield
    for endpoint in boxes.sm.list_endpoints(MaxResults=100)["Endpoints"]:
        if endpoint["EndpointName"] not in ("good", "bad"):
            boxes.sm.delete_endpoint(EndpointName=endpoint["EndpointName"])
    assert boxes.rt.invoke_endpoint(EndpointName="good", Body=b"still here")["Body"].read() == b"still here"
    deadline = time.monotonic() + 20
    folder = boxes.platform.settings.data / "endpoints"
    while (left := (len(boxes.runtime.ids()), len(list(folder.iterdir())))) != (2, 2):
        assert time.monotonic() < deadline, f"{left}: what failed was not cleaned up"
        time.sleep(0.02)


# --- archives ----------------------------------------------------------------------------------------


def info(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0, mode: int = 0o644) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size, made.mode = kind, link, size, mode
    return made


GOOD = ("serve.py", server().encode())
ARCHIVES = {
    "not-gzip": b"hello",
    "empty": b"",
    "zip": b"PK\x03\x04" + b"\0" * 100,
    "gzip-of-text": gzip.compress(b"hello"),
    "cut": tar([("big", os.urandom(200_000)), GOOD])[:100_000],
    "bad-crc": tar([GOOD])[:-8] + b"\0" * 8,
    "no-gzip-tar": gzip.decompress(tar([GOOD])),
    "up": tar([GOOD, ("../../evil", b"x")]),
    "deep-up": tar([GOOD, ("a/../../../evil", b"x")]),
    "absolute": tar([GOOD, ("/tmp/evil", b"x")]),
    "link-out": tar([GOOD, (info("l", tarfile.SYMTYPE, "../../.."), b"")]),
    "link-absolute": tar([GOOD, (info("l", tarfile.SYMTYPE, "/etc/passwd"), b"")]),
    "write-through-link": tar([GOOD, (info("l", tarfile.SYMTYPE, "/tmp"), b""), ("l/evil", b"x")]),
    "link-chain": tar([GOOD, (info("a", tarfile.SYMTYPE, "b"), b""), (info("b", tarfile.SYMTYPE, "../.."), b"")]),
    "hard-link-out": tar([GOOD, (info("h", tarfile.LNKTYPE, "../../../../../etc/passwd"), b"")]),
    "hard-link-absolute": tar([GOOD, (info("h", tarfile.LNKTYPE, "/etc/passwd"), b"")]),
    "hard-link-to-nothing": tar([GOOD, (info("h", tarfile.LNKTYPE, "nothing"), b"")]),
    "device": tar([GOOD, (info("d", tarfile.CHRTYPE), b"")]),
    "block": tar([GOOD, (info("d", tarfile.BLKTYPE), b"")]),
    "pipe": tar([GOOD, (info("p", tarfile.FIFOTYPE), b"")]),
    "file-and-folder": tar([GOOD, ("x", b"1"), ("x/y", b"2")]),
    "header-lies": gzip.compress(info("big", size=1 << 30).tobuf(tarfile.GNU_FORMAT) + b"x" * 512),
    "too-long-a-name": tar([GOOD, ("n" * 300, b"x")]),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_that_cannot_be_unpacked_fails_the_endpoint(boxes, name):
    boxes.serve(f"tar-{name}", ARCHIVES[name])
    there = boxes.settled(f"tar-{name}", 20)
    assert there["EndpointStatus"] == "Failed", there
    url = f"s3://{BUCKET}/models/tar-{name}.tar.gz"
    assert there["FailureReason"].startswith(
        f'Failed to extract model data archive for container "container_1" from URL "{url}". Please ensure that the object located at the URL is a valid tar.gz archive.'
    ), there["FailureReason"]
    assert not Path("/tmp/evil").exists()
    assert not [name for _, _, names in os.walk(boxes.platform.settings.data) for name in names if "evil" in name]


def test_a_huge_member_is_refused_before_it_fills_the_disk(boxes, monkeypatch):
    monkeypatch.setattr(archives, "MAX_BYTES", 1 << 20)
    monkeypatch.setattr(archives.extract, "__defaults__", (1 << 20,))
    boxes.serve("tar-huge", tar([GOOD, ("zeros", b"\0" * (64 << 20))]))
    there = boxes.settled("tar-huge", 20)
    assert there["EndpointStatus"] == "Failed" and "unpacks to more than 1048576 bytes" in there["FailureReason"]


def test_odd_but_good_archives_serve(boxes):
    members = [
        (info("./", tarfile.DIRTYPE, mode=0o755), b""), ("./serve.py", server().encode()), (info("a", tarfile.SYMTYPE, "serve.py"), b""),
        (info("h", tarfile.LNKTYPE, "serve.py"), b""), (info("locked", mode=0), b""), ("twice", b"1"), ("twice", b"2"), ("日本", b"x"),
    ]  # fmt: skip
    boxes.serve("tar-odd", tar(members))
    assert boxes.settled("tar-odd")["EndpointStatus"] == "InService", boxes.endpoint_log("tar-odd")


def test_a_model_that_is_not_there(boxes, refused):
    url = f"s3://{BUCKET}/models/none.tar.gz"

    def create():
        boxes.sm.create_model(ModelName="none", PrimaryContainer={"Image": IMAGE, "ModelDataUrl": url}, ExecutionRoleArn=boxes.role)

    refused(create, "ValidationException", f"Could not find model data at {url}.")


def test_a_model_deleted_between_create_and_deploy(boxes):
    boxes.model("removed", server())
    boxes.s3.delete_object(Bucket=BUCKET, Key="models/removed.tar.gz")
    boxes.config("removed", "removed")
    boxes.sm.create_endpoint(EndpointName="removed", EndpointConfigName="removed")
    there = boxes.settled("removed", 20)
    assert there["EndpointStatus"] == "Failed"
    assert there["FailureReason"].startswith('Failed to download model data for container "container_1" from URL')


# --- servers that do not come up ---------------------------------------------------------------------

NOT_HEALTHY = (
    "The primary container for production variant v did not pass the ping health check. Please check CloudWatch logs for this endpoint."
)


@pytest.fixture
def impatient(monkeypatch):
    """ContainerStartupHealthCheckTimeoutInSeconds is at least 60 in the model: a second stands for a minute here."""
    decide = replica._start

    def quicker(record, seen):
        record.spec["startup_s"] = 2.0
        return decide(record, seen)

    monkeypatch.setattr(replica, "_start", quicker)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("silent", "import time; time.sleep(600)"),
        ("deaf", "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', 8080)); s.listen(); time.sleep(600)"),
        ("sick", server().replace('def do_GET(self): self.answer(b"")', 'def do_GET(self): self.answer(b"", 500)')),
        ("garbage", "import socket\ns = socket.create_server(('127.0.0.1', 8080))\nwhile True:\n    c, _ = s.accept(); c.recv(99); c.send(b'\\x00garbage\\r\\n' * 9); c.close()"),
        ("slow", server().replace('def do_GET(self): self.answer(b"")', 'def do_GET(self): time.sleep(3); self.answer(b"")')),
    ],
)  # fmt: skip
def test_a_server_that_never_answers_ping(boxes, impatient, monkeypatch, name, code):
    boxes.serve(name, code)
    there = boxes.settled(name, 30)
    assert (there["EndpointStatus"], there["FailureReason"]) == ("Failed", NOT_HEALTHY)


def test_a_server_that_dies_at_once(boxes):
    boxes.serve("dies", "print('no weights'); raise SystemExit(1)")
    there = boxes.settled("dies", 20)
    assert (there["EndpointStatus"], there["FailureReason"]) == ("Failed", NOT_HEALTHY)
    assert "no weights" in boxes.endpoint_log("dies")


def test_an_archive_without_a_server(boxes):
    boxes.serve("hollow", tar([("weights", b"x")]))
    assert boxes.settled("hollow", 20)["FailureReason"] == NOT_HEALTHY


def test_a_server_that_runs_out_of_memory_at_its_start(boxes, monkeypatch):
    monkeypatch.setattr(container, "instance", lambda kind: Instance(2, 96 << 20, 0))
    boxes.serve("fat", "b = []\nwhile True: b.append(bytearray(8 << 20))")
    assert boxes.settled("fat", 30)["FailureReason"] == NOT_HEALTHY


def test_an_update_to_a_model_that_cannot_serve_leaves_the_old_one_in_service(boxes):
    boxes.serve("kept", server("self.answer(b'old')"))
    boxes.settled("kept")
    boxes.model("kept-bad", b"no archive")
    boxes.config("kept-bad", "kept-bad")
    boxes.sm.update_endpoint(EndpointName="kept", EndpointConfigName="kept-bad")
    there = boxes.settled("kept")
    assert there["EndpointStatus"] == "InService" and there["EndpointConfigName"] == "kept", there
    assert "Failed to extract model data archive" in there["FailureReason"]
    assert boxes.rt.invoke_endpoint(EndpointName="kept", Body=b"x")["Body"].read() == b"old"


# --- servers that answer badly -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def bad(boxes):
    """One endpoint whose body says what to do wrong."""
    code = """
word, _, rest = body.decode('latin-1').partition(' ')
if word == 'status': self.answer(rest.encode()[4:], int(rest[:3]))
elif word == 'exit': os._exit(int(rest))
elif word == 'sleep': time.sleep(float(rest)); self.answer(b'late')
elif word == 'raw': self.wfile.write(eval(rest)); self.close_connection = True
elif word == 'big': self.answer(b'x' * int(rest))
elif word == 'header': self.answer(b'', 200, **eval(rest))
else: self.answer(body)
"""
    boxes.serve("bad", server(code))
    assert boxes.settled("bad")["EndpointStatus"] == "InService"
    return lambda body, **more: boxes.rt.invoke_endpoint(EndpointName="bad", Body=body, **more)


@pytest.mark.parametrize(("status", "side"), [(400, "client"), (415, "client"), (500, "server"), (503, "server"), (302, "server")])
def test_a_models_error_is_told_with_its_status(bad, refused, status, side):
    said = refused(
        lambda: bad(f"status {status} too bad"), "ModelError", f'Received {side} error ({status}) from primary with message "too bad".', 424
    )
    assert (said["OriginalStatusCode"], said["OriginalMessage"]) == (status, "too bad")
    assert said["LogStreamArn"].endswith("log-group:/aws/sagemaker/Endpoints/bad")


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"\0\1\2garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"HTTP/9.9 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\nabcde",
    ],
    ids=range(8),
)  # fmt: skip
def test_an_answer_that_is_no_http_is_a_model_error(bad, refused, answer):
    said = refused(lambda: bad(f"raw {answer!r}"), "ModelError", status=424)
    assert said["OriginalStatusCode"] == 500, said


def test_headers_of_a_model_cannot_split_the_answer(bad):
    said = bad("header {'X_Amzn_SageMaker_Custom_Attributes': 'a\\tb', 'X_Evil': 'y'}")
    assert "x-evil" not in said["ResponseMetadata"]["HTTPHeaders"]


def test_answers_larger_than_the_limit(bad, refused):
    assert len(bad("big 6000000")["Body"].read()) == 6_000_000
    said = refused(lambda: bad("big 7340032"), "ModelError", status=424)
    assert "is larger than" in said["Error"]["Message"]


def test_requests_larger_than_the_limit(bad, refused):
    assert len(bad(b"x" * 6_291_456)["Body"].read()) == 6_291_456
    refused(lambda: bad(b"x" * 6_291_457), "ValidationError", "Member must have length less than or equal to 6291456")


def test_an_answer_that_comes_too_late(boxes, bad, refused, monkeypatch):
    from dataclasses import replace

    invoker = boxes.platform.invoker
    arn = boxes.sm.describe_endpoint(EndpointName="bad")["EndpointArn"]
    table = invoker._tables[arn]
    monkeypatch.setitem(invoker._tables, arn, replace(table, variants=tuple(replace(v, timeout_s=0.5) for v in table.variants)))
    said = refused(
        lambda: bad("sleep 3"), "ModelError", "Your invocation timed out while waiting for a response from container primary.", 424
    )
    assert said["OriginalStatusCode"] == 0


def test_a_server_that_dies_in_a_request_is_started_again(boxes, bad, refused):
    refused(lambda: bad("exit 1"), "ModelError", status=424)
    deadline = time.monotonic() + 20
    while True:
        try:
            assert bad("back")["Body"].read() == b"back"
            break
        except boxes.rt.exceptions.ClientError as problem:
            assert problem.response["Error"]["Code"] in ("ModelError", "ServiceUnavailable"), problem
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert boxes.sm.describe_endpoint(EndpointName="bad")["EndpointStatus"] == "InService"


def test_names_that_are_not_there(boxes, bad, refused):
    refused(
        lambda: boxes.rt.invoke_endpoint(EndpointName="none", Body=b""),
        "ValidationError",
        "Endpoint none of account 123456789012 not found.",
    )
    refused(lambda: bad(b"x", TargetVariant="none"), "ValidationError", "Variant none not found")
    refused(lambda: boxes.rt.invoke_endpoint(EndpointName="../x", Body=b""), "ValidationError")


@pytest.mark.parametrize("member", ["ContentType", "Accept", "CustomAttributes", "InferenceId"])
def test_header_members_of_odd_text(boxes, bad, refused, member):
    for text in ("x" * 1025, "a\0b", "a\x7f", "a\tb", " "):
        try:
            bad(b"x", **{member: text})
        except boxes.rt.exceptions.ClientError as problem:
            assert problem.response["Error"]["Code"] == "ValidationError", problem
        except (UnicodeEncodeError, ValueError):
            pass  # the client's own HTTP refuses
