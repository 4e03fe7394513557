"""What holds for every test."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from modelyard.config import Settings
from modelyard.kernel import database

DEEPEST = 3
"""How far under the folder of all tests a data folder stands."""


LONGEST_FIRST = (
    "tests/journeys/test_frameworks.py",
    "tests/crash/test_real_processes.py",
    "tests/journeys/test_pyspark.py",
    "tests/journeys/test_tuning.py",
    "tests/journeys/test_sdk3.py",
    "tests/journeys/test_sdk2_pipelines.py",
    "tests/journeys/test_examples.py",
    "tests/journeys/test_cli.py",
    "tests/algorithms/test_huggingface.py",
    "tests/journeys/test_sdk2_processing.py",
    "tests/journeys/test_sdk2.py",
    "tests/algorithms/test_tensorflow.py",
    "tests/journeys/test_mlu_lab1.py",
    "tests/algorithms/test_lightgbm.py",
    "tests/algorithms/test_serving.py",
    "tests/journeys/test_sdk2_spot_and_hosts.py",
    "tests/journeys/test_aws_cli.py",
    "tests/security/test_live.py",
    "tests/cli/test_commands.py",
    "tests/algorithms/test_xgboost_serve.py",
    "tests/wire/test_round_trip.py",
    "tests/journeys/test_aws_cli_hosting.py",
    "tests/journeys/test_scaling.py",
    "tests/journeys/test_sdk3_processing.py",
    "tests/journeys/test_mlflow.py",
    "tests/journeys/test_many_jobs.py",
    "tests/algorithms/test_direct.py",
    "tests/journeys/test_sdk2_experiments.py",
    "tests/journeys/test_cost.py",
    "tests/journeys/test_sdk2_canary.py",
    "tests/journeys/test_sdk2_builtin.py",
    "tests/journeys/test_mlu_lab2c.py",
    "tests/algorithms/test_xgboost_train.py",
    "tests/algorithms/test_pytorch.py",
    "tests/algorithms/test_script_train.py",
    # quick ones
    "tests/crash/test_endpoint.py",
    "tests/badinput/test_processing_job.py",
    "tests/services/sagemaker/test_inference_experiment.py",
    "tests/badinput/test_model_servers.py",
    "tests/crash/test_async.py",
    "tests/services/sagemaker/test_guardrails.py",
    "tests/services/sagemaker/test_transform_job.py",
    "tests/crash/test_queues.py",
)
"""Files that take long, the longest first: a worker that begins one of them last would let the others wait for it. (xdist's own order,
by number of tests, would begin the journeys of one long test last.)"""


def pytest_collection_modifyitems(items):
    place = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(item.nodeid.partition("::")[0], len(place)))


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk():
    """No test cuts the power. What these processes write need not be on the disk, which takes longer than most tests; platforms in
    processes of their own, those that are killed, go on waiting for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "SYNCHRONOUS", {True: "OFF", False: "OFF"})
        patch.setattr(os, "fsync", lambda fd: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_socket_folder_left(tmp_path_factory):
    """A data folder with a long path has its sockets in a folder under /tmp, which `modelyard reset` deletes; tests do not reset."""
    yield
    base = tmp_path_factory.getbasetemp()
    for folder, inner, _ in os.walk(base):
        path = Path(folder)
        sockets = Settings(data=path).socket_dir
        if not sockets.is_relative_to(path):
            shutil.rmtree(sockets, ignore_errors=True)
        if len(path.relative_to(base).parts) >= DEEPEST:
            inner.clear()
