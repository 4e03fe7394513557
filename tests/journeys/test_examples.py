"""Every example runs, says what it should, and leaves nothing behind."""

import os
import sys
from pathlib import Path

import pytest

from tests.journeys.conftest import ROOT, environment

EXAMPLES = ROOT / "examples"


def left(yard):
    sagemaker = yard.client("sagemaker")
    return [
        [e["EndpointName"] for e in sagemaker.list_endpoints()["Endpoints"] if e["EndpointStatus"] != "Deleting"],
        [m["ModelName"] for m in sagemaker.list_models()["Models"]],
        [c["EndpointConfigName"] for c in sagemaker.list_endpoint_configs()["EndpointConfigs"]],
    ]


@pytest.mark.parametrize(
    "name, client", [("boto3_quickstart.py", None), ("sdk2_xgboost.py", "client-sdk2"), ("sdk3_model_trainer.py", "client-sdk3")]
)
def test_python_example(yard, name, client):
    before = left(yard)
    python = environment(client) if client else sys.executable
    said = yard.run(str(python), str(EXAMPLES / name), timeout=280).stdout
    classes = [line.split()[-1] for line in said.splitlines() if "is of class" in line]
    assert [float(answer) for answer in classes] == [0.0, 1.0, 2.0] or [float(answer) for answer in classes] == [0.0, 2.0, 2.0], said[
        -3000:
    ]
    assert left(yard) == before


def test_boto3_example_with_the_exported_lines_only(yard):
    """As its text says: `eval "$(modelyard env)"`, without the way out of `modelyard run`."""
    import subprocess

    env = {"PATH": os.environ["PATH"], "HOME": str(yard.data.parent), **yard.variables()}
    said = subprocess.run(
        [sys.executable, str(EXAMPLES / "boto3_quickstart.py")], env=env, capture_output=True, text=True, timeout=280, check=True
    )
    assert "Completed {'train:mlogloss': 0.0" in said.stdout


def test_shell_example(yard):
    before = left(yard)
    aws = Path(sys.executable).parent
    said = yard.run("env", f"PATH={aws}:{os.environ['PATH']}", "sh", str(EXAMPLES / "aws_cli.sh"), timeout=280).stdout
    assert "class of 6.3,2.8,5.1,1.5: 2.0" in said or "class of 6.3,2.8,5.1,1.5: 1.0" in said, said[-3000:]
    assert "remove_bucket: cli-" in said
    assert left(yard) == before


def test_guardrail_theatre(fresh):
    """A bad model, a canary, an alarm, a rollback, and the mended model in steps: the play asserts all of it itself."""
    fresh.up("--clock-speed", "60")
    said = fresh.run(sys.executable, str(EXAMPLES / "guardrail-theatre/theatre.py"), timeout=280).stdout
    assert "every expectation held" in said and "NO " not in said, said[-4000:]
    assert "Baking" in said, "the stage of the rollout was seen"
    assert left(fresh) == [[], [], []]


def test_every_example_is_tested():
    tested = {"boto3_quickstart.py", "sdk2_xgboost.py", "sdk3_model_trainer.py", "aws_cli.sh", "theatre.py"}
    assert {path.name for path in EXAMPLES.rglob("*") if path.suffix in (".py", ".sh")} == tested
