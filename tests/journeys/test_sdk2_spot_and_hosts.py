"""SageMaker SDK v2 as users have it: a spot job that is interrupted and resumes, and a job on two hosts with sharded data."""

import json
import re
import sys

import pytest

from tests.journeys.conftest import HERE, ROOT


@pytest.fixture(scope="module")
def facts(yard):
    command = ["env", f"PYTHONPATH={ROOT / 'src'}", sys.executable, "-m", "modelyard", "spot", "--data", str(yard.data), "interrupt"]
    return yard.python("client-sdk2", "sdk2_spot_and_hosts.py", str(HERE / "code/spot"), str(HERE / "code/hosts"), *command, timeout=240)


def test_the_spot_job_resumes_from_its_checkpoint(facts):
    job, said = facts["spot"], facts["spot_said"]
    assert job["TrainingJobStatus"] == "Completed"
    steps = [t["Status"] for t in job["SecondaryStatusTransitions"]]
    assert steps == ["Starting", "Downloading", "Training", "Interrupted", "Starting", "Downloading", "Training", "Uploading", "Completed"]
    begins = [int(found) for found in re.findall(r"resume at epoch (\d+)", said)]
    assert begins[0] == 0 and len(begins) == 2 and begins[1] > 0
    assert facts["spot_model"] == {"epochs": "60"}
    assert "Interrupted" in said and "two-minute notice" in facts["interrupt"]


def test_the_sdk_prints_what_was_saved(facts):
    job, said = facts["spot"], facts["spot_said"]
    assert job["BillableTimeInSeconds"] < job["TrainingTimeInSeconds"]
    assert f"Training seconds: {job['TrainingTimeInSeconds']}" in said and f"Billable seconds: {job['BillableTimeInSeconds']}" in said
    assert "Managed Spot Training savings: " in said
    assert {m["MetricName"]: m["Value"] for m in job["FinalMetricDataList"]} == {"epoch": 60.0}


def test_two_hosts_add_up_their_shards(facts):
    said = facts["hosts_said"]
    assert facts["hosts"]["TrainingJobStatus"] == "Completed"
    assert facts["hosts_model"] == {"algo-1": "1111.0", "algo-2": "1111.0"}
    assert "algo-1 has ['0', '2']" in said and "algo-2 has ['1', '3']" in said and said.count("total=1111.0;") == 2


def test_the_market_by_its_command(yard):
    yard.modelyard("spot", "market", "--rate", "6", "--wait", "90s", "--outage-in", "1h", "--outage-for", "10m")
    said = yard.modelyard("spot").stdout
    assert "6 per instance and hour" in said and "90 s after" in said and "capacity        available" in said and said.count("outage ") == 1
    market = json.loads(yard.modelyard("spot", "--json").stdout)
    assert (market["InterruptionsPerHour"], market["WaitInSeconds"], len(market["Outages"])) == (6.0, 90.0, 1)
    yard.modelyard("spot", "market", "--outage-for", "1h")
    assert "none now" in yard.modelyard("spot").stdout
    yard.modelyard("spot", "market", "--rate", "0", "--wait", "0", "--no-outages", "--discount", "50")
    assert "0 per instance" in yard.modelyard("spot").stdout
    assert "say what shall change" in yard.modelyard("spot", "market", code=2).stderr
    assert "There is no training job nobody" in yard.modelyard("spot", "interrupt", "nobody", code=1).stderr
    yard.modelyard("spot", "market", "--discount", "70")
