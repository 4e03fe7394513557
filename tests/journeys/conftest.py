"""One real platform per test session, and real clients in environments of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from modelyard.cli.environment import quick_polls as short_pauses
from modelyard.config import Settings
from modelyard.runtime.images import ImageStore
from tests.support import patience
from tests.support.aws_commands import Commands
from tests.support.needs import require

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILD_SECONDS = 900


def pytest_collection_modifyitems(items):
    """Everything here starts real processes."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)


def wait(what: Callable[[], Any], seconds: float = 30.0, every: float = 0.1) -> Any:
    """Polls until `what()` answers something true, and answers it."""
    deadline = patience.deadline(seconds)
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(every)
    raise AssertionError(f"waited {seconds} s in vain")


class Yard:
    """A platform in a data folder of its own, used as a user would: by its command line and by AWS clients."""

    def __init__(self, data: Path) -> None:
        self.data = data
        # Nothing of the shell that runs the tests may reach a client. `modelyard run` sets what a client needs.
        self._env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "SAGEMAKER_")) and k != "MODELYARD_DATA"}
        self._env |= {"PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(data.parent)}
        # Found by the user's own home; the images and package indexes of this machine stay where they are.
        home = os.path.expanduser("~")
        self._env.setdefault("XDG_CACHE_HOME", f"{home}/.cache")
        self._env.setdefault("XDG_CONFIG_HOME", f"{home}/.config")

    def modelyard(self, *words: str, timeout: float = 60, code: int | None = 0, **more: Any) -> subprocess.CompletedProcess:
        """`modelyard WORDS --data …`; fails with what it printed unless it ends with `code`."""
        first, *rest = words
        argv = [sys.executable, "-m", "modelyard", first, "--data", str(self.data), *rest]
        done = subprocess.run(argv, env=self._env, capture_output=True, text=True, timeout=timeout * patience.SLOWNESS, **more)
        said = f"modelyard {' '.join(words)[:200]} ended with {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        assert code is None or done.returncode == code, said
        return done

    def popen(self, *words: str) -> subprocess.Popen:
        first, *rest = words
        argv = [sys.executable, "-u", "-m", "modelyard", first, "--data", str(self.data), *rest]
        return subprocess.Popen(argv, env=self._env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *words: str, **more: Any) -> subprocess.CompletedProcess:
        """`modelyard run -- WORDS`, without the import path of the tests."""
        return self.modelyard("run", "--", "env", "-u", "PYTHONPATH", *words, **more)

    def python(
        self, client: str, script: str, *words: str, timeout: float = 240, folder: Path | None = None, quick_polls: bool = True
    ) -> dict[str, Any]:
        """Runs `clients/SCRIPT` in the environment `client`, and answers the facts it left in $FACTS (JSON). As with `modelyard run
        --quick-polls` the SDK's own pauses (up to 30 s before it looks at all) are short, unless the test wants them as they are."""
        facts = self.data.parent / f"{Path(script).stem}-{time.monotonic_ns()}.json"
        facts.unlink(missing_ok=True)
        python = sys.executable if client == "boto3" else environment(client)
        path = HERE / "clients" / script
        polls = [f"{name}={value}" for name, value in short_pauses({}).items()] if quick_polls else []
        done = self.run("env", f"FACTS={facts}", *polls, str(python), str(path), *words, timeout=timeout, cwd=folder or self.data.parent)
        assert facts.exists(), f"{script} told nothing\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return json.loads(facts.read_text()) | {"stdout": done.stdout, "stderr": done.stderr}

    def variables(self, *words: str) -> dict[str, str]:
        """What `modelyard env` exports."""
        import shlex

        lines = self.modelyard("env", *words).stdout.splitlines()
        parts = [shlex.split(line) for line in lines if line.startswith("export ")]
        return dict(word.split("=", 1) for _, word in parts)

    def client(self, service: str, *words: str, **more: Any) -> Any:
        """A boto3 client with what `modelyard env WORDS` exports."""
        found = self.variables(*words)
        keys = {
            "aws_access_key_id": found["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": found["AWS_SECRET_ACCESS_KEY"],
            "aws_session_token": found.get("AWS_SESSION_TOKEN"),
        }
        settings = {"region_name": found["AWS_REGION"], "endpoint_url": found["AWS_ENDPOINT_URL"], **keys, **more}
        return boto3.client(service, **settings)

    def status(self) -> dict[str, Any]:
        return json.loads(self.modelyard("status", "--json").stdout)

    @property
    def endpoint(self) -> str:
        return self.status()["endpoint"]

    def up(self, *words: str) -> Yard:
        self.modelyard("up", "--detach", "--port", "0", *words)
        return self

    def down(self) -> None:
        self.modelyard("down")


def environment(name: str) -> Path:
    """The Python of a client's environment, built on first use by the same store as the images of jobs."""
    images = ImageStore(Settings(data=Path("unused")))
    return images.ensure(images.of_environment(name)) / "bin" / "python"


class CommandLine:
    """`aws(*words)` is the AWS CLI with what `modelyard run` gives it, in a folder of its own: answers what it printed (parsed where it
    is JSON), or where another `code` is expected what it said on stderr."""

    def __init__(self, yard: Yard, commands: Commands, folder: Path) -> None:
        self.folder, self._commands = folder, commands
        self._environment = dict(pair.split("=", 1) for pair in yard.run("env", "-0").stdout.split("\0") if pair)

    def __call__(self, *words: str, code: int = 0, timeout: float = 240) -> Any:
        done = self._commands.run(list(words), self._environment, self.folder, timeout)
        assert done.returncode == code, f"aws {' '.join(words)[:200]} ended with {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        if code:
            return done.stderr
        return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout


@pytest.fixture(scope="session")
def aws_commands():
    made = Commands()
    yield made
    made.close()


@pytest.fixture(scope="session")
def yard(tmp_path_factory):
    require("sandbox")  # user code in these journeys names /opt/ml, as user code does
    made = Yard(tmp_path_factory.mktemp("journeys") / "data")
    made.up()
    yield made
    made.down()


@pytest.fixture
def fresh(tmp_path):
    """A platform of this test alone; the test calls `up` itself."""
    require("sandbox")
    made = Yard(tmp_path / "data")
    yield made
    made.modelyard("down", code=None)
