"""The commands as a user types them, against a real platform."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from modelyard import processes
from modelyard.cli.parser import build
from tests.cli.conftest import ROOT, wait

pytestmark = pytest.mark.slow


def modelyard(*words, data=None, **more):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "PYTHONDONTWRITE"))}
    environment |= {"PYTHONPATH": str(ROOT / "src"), "HOME": str(data.parent if data else "/nonexistent")} | more.pop("env", {})
    folder = ["--data", str(data)] if data else []
    words = [words[0], *folder, *words[1:]] if words else []
    return subprocess.run(
        [sys.executable, "-m", "modelyard", *words],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        env=environment,
        **more,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "data"
    started = modelyard("up", "--detach", "--port", "0", data=folder)
    assert started.returncode == 0, started.stderr
    yield folder
    modelyard("down", data=folder)


def status(data):
    return json.loads(modelyard("status", "--json", data=data).stdout)


def client(data, service, *more):
    found = json.loads(modelyard("env", "--json", *more, data=data).stdout)
    return boto3.client(
        service,
        endpoint_url=found["AWS_ENDPOINT_URL"],
        region_name=found["AWS_REGION"],
        aws_access_key_id=found["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=found["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=found.get("AWS_SESSION_TOKEN"),
    )


def test_help_names_every_command():
    said = modelyard("--help").stdout
    assert all(
        f"\n    {name} " in said for name in ("up", "down", "status", "env", "run", "logs", "images", "account", "reset", "doctor", "demo")
    )


def test_help_imports_nothing_heavy():
    """What makes a command slow to answer is what it imports."""
    heavy = "botocore", "uvloop", "rich", "cryptography", "asyncio", "modelyard.kernel.store"
    code = f"import sys; from modelyard.cli import parser; parser.build(); print([n for n in {heavy!r} if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_status_has_what_scripts_read(data):
    found = status(data)
    assert found["endpoint"].startswith("http://127.0.0.1:") and found["auth"] == "iam" and found["tier"]
    assert found["clock"]["speed"] == 1 and abs(found["clock"]["now"] - time.time()) < 5
    roles = {p["role"]: p["pid"] for p in found["processes"]}
    assert {"supervisor", "gateway", "engine"} <= set(roles)
    assert all(processes.alive(pid) for pid in roles.values())
    assert "\x1b[" not in modelyard("status", data=data).stdout


def test_env_is_evaluated_by_a_shell(data):
    said = subprocess.run(
        ["sh", "-c", f'eval "$({sys.executable} -m modelyard env --data {data})"; echo "$AWS_ENDPOINT_URL $AWS_SESSION_TOKEN"'],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    ).stdout  # fmt: skip
    assert said.split()[0] == status(data)["endpoint"] and len(said.split()) == 2


def test_the_default_session_is_a_role_session(data):
    assert re.fullmatch(r"arn:aws:sts::123456789012:assumed-role/[^/]+/.+", client(data, "sts").get_caller_identity()["Arn"])


def test_run_lands_hard_coded_hosts_here(data):
    code = "import boto3; print(boto3.client('sts', endpoint_url='https://sts.eu-west-1.amazonaws.com').get_caller_identity()['Account'])"
    done = modelyard("run", "--", sys.executable, "-c", code, data=data)
    assert done.stdout.strip() == "123456789012", done.stderr
    assert modelyard("run", "--", "sh", "-c", "exit 7", data=data).returncode == 7
    assert modelyard("run", "--", "no-such-command", data=data).returncode == 127


def test_a_second_up_says_who_holds_it(data):
    for more in ([], ["--detach"]):
        again = modelyard("up", "--port", "0", *more, data=data)
        assert again.returncode == 4
        found = status(data)
        assert str(found["processes"][0]["pid"]) in again.stderr and found["endpoint"] in again.stderr


def test_a_taken_port_names_its_owner(data, tmp_path):
    port = status(data)["endpoint"].rpartition(":")[2]
    taken = modelyard("up", "--port", port, data=tmp_path / "other")
    assert taken.returncode == 4
    assert f"port {port}" in taken.stderr and "pid" in taken.stderr


def test_open_is_refused_beyond_loopback(tmp_path):
    refused = modelyard("up", "--auth", "open", "--host", "0.0.0.0", data=tmp_path / "d")
    assert refused.returncode == 2 and "loopback" in refused.stderr
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    "words",
    [["--account", "12"], ["--clock-speed", "0"], ["--gateways", "1.5"], ["--patience", "-1"], ["--clock-speed", "nan"], ["--auth", "no"]],
)
def test_wrong_words_are_usage_errors(words, tmp_path):
    assert modelyard("up", *words, data=tmp_path / "d").returncode == 2


def test_what_needs_a_platform_says_there_is_none(tmp_path):
    for words in (["status"], ["env"], ["run", "--", "true"], ["down"], ["logs", "x"], ["account", "add", "111122223333"]):
        assert modelyard(*words, data=tmp_path / "none").returncode == 3, words


def test_a_further_account_has_its_own_root_keys(data):
    assert modelyard("account", "add", "111122223333", data=data).returncode == 0
    assert [a["account"] for a in json.loads(modelyard("account", "ls", "--json", data=data).stdout)] == ["111122223333", "123456789012"]
    assert client(data, "sts", "--account", "111122223333").get_caller_identity()["Arn"] == "arn:aws:iam::111122223333:root"
    assert "unset AWS_SESSION_TOKEN" in modelyard("env", "--account", "111122223333", data=data).stdout
    assert modelyard("env", "--account", "999999999999", data=data).returncode == 1
    assert modelyard("account", "add", "12", data=data).returncode == 2


def test_killed_processes_are_back_within_a_second(data):
    for role in ("gateway", "engine"):
        old = next(p["pid"] for p in status(data)["processes"] if p["role"] == role)
        os.kill(old, signal.SIGKILL)
        wait(lambda pid=old, role=role: any(p["role"] == role and p["pid"] != pid for p in status(data)["processes"]), 5)
        assert client(data, "sts").get_caller_identity()["Account"] == "123456789012"


def test_logs_and_images_and_doctor_answer(data):
    assert modelyard("logs", "no-such-job", data=data).returncode == 1
    assert modelyard("logs", "x", "--filter", "{ $.a =", data=data).returncode == 2
    assert any(row["env"].startswith("xgboost") for row in json.loads(modelyard("images", "--json", data=data).stdout))
    assert modelyard("images", "build", "no-such:1", data=data).returncode == 1
    found = json.loads(modelyard("doctor", "--json", data=data).stdout)
    assert found["tier"] and found["versions"]["modelyard"] and found["disk"]["free_bytes"] > 0


def test_objects_survive_and_reset_deletes(tmp_path):
    folder = tmp_path / "data"
    assert modelyard("up", "--detach", "--port", "0", "--clock-speed", "60", data=folder).returncode == 0
    client(folder, "s3").create_bucket(Bucket="kept-bucket")
    before = status(folder)
    assert before["clock"]["speed"] == 60
    assert modelyard("down", data=folder).returncode == 0
    assert not any(processes.alive(p["pid"]) for p in before["processes"])
    assert modelyard("up", "--detach", "--port", "0", data=folder).returncode == 0
    after = status(folder)
    assert after["clock"]["now"] >= before["clock"]["now"]
    client(folder, "s3").head_bucket(Bucket="kept-bucket")
    with pytest.raises(ClientError):
        client(folder, "s3").head_bucket(Bucket="other-bucket")
    assert modelyard("reset", data=folder).returncode == 1, "nobody agreed"
    assert modelyard("reset", "--yes", data=folder).returncode == 0
    assert not folder.exists()
    assert not any(processes.alive(p["pid"]) for p in after["processes"])


def test_reset_leaves_other_folders_alone(tmp_path):
    (tmp_path / "precious").write_text("x")
    assert modelyard("reset", "--yes", data=tmp_path).returncode == 1
    assert (tmp_path / "precious").exists()


def test_the_data_folder_may_stand_behind_an_action_of_spot():
    for words in (["spot", "--data", "/d", "interrupt", "job"], ["spot", "interrupt", "job", "--data", "/d"]):
        assert build().parse_args(words).data == Path("/d")
    assert build().parse_args(["spot", "interrupt", "job"]).data is None
