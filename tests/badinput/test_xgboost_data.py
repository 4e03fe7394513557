"""Bad data for the built-in XGBoost, through the whole platform: the job ends Failed with the algorithm's reason, the next one trains."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.support.needs import require
from tests.support.realm import Realm

pytestmark = pytest.mark.slow
XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
GOOD = "".join(f"{n % 2},{n},{n * n % 7}\n" for n in range(40))


@pytest.fixture(scope="module")
def realm():
    require("sandbox")
    with tempfile.TemporaryDirectory(prefix="my-csv-", ignore_cleanup_errors=True) as folder:
        made = Realm(Path(folder), gateways=1, engines=1)
        yield made.up()
        made.down()


def train(realm: Realm, name: str, data: str | bytes, kind: str = "text/csv") -> dict:
    realm.s3.put_object(Bucket=realm.bucket, Key=f"{name}/part-0.csv", Body=data)
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{realm.bucket}/{name}/"}
    realm.job(
        name,
        "",
        AlgorithmSpecification={"TrainingImage": XGBOOST, "TrainingInputMode": "File"},
        HyperParameters={"objective": "binary:logistic", "num_round": "3"},
        InputDataConfig=[{"ChannelName": "train", "ContentType": kind, "DataSource": {"S3DataSource": source}}],
    )
    return realm.end(name, 180)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("nan-label", "nan,2,3\n0,1,2\n1,2,3\n", "Label contains NaN"),
        ("empty", "", "No data in training channel path"),
        ("header", "target,a,b\n" + GOOD, "Non-numeric value 'target' found in the header line"),
        ("ragged", "0,1,2\n1,2\n0,1,2,3\n", "Failed to load csv data"),
        ("words", "0,1,2\n1,two,3\n", "Failed to load csv data"),
        ("binary", bytes(range(256)) * 8, "UserError"),
    ],
)
def test_bad_csv_fails_the_job_with_the_reason(realm, name, data, reason):
    job = train(realm, name, data)
    assert job["TrainingJobStatus"] == "Failed", job
    assert reason in job["FailureReason"] and job["FailureReason"].startswith("AlgorithmError: "), job["FailureReason"]
    assert "ModelArtifacts" not in job or not job["ModelArtifacts"].get("S3ModelArtifacts"), job


def test_a_content_type_that_the_algorithm_does_not_take(realm):
    job = train(realm, "kind", GOOD, "application/json")
    assert job["TrainingJobStatus"] == "Failed" and "is not an accepted ContentType" in job["FailureReason"], job


def test_good_data_still_trains(realm):
    job = train(realm, "good", GOOD)
    assert job["TrainingJobStatus"] == "Completed" and job["ModelArtifacts"]["S3ModelArtifacts"], job
