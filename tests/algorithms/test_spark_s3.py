"""s3:// for Spark: what Hadoop's WebHDFS client asks, answered from a bucket."""

from __future__ import annotations

import http.client
import json

import pytest

from modelyard.algorithms.spark import s3_server
from tests.support.platform import InProcess


@pytest.fixture
def asked(tmp_path):
    yard = InProcess(tmp_path)
    s3 = yard.client("s3")
    s3.create_bucket(Bucket="lake")
    server = s3_server.serve(s3)

    def ask(method, path, op, body=None, bucket="lake", **more):
        """As a JVM with an HTTP proxy asks: the whole URL, and bodies in chunks."""
        query = "&".join(f"{k}={v}" for k, v in {"op": op, "user.name": "root", **more}.items())
        line = http.client.HTTPConnection(*server.server_address, timeout=20)
        chunked = {"Transfer-Encoding": "chunked"} if body is not None else {}
        line.request(method, f"http://{bucket}:9870/webhdfs/v1/{path}?{query}", body=body, headers=chunked, encode_chunked=bool(chunked))
        answer = line.getresponse()
        text = answer.read()
        line.close()
        is_json = answer.getheader("Content-Type") == "application/json"
        return answer.status, json.loads(text) if is_json else text

    def write(path, *pieces):
        assert ask("PUT", path, "CREATE", overwrite="true")[0] == 307
        assert ask("PUT", path, "CREATE", iter(pieces), overwrite="true", step="2")[0] == 201

    ask.s3, ask.write = s3, write
    yield ask
    server.shutdown()
    server.server_close()
    yard.close()


def names(answer):
    return [(row["pathSuffix"], row["type"], row["length"]) for row in answer[1]["FileStatuses"]["FileStatus"]]


def test_what_is_written_is_an_object_and_can_be_read_from_anywhere_in_it(asked):
    asked.write("out/shop=a%20b/part-0.csv", b"hello ", b"world")
    assert asked.s3.get_object(Bucket="lake", Key="out/shop=a b/part-0.csv")["Body"].read() == b"hello world"
    assert asked("GET", "out/shop=a%20b/part-0.csv", "OPEN", offset="6") == (200, b"world")
    assert asked("GET", "out/shop=a%20b/part-0.csv", "OPEN", offset="2", length="3") == (200, b"llo")
    assert asked("GET", "out/shop=a%20b/part-0.csv", "OPEN", offset="99") == (200, b"")
    assert names(asked("GET", "out", "LISTSTATUS")) == [("shop=a b", "DIRECTORY", 0)]
    assert names(asked("GET", "out/shop=a%20b", "LISTSTATUS")) == [("part-0.csv", "FILE", 11)]
    assert asked("GET", "out/shop=a%20b/part-0.csv", "GETFILESTATUS")[1]["FileStatus"]["length"] == 11
    assert asked("PUT", "out/shop=a%20b/part-0.csv", "CREATE")[1]["RemoteException"]["exception"] == "FileAlreadyExistsException"


def test_a_task_commits_by_renames_and_nothing_of_it_stays(asked):
    assert asked("PUT", "out/_temporary/0", "MKDIRS") == (200, {"boolean": True})
    assert asked("GET", "out/_temporary/0", "GETFILESTATUS")[1]["FileStatus"]["type"] == "DIRECTORY"
    asked.write("out/_temporary/0/task/x/part-0", b"1")
    assert asked("PUT", "out/_temporary/0/task/x", "RENAME", destination="/out/x") == (200, {"boolean": True})
    assert asked("PUT", "out/_temporary/0/none", "RENAME", destination="/out/y") == (200, {"boolean": False})
    assert asked("DELETE", "out", "DELETE", recursive="false")[1]["RemoteException"]["exception"] == "PathIsNotEmptyDirectoryException"
    assert asked("DELETE", "out/_temporary", "DELETE", recursive="true") == (200, {"boolean": True})
    asked.write("out/_SUCCESS")
    assert [row["Key"] for row in asked.s3.list_objects_v2(Bucket="lake")["Contents"]] == ["out/_SUCCESS", "out/x/part-0"]
    assert asked("PUT", "out/x/part-0", "SETPERMISSION", permission="644")[0] == 200


def test_what_is_not_there_is_said_as_hadoop_says_it(asked):
    for bucket, path in (("lake", "nothing/here"), ("no-such-bucket", "x")):
        status, told = asked("GET", path, "GETFILESTATUS", bucket=bucket)
        assert status == 404 and told["RemoteException"]["javaClassName"] == "java.io.FileNotFoundException"
    assert asked("GET", "x", "GETSERVERDEFAULTS")[1]["RemoteException"]["exception"] == "UnsupportedOperationException"
    assert asked("PUT", "empty", "MKDIRS")[0] == 200 and names(asked("GET", "empty", "LISTSTATUS")) == []
