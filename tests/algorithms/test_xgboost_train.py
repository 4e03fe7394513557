"""The built-in algorithm's checks, formats and failures, run as the container runs them."""

from __future__ import annotations

import json
import signal
import struct
import subprocess
import time

import pytest

from tests.support.patience import deadline

pytestmark = pytest.mark.slow

ROWS = "".join(f"{i % 2},{i % 2 + i / 100},{i % 7}\n" for i in range(60))
BASE = {"num_round": "3", "objective": "binary:logistic"}
CSV = {"ContentType": "text/csv", "TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}


@pytest.fixture
def job(container):
    """A job with good data; `job(hyperparameters, version)` trains and answers (exit code, log)."""
    box = container("xgboost-1.7")
    box.write("inputdataconfig", {"train": CSV})
    box.channel("train", "part-0.csv", ROWS)

    def train(hyperparameters: dict, version: str = "1.7-1") -> tuple[int, str]:
        box.write("hyperparameters", hyperparameters)
        done = box.run("train", "xgboost", MODELYARD_IMAGE_VERSION=version)
        return done.returncode, done.stdout

    train.box = box
    return train


def fails(job, hyperparameters: dict, text: str, version: str = "1.7-1") -> None:
    code, log = job(hyperparameters, version)
    assert code == 1, log
    assert job.box.failure.startswith("framework error: \nTraceback")
    assert text in job.box.failure[:1024] and text in log


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"num_round": None}, "Missing required hyperparameter: num_round"),
        ({"wrong": "1"}, "Extraneous hyperparameter found: wrong"),
        ({"num_round": "0"}, "Hyperparameter num_round: 0 is not in [1, +inf)"),
        ({"num_round": "x"}, "Hyperparameter num_round: could not parse value (caused by ValueError)"),
        ({"subsample": "0"}, "Hyperparameter subsample: 0.0 is not in (0, 1]"),
        ({"booster": "tree"}, "Hyperparameter booster: tree is not in ['gbtree', 'gblinear', 'dart']"),
        ({"objective": "multi:softmax"}, "Require input for parameter 'num_class' for multi-classification"),
        ({"monotone_constraints": "(1,0)"}, "monotone_constraints can be used only when the tree_method parameter is set"),
        ({"eval_metric": "nonsense"}, "Hyperparameter eval_metric: value ['nonsense'] not in range"),
        ({"silent": "0"}, "Extraneous hyperparameter found: silent"),
    ],
)
def test_hyperparameters(job, change, text):
    fails(job, {k: v for k, v in (BASE | change).items() if v is not None}, text)


def test_header_row_is_refused(job):
    job.box.channel("train", "part-0.csv", "target,a,b\n" + ROWS)
    fails(
        job, BASE, "Non-numeric value 'target' found in the header line 'target,a,b...' of file 'part-0.csv'. CSV format require no header"
    )


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("", "No data in training channel path"),
        ("1,True,2\n0,False,1\n", "Non-numeric value 'True' found"),
        ("1,2,3\n0,oops,1\n", "Failed to load csv data with exception:\n"),
        ("1,2,3\n0,1,2,3\n", "Failed to load csv data with exception:\n"),
        (",2,3\n0,1,2\n", "Label contains NaN"),
        ("2,2,3\n0,1,2\n", "label must be in [0,1] for logistic regression"),
    ],
)
def test_bad_data(job, data, text):
    job.box.channel("train", "part-0.csv", data)
    fails(job, BASE, text)


def test_missing_values_weights_and_several_files(job):
    job.box.channel("train", "part-0.csv", "".join(f"{i % 2},1,{i % 2},\n" for i in range(30)))
    job.box.channel("train", "sub/part-1.csv", "".join(f"{i % 2},2,,{i}\n" for i in range(10)))
    code, log = job(BASE | {"csv_weights": "1"})
    assert code == 0, log
    assert "40x2 matrix with 40 entries loaded from" in log and "Train matrix has 40 rows and 2 columns" in log


def test_content_types(job):
    job.box.write("inputdataconfig", {"train": CSV | {"ContentType": "text/csv; label_size=2"}})
    fails(job, BASE, "text/csv; label_size=2 is not an accepted csv ContentType. Optional parameter label_size must be equal to 1")
    job.box.write("inputdataconfig", {"train": CSV, "test": CSV})
    (job.box.base / "output" / "failure").unlink()
    fails(job, BASE, "Extraneous channel found: test")


def test_libsvm_is_the_default_content_type(job):
    job.box.write("inputdataconfig", {"train": {k: v for k, v in CSV.items() if k != "ContentType"}})
    (job.box.base / "input/data/train/part-0.csv").unlink()
    job.box.channel("train", "a.libsvm", "".join(f"{i % 2} 0:{i % 2} 2:{i}\n" for i in range(40)))
    code, log = job(BASE)
    assert code == 0 and "Train matrix has 40 rows and 3 columns" in log, log


def test_recordio_protobuf(job):
    def field(number: int, payload: bytes) -> bytes:
        return bytes([number << 3 | 2, len(payload)]) + payload

    def entry(values: list[float]) -> bytes:
        tensor = field(1, struct.pack(f"<{len(values)}f", *values))
        return field(1, b"values") + field(2, field(2, tensor))

    records = b""
    for i in range(40):
        payload = field(1, entry([float(i % 2), float(i)])) + field(2, entry([float(i % 2)]))
        records += struct.pack("<II", 0xCED7230A, len(payload)) + payload + b"\0" * (-len(payload) % 4)
    (job.box.base / "input/data/train/part-0.csv").unlink()
    job.box.channel("train", "data.pbr", records)
    job.box.write("inputdataconfig", {"train": CSV | {"ContentType": "application/x-recordio-protobuf"}})
    code, log = job(BASE)
    assert code == 0 and "Train matrix has 40 rows and 2 columns" in log, log


def test_own_metric_tuning_metric_and_early_stopping(job):
    job.box.write("inputdataconfig", {"train": CSV, "validation": CSV})
    job.box.channel("validation", "v.csv", ROWS)
    wanted = BASE | {
        "num_round": "50", "eval_metric": "accuracy,logloss", "early_stopping_rounds": "2", "_tuning_objective_metric": "validation:accuracy",
    }  # fmt: skip
    code, log = job(wanted)
    assert code == 0, log
    lines = [line for line in log.splitlines() if line.startswith("[") and "#011" in line]
    assert "#011validation-accuracy:1.00000" in lines[0] and "#011validation-logloss:" in lines[0]
    assert len(lines) < 50  # accuracy is 1 from the first round on, so it stops


def test_old_default_metric_and_checkpoint_resume(job, tmp_path):
    job.box.write("checkpointconfig", {"LocalPath": str(tmp_path / "checkpoints")})
    code, log = job(BASE, "1.2-2")
    assert code == 0 and "[0]#011train-error:" in log
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [f"xgboost-checkpoint.{i}" for i in range(3)]
    code, log = job(BASE | {"num_round": "5"}, "1.2-2")
    assert code == 0 and "Resuming from iteration 3" in log and "[4]#011" in log and "[2]#011" not in log


def test_a_stopped_job_leaves_its_model(job):
    box = job.box
    box.write("hyperparameters", BASE | {"num_round": "1000000", "save_model_on_termination": "true"})
    command = [str(box.python), "-m", "modelyard_algorithms", "train", "xgboost"]
    process = subprocess.Popen(command, env=box.variables | {"MODELYARD_IMAGE_VERSION": "1.7-1"}, stdout=subprocess.DEVNULL)
    model, end = box.base / "model" / "xgboost-model", deadline(30)
    while not model.exists() and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert [p.name for p in (box.base / "model").iterdir()] == ["xgboost-model"]


def test_script_mode_in_the_xgboost_image(job, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "go.py").write_text("import xgboost, sys; print('xgboost', xgboost.__version__, sys.argv[1:])")
    code, log = job({"depth": "3", "sagemaker_program": '"go.py"', "sagemaker_submit_directory": json.dumps(str(tmp_path / "code"))})
    assert code == 0 and "xgboost 1.7.6 ['--depth', '3']" in log, log
