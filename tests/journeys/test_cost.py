"""The dollar meter of a real platform: a training job and an endpoint, billed, also over a kill of the engine; `modelyard cost`."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.journeys import jobs
from tests.journeys.conftest import wait


def bill(yard, *words):
    return json.loads(yard.modelyard("cost", *words, "--json").stdout)


def items(found, key):
    return {line["Item"]: line for group in found["Groups"] if group["Key"] == key for line in group["Lines"]}


def test_what_a_job_and_an_endpoint_cost(fresh, tmp_path):
    yard = fresh.up("--clock-speed", "60")
    assert "nothing was used" in yard.modelyard("cost").stdout
    jobs.submit(yard, "paid", "stream")
    job = jobs.finished(yard, "paid")
    assert job["TrainingJobStatus"] == "Completed", job
    engine = next(p["pid"] for p in yard.status()["processes"] if p["role"] == "engine")
    os.kill(engine, signal.SIGKILL)
    found = wait(lambda: (seen := bill(yard)) and items(seen, "paid") and seen)
    line = items(found, "paid")["Training ml.m5.large"]
    assert line["Quantity"] == pytest.approx(job["BillableTimeInSeconds"] / 3600)
    assert line["USD"] == pytest.approx(0.115 * job["BillableTimeInSeconds"] / 3600)
    jobs.deploy(yard, job, "paid-endpoint")
    body = b'{"pause": 0}'
    runtime = yard.client("sagemaker-runtime")
    for _ in range(3):
        runtime.invoke_endpoint(EndpointName="paid-endpoint", ContentType="application/json", Body=body)
    data = wait(lambda: items(bill(yard), "paid-endpoint").get("Endpoint data in"))
    assert data["Quantity"] == pytest.approx(3 * len(body) / 1024**3)
    assert items(bill(yard, "--by", "endpoint"), "paid-endpoint")["Hosting ml.m5.large"]["USD"] > 0
    yard.client("sagemaker").delete_endpoint(EndpointName="paid-endpoint")
    said = yard.modelyard("cost", "--by", "day").stdout
    assert "Training ml.m5.large" in said and "prices of us-east-1, 2026-09-28" in said and "total" in said

    def settled():
        first = items(bill(yard), "paid-endpoint")["Hosting ml.m5.large"]["Quantity"]
        return first if first == items(bill(yard), "paid-endpoint")["Hosting ml.m5.large"]["Quantity"] else None

    assert wait(settled) > 0, "an endpoint that is gone costs nothing any more"
    assert yard.modelyard("cost", "--since", "2d").stdout.count("paid") >= 1
    assert "team" in yard.modelyard("cost", "budget", "team", "--limit", "0.000001", "--period", "day").stdout
    wait(lambda: "EXCEEDED" in yard.modelyard("cost", "budgets").stdout)
    assert yard.modelyard("cost", "budget", "team", "--delete").stdout == "there are no budgets\n"
    yard.modelyard("cost", "budget", "team", code=2)
    yard.modelyard("cost", "--since", "yesterday", code=2)


def test_an_estimate_needs_no_platform(fresh, tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "- TrainingJobName: t\n  ResourceConfig: {InstanceType: ml.m5.xlarge, InstanceCount: 1, VolumeSizeInGB: 0}\n"
        "  StoppingCondition: {MaxRuntimeInSeconds: 3600}\n"
    )
    said = fresh.modelyard("cost", "estimate", str(plan)).stdout
    assert "Training ml.m5.xlarge" in said and "total 0.2300 USD at most" in said and "AWS Price List" in said
    assert bill(fresh, "estimate", str(plan), "--job-hours", "2")["TotalUSD"] == pytest.approx(0.46)
    fresh.modelyard("cost", "estimate", str(tmp_path / "nowhere.json"), code=2)
    assert "ml.m5.xlarge" in fresh.modelyard("cost", "prices").stdout
    assert fresh.modelyard("cost", code=None).returncode != 0
