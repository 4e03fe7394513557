"""The dollar meter by boto3: hours, GB-months, data, serverless seconds, spot, days, budgets, permissions; platform time."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from modelyard.kernel.clock import ManualClock
from modelyard.kernel.store import Step
from modelyard.services.sagemaker.cost import prices
from modelyard.services.sagemaker.cost.budget import BUDGET
from modelyard.services.sagemaker.endpoint.actions import CreateReplica, bill_of
from modelyard.services.sagemaker.endpoint.lifecycle import ENDPOINT, REPLICA
from modelyard.services.sagemaker.inference_component.lifecycle import COMPONENT
from modelyard.services.sagemaker.processing_job.lifecycle import LIFECYCLE as PROCESSING
from modelyard.services.sagemaker.training_job.lifecycle import LIFECYCLE as TRAINING
from modelyard.services.sagemaker.training_job.lifecycle import first_state
from modelyard.services.sagemaker.transform_job.lifecycle import LIFECYCLE as TRANSFORM
from modelyard.serving.meter import Meter
from tests.support.platform import ACCOUNT, InProcess

MIDNIGHT = 1_700_006_400.0  # 2023-11-15 00:00 UTC
KINDS = {"training-job": TRAINING, "processing-job": PROCESSING, "transform-job": TRANSFORM, REPLICA.kind: REPLICA, ENDPOINT.kind: ENDPOINT}


class Yard(InProcess):
    def __init__(self, folder) -> None:
        self.clock = ManualClock(MIDNIGHT)
        super().__init__(folder, clock=self.clock)
        self.own = self.client("modelyard")

    @property
    def store(self):
        return self.platform.store

    def job(self, kind: str, name: str, resources: dict, **spec):
        """A job as its operation makes it, just about to start."""
        member = {"training-job": "ResourceConfig", "processing-job": "ProcessingResources", "transform-job": "TransformResources"}[kind]
        wrapped = {"ClusterConfig": resources} if kind == "processing-job" else resources
        more = {"OutputDataConfig": {"S3OutputPath": "s3://b/o"}, "AlgorithmSpecification": {}} if kind == "training-job" else {}
        state = first_state(self.clock.now()) if kind == "training-job" else {"version": 1, "phase": "image"}
        return self.store.create(
            KINDS[kind],
            account=ACCOUNT,
            region="us-east-1",
            name=name,
            arn=f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:{kind}/{name}",
            spec={member: wrapped, "RoleArn": "r", **more, **spec},
            state=state,
        )

    def apply(self, record, status: str, **state):
        lifecycle = KINDS[record.kind]
        return self.store.apply(lifecycle, self.store.by_uid(record.uid), Step(status, state), None)

    def ran(self, kind: str, name: str, resources: dict, seconds: float, **spec):
        job = self.job(kind, name, resources, **spec)
        self.clock.advance(30)  # waits for its image: not billed
        self.apply(job, "InProgress", started_at=self.clock.now())
        self.clock.advance(seconds)
        self.apply(job, "Completed", ended_at=self.clock.now(), secondary="Completed")
        self.hear()

    def replica(self, endpoint: str, size: str = "ml.m5.xlarge", variant: str = "all", **more):
        spec = {"name": variant, "instance_type": size, "kind": "instance", **more}
        return self.store.create(
            REPLICA,
            account=ACCOUNT,
            region="us-east-1",
            name=f"{endpoint}-{self.store.last_seq()}",
            arn=f"arn:{endpoint}",
            spec={**spec, "endpoint": endpoint},
            detail={"bill": bill_of(endpoint, spec)},
        )

    def hear(self) -> None:
        self.settle(kinds={BUDGET.kind})

    def cost(self, **request):
        found = self.own.get_cost(**request)
        found.pop("ResponseMetadata")
        return found


@pytest.fixture
def yard(tmp_path):
    made = Yard(tmp_path)
    yield made
    made.close()


def lines(found, key):
    (group,) = [g for g in found["Groups"] if g["Key"] == key]
    return {line["Item"]: line for line in group["Lines"]}


# --- jobs --------------------------------------------------------------------------------------


def test_a_training_job_costs_its_hours_and_its_volumes(yard):
    yard.ran("training-job", "t", {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 50}, 1800)
    found = yard.cost()
    hours, storage = lines(found, "t").values()
    assert (hours["Item"], hours["Unit"], hours["Price"]) == ("Training ml.m5.xlarge", "hours", 0.23)
    assert hours["Quantity"] == pytest.approx(1.0) and hours["USD"] == pytest.approx(0.23)
    assert storage["Quantity"] == pytest.approx(100 * 0.5 / 730) and storage["USD"] == pytest.approx(0.14 * 100 * 0.5 / 730)
    assert found["TotalUSD"] == pytest.approx(hours["USD"] + storage["USD"])
    assert found["Prices"]["Region"] == "us-east-1" and found["Prices"]["Dated"] == "2026-09-28"
    assert any("AWS Price List" in source for source in found["Prices"]["Sources"])


def test_groups_of_instances(yard):
    groups = [
        {"InstanceGroupName": "a", "InstanceType": "ml.c5.xlarge", "InstanceCount": 1},
        {"InstanceGroupName": "b", "InstanceType": "ml.m5.large", "InstanceCount": 3},
    ]
    yard.ran("training-job", "t", {"InstanceGroups": groups, "VolumeSizeInGB": 1}, 3600)
    found = lines(yard.cost(), "t")
    assert found["Training ml.c5.xlarge"]["USD"] == pytest.approx(0.204) and found["Training ml.m5.large"]["USD"] == pytest.approx(0.345)
    assert found["Training storage"]["Quantity"] == pytest.approx(4 / 730)


def test_processing_and_transform(yard):
    yard.ran("processing-job", "p", {"InstanceType": "ml.m5.large", "InstanceCount": 4, "VolumeSizeInGB": 20}, 900)
    yard.ran("transform-job", "x", {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1}, 3600)
    found = yard.cost(GroupBy="job")
    assert lines(found, "p")["Processing ml.m5.large"]["USD"] == pytest.approx(0.115)
    assert lines(found, "p")["Processing storage"]["Price"] == 0.10
    assert lines(found, "x")["Batch transform ml.c5.xlarge"]["USD"] == pytest.approx(0.204)
    assert [g["Key"] for g in found["Groups"]] == ["x", "p"], "dearest first"


def test_a_job_under_way_costs_what_it_has_used(yard):
    job = yard.job("training-job", "t", {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 0})
    yard.hear()
    assert yard.cost()["Groups"] == []
    yard.apply(job, "InProgress", started_at=yard.clock.now())
    yard.hear()
    yard.clock.advance(7200)
    assert yard.cost()["TotalUSD"] == pytest.approx(0.46)
    yard.clock.advance(3600)
    assert yard.cost()["TotalUSD"] == pytest.approx(0.69)


def test_a_job_that_never_began_costs_nothing(yard):
    job = yard.job("training-job", "t", {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 5})
    yard.apply(job, "Failed", started_at=yard.clock.now(), ended_at=yard.clock.now(), reason="no image")
    yard.hear()
    yard.clock.advance(3600)
    assert yard.cost()["TotalUSD"] == 0.0


def test_seconds_are_whole_as_describe_tells_them(yard):
    yard.ran("training-job", "t", {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 0}, 0.3)
    said = yard.client("sagemaker").describe_training_job(TrainingJobName="t")
    assert said["BillableTimeInSeconds"] == 1
    assert lines(yard.cost(), "t")["Training ml.m5.xlarge"]["Quantity"] == pytest.approx(1 / 3600)


def test_spot_is_billed_by_billable_seconds_and_spares_the_rest(yard):
    """Interrupted once: of the hour and a half it had an instance for an hour."""
    sizes = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 73}
    job, began = yard.job("training-job", "t", sizes, EnableManagedSpotTraining=True), yard.clock.now()
    yard.apply(job, "InProgress", started_at=began, held_from=began, discount=70.0)
    yard.clock.advance(1800)
    yard.hear()
    item = "Training ml.m5.xlarge (spot)"
    assert lines(yard.cost(), "t")[item]["USD"] == pytest.approx(0.3 * 0.23 / 2), "while it runs"
    yard.apply(job, "InProgress", held_s=1800.0, held_from=None)
    yard.clock.advance(1800)
    yard.hear()
    assert lines(yard.cost(), "t")[item]["USD"] == pytest.approx(0.3 * 0.23 / 2), "no instance, no bill"
    yard.apply(job, "InProgress", held_from=yard.clock.now())
    yard.clock.advance(1800)
    yard.apply(job, "Completed", held_s=3600.0, held_from=None, ended_at=yard.clock.now(), secondary="Completed")
    yard.hear()
    found = yard.cost()
    assert lines(found, "t")[item]["USD"] == pytest.approx(0.3 * 0.23) and found["SavedUSD"] == pytest.approx(0.7 * 0.23)
    assert lines(found, "t")["Training storage"]["Quantity"] == pytest.approx(0.1), "volumes have no spot price"


@pytest.mark.parametrize("ended_after, billed_s", [(None, 120), (300, 300), (700, 600)])
def test_a_warm_pool_costs_as_long_as_it_is_kept(yard, ended_after, billed_s):
    sizes = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 0, "KeepAlivePeriodInSeconds": 600}
    job = yard.job("training-job", "t", sizes)
    yard.apply(job, "InProgress", started_at=yard.clock.now())
    yard.clock.advance(3600)
    yard.apply(job, "Completed", ended_at=yard.clock.now(), secondary="Completed", warm="Available")
    yard.clock.advance(ended_after or 120)
    if ended_after:
        yard.apply(job, "Completed", warm="Terminated", warm_ended_at=yard.clock.now())
        yard.clock.advance(5000)
    yard.hear()
    found = lines(yard.cost(), "t")
    assert found["Training ml.m5.xlarge"]["Quantity"] == pytest.approx(2.0)
    assert found["Training ml.m5.xlarge (warm pool)"]["Quantity"] == pytest.approx(2 * billed_s / 3600)


def test_no_pool_was_kept(yard):
    sizes = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 0, "KeepAlivePeriodInSeconds": 600}
    job = yard.job("training-job", "t", sizes)
    yard.apply(job, "InProgress", started_at=yard.clock.now())
    yard.clock.advance(60)
    yard.apply(job, "Failed", ended_at=yard.clock.now(), secondary="Failed", warm="Terminated")
    yard.hear()
    assert list(lines(yard.cost(), "t")) == ["Training ml.m5.xlarge"]


def test_a_type_without_a_price_is_told_and_never_guessed(yard):
    yard.ran("training-job", "t", {"InstanceType": "ml.x9.huge", "InstanceCount": 1, "VolumeSizeInGB": 0}, 3600)
    found = yard.cost()
    line = lines(found, "t")["Training ml.x9.huge"]
    assert "Price" not in line and "USD" not in line and line["Quantity"] == pytest.approx(1.0)
    assert found["Unpriced"] == ["Training ml.x9.huge"] and found["TotalUSD"] == 0.0


def test_ones_own_prices(yard):
    path = yard.settings.data / prices.OWN
    path.write_text(json.dumps({"dated": "2027-01-01", "instance_hour": {"ml.x9.huge": 5, "ml.m5.xlarge": [0.2, "contract"]}}))
    yard.ran("training-job", "t", {"InstanceType": "ml.x9.huge", "InstanceCount": 1, "VolumeSizeInGB": 0}, 3600)
    found = yard.cost()
    assert found["TotalUSD"] == pytest.approx(5.0) and "your prices.json (2027-01-01)" in found["Prices"]["Sources"]
    path.write_text('{"instance_hour": {"ml.m5.xlarge": -1}}')
    with pytest.raises(ClientError, match="is no price table"):
        yard.cost()


# --- endpoints ---------------------------------------------------------------------------------


def test_an_endpoint_costs_each_instance_from_service_to_its_end(yard):
    one = yard.replica("e", volume_gb=10)
    yard.clock.advance(100)
    yard.apply(one, "Starting")
    yard.apply(one, "InService")
    yard.hear()
    yard.clock.advance(3600)
    two = yard.replica("e", volume_gb=10)
    yard.apply(two, "Starting")
    yard.apply(two, "InService")
    yard.clock.advance(1800)
    yard.apply(one, "Restarting")  # the same instance goes on
    yard.clock.advance(1800)
    yard.apply(one, "Stopping")
    yard.clock.advance(500)
    yard.store.apply(REPLICA, yard.store.by_uid(one.uid), Step("Stopping", delete=True), None)
    yard.hear()
    found = lines(yard.cost(GroupBy="endpoint"), "e")
    assert found["Hosting ml.m5.xlarge"]["Quantity"] == pytest.approx(2 + (3600 + 500) / 3600)
    assert found["Hosting storage"]["Quantity"] == pytest.approx(10 * (2 + 4100 / 3600) / 730)


def test_an_instance_that_came_and_went_before_its_events_were_read(yard):
    gone = yard.replica("e")
    yard.apply(gone, "Starting")
    yard.apply(gone, "InService")
    yard.clock.advance(3600)
    yard.apply(gone, "Stopping")
    yard.store.apply(REPLICA, yard.store.by_uid(gone.uid), Step("Stopping", delete=True), None)
    yard.hear()
    assert lines(yard.cost(), "e")["Hosting ml.m5.xlarge"]["USD"] == pytest.approx(0.23)


def test_an_instance_that_never_served_costs_nothing(yard):
    failed = yard.replica("e")
    yard.apply(failed, "Failed")
    yard.hear()
    yard.clock.advance(3600)
    assert yard.cost()["Groups"] == []


def test_data_and_requests_of_an_endpoint(yard, tmp_path):
    one = yard.replica("e")
    yard.apply(one, "Starting")
    yard.apply(one, "InService")
    meter = Meter(yard.platform.metrics.put, yard.clock.now, tmp_path / "meters")
    for _ in range(4):
        cell = meter.cell(ACCOUNT, "us-east-1", "e", "all", "config")
        cell.invocations += 1
        cell.weigh(2 << 30, 1 << 30, 0.5)
    meter.rotate()
    meter.flush()
    yard.clock.advance(10)
    yard.hear()
    found = lines(yard.cost(), "e")
    assert found["Endpoint data in"]["Quantity"] == pytest.approx(8) and found["Endpoint data in"]["USD"] == pytest.approx(8 * 0.016)
    assert found["Endpoint data out"]["USD"] == pytest.approx(4 * 0.016)
    assert (found["Endpoint requests"]["Quantity"], found["Endpoint requests"]["USD"]) == (4, 0.0)


def test_provisioned_concurrency_is_metered_while_it_stands(yard):
    """Three instances of which two are provisioned; the third is there for a while, one of the two is lost and replaced."""
    config = {"MemorySizeInMB": 3072, "MaxConcurrency": 5, "ProvisionedConcurrency": 2}
    made = [yard.replica("e", "ml.serverless.3072", kind="serverless", serverless=config) for _ in range(4)]
    for one in made:
        yard.apply(one, "Starting")
    for one in made[:3]:
        yard.apply(one, "InService")
    yard.clock.advance(100)
    yard.apply(made[0], "Stopping")
    yard.clock.advance(100)
    yard.apply(made[1], "Stopping")
    yard.clock.advance(30)
    yard.apply(made[3], "InService")
    yard.clock.advance(100)
    yard.hear()
    item = "Provisioned concurrency 3072 MB"
    found = yard.cost()
    assert lines(found, "e")[item]["Quantity"] == pytest.approx(2 * 200 + 30 + 2 * 100) and item in found["Unpriced"]
    (yard.settings.data / prices.OWN).write_text(json.dumps({"provisioned_second": {"3072": 0.01}}))
    assert lines(yard.cost(GroupBy="endpoint"), "e")[item]["USD"] == pytest.approx(6.3)
    assert sum(each["TotalUSD"] for each in yard.cost(GroupBy="day")["Groups"]) == pytest.approx(6.3)


def test_instances_that_components_share_are_billed_once(yard):
    """Two instances for an hour, three for half an hour, then the endpoint goes; what runs on them costs nothing of its own."""

    def serving(count):
        return {"variants": [{"name": "all", "mode": "Components", "count": count, "instance_type": "ml.m5.large", "volume_gb": 73}]}

    endpoint = yard.store.create(
        ENDPOINT,
        account=ACCOUNT,
        region="us-east-1",
        name="shared",
        arn="arn:shared",
        spec={"wanted": {"edition": 1}},
        state={"version": 1},
    )
    yard.apply(endpoint, "InService", serving=serving(2))
    copy = CreateReplica(
        yard.store.create(COMPONENT, account=ACCOUNT, region="us-east-1", name="c", arn="arn:c", spec={}, state={"version": 1}),
        "c/1",
        {"name": "all", "instance_type": "ml.m5.large", "component": "c"},
    )
    copy.perform(yard.platform)
    yard.clock.advance(3600)
    yard.hear()
    yard.apply(endpoint, "Updating")
    yard.apply(endpoint, "InService", serving=serving(3))
    yard.hear()
    yard.clock.advance(1800)
    found = lines(yard.cost(), "shared")
    assert found["Hosting ml.m5.large"]["Quantity"] == pytest.approx(3.5)
    assert found["Hosting storage"]["Quantity"] == pytest.approx(0.35)
    yard.apply(endpoint, "Deleting")
    yard.hear()
    yard.clock.advance(9999)
    found = yard.cost()
    assert lines(found, "shared")["Hosting ml.m5.large"]["Quantity"] == pytest.approx(3.5)
    assert [group["Key"] for group in found["Groups"]] == ["shared"]


def test_what_stands_said_again_changes_nothing(yard):
    about = {"kind": "endpoint", "account": ACCOUNT, "region": "us-east-1", "name": "e"}
    said = [(1, {"a": {"count": 1}}), (2, {"a": {"count": 2}, "b": {"count": 1}}), (3, {"b": {"count": 1}}), (4, {})]
    for seq, wanted in [*said, *said, said[0], said[2]]:
        yard.platform.meters.stand("e", wanted, seq=seq, at=MIDNIGHT + 100 * seq, **about)
    rows = {meter.uid: (meter.began - MIDNIGHT, meter.ended - MIDNIGHT) for meter in yard.platform.meters.of(ACCOUNT, 0, MIDNIGHT + 1e6)}
    assert rows == {"e/a/1": (100, 200), "e/a/2": (200, 300), "e/b/2": (200, 400)}


def test_a_serverless_variant_costs_the_models_seconds(yard, tmp_path):
    one = yard.replica("e", "ml.serverless.3072", kind="serverless")
    yard.apply(one, "Starting")
    yard.apply(one, "InService")
    meter = Meter(yard.platform.metrics.put, yard.clock.now, tmp_path / "meters")
    for _ in range(10):
        cell = meter.cell(ACCOUNT, "us-east-1", "e", "all")
        cell.invocations += 1
        cell.weigh(0, 0, 2.5)
    meter.rotate()
    meter.flush()
    yard.clock.advance(7200)
    yard.hear()
    found = lines(yard.cost(), "e")
    assert set(found) == {"Endpoint requests", "Serverless inference 3072 MB"}, "no hours of instances"
    assert found["Serverless inference 3072 MB"]["USD"] == pytest.approx(25 * 0.00006)


def test_counts_of_a_killed_gateway_are_in_the_bill(yard, tmp_path):
    import subprocess
    import sys

    code = (
        "import os, sys\nfrom pathlib import Path\nfrom modelyard.serving.meter import Meter\n"
        "cell = Meter(lambda *a, **k: None, lambda: float(sys.argv[3]), Path(sys.argv[1])).cell(sys.argv[2], 'us-east-1', 'e', 'all')\n"
        "cell.invocations += 1\ncell.weigh(1 << 30, 0, 1.0)\nos.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "meters"), ACCOUNT, str(MIDNIGHT)], check=False, env={"PYTHONPATH": "src"})
    one = yard.replica("e")
    yard.apply(one, "Starting")
    yard.apply(one, "InService")
    heir = Meter(yard.platform.metrics.put, yard.clock.now, tmp_path / "meters")
    heir.flush()
    heir.flush()
    yard.clock.advance(1)
    yard.hear()
    assert lines(yard.cost(), "e")["Endpoint data in"]["Quantity"] == pytest.approx(1.0)


# --- spans -------------------------------------------------------------------------------------


def test_by_day_a_long_job_is_cut_at_midnight(yard):
    yard.clock.advance(22 * 3600 - 30)  # 22:00, when its waiting is over
    yard.ran("training-job", "t", {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 0}, 6 * 3600)
    found = yard.cost(GroupBy="day")
    assert [(g["Key"], round(g["TotalUSD"], 6)) for g in found["Groups"]] == [("2023-11-15", 0.46), ("2023-11-16", 0.92)]
    assert found["TotalUSD"] == pytest.approx(yard.cost()["TotalUSD"])


def test_a_span_of_time(yard):
    yard.ran("training-job", "t", {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 0}, 7200)
    start = MIDNIGHT + 30
    assert yard.cost(StartTime=start + 1800, EndTime=start + 5400)["TotalUSD"] == pytest.approx(0.23)
    assert yard.cost(StartTime=start + 7200)["TotalUSD"] == 0.0
    with pytest.raises(ClientError, match="StartTime must be before EndTime"):
        yard.cost(StartTime=start + 100, EndTime=start)


def test_another_account_sees_its_own(yard):
    yard.ran("training-job", "t", {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 0}, 3600)
    assert yard.platform.meters.of("999999999999", 0, 1e12) == []


# --- budgets -----------------------------------------------------------------------------------


def spend(yard, usd, name):
    yard.ran("training-job", name, {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 0}, 3600 * usd / 0.23)


def test_a_budget_tells_once_and_starts_anew_with_its_period(yard):
    topic = yard.client("sns").create_topic(Name="money")["TopicArn"]
    queue = yard.client("sqs").create_queue(QueueName="inbox")["QueueUrl"]
    queue_arn = yard.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": queue_arn}]}
    yard.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
    publish = {
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "budgets.amazonaws.com"}, "Action": "SNS:Publish", "Resource": topic}]
    }
    yard.client("sns").set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(publish))
    yard.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn, Attributes={"RawMessageDelivery": "true"})
    yard.own.put_cost_budget(BudgetName="team", LimitUSD=0.5, Period="DAY", TopicArn=topic)
    spend(yard, 0.4, "a")
    yard.clock.advance(61)
    yard.hear()
    (budget,) = yard.own.list_cost_budgets()["Budgets"]
    assert (budget["Status"], round(budget["SpentUSD"], 3), budget["LimitUSD"]) == ("OK", 0.4, 0.5)
    spend(yard, 0.2, "b")
    for _ in range(3):
        yard.clock.advance(61)
        yard.settle()
    (budget,) = yard.own.list_cost_budgets()["Budgets"]
    assert budget["Status"] == "EXCEEDED"
    messages = yard.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
    assert [json.loads(m["Body"])["budgetName"] for m in messages] == ["team"], "one message in a period"
    events = [e for e in yard.store.events(0, 10_000) if e.kind == BUDGET.kind and e.detail]
    assert [(e.old, e.new) for e in events] == [("OK", "EXCEEDED")]
    yard.clock.advance(86_400)
    yard.hear()
    assert yard.own.list_cost_budgets()["Budgets"][0]["Status"] == "OK"


def test_a_budget_that_stops_jobs(yard):
    yard.own.put_cost_budget(BudgetName="b", LimitUSD=0.1, Period="TOTAL", StopJobs=True)
    yard.clock.advance(1)
    running = [
        yard.job("training-job", "t", {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 0}),
        yard.job("processing-job", "p", {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}),
    ]
    for job in running:
        yard.apply(job, "InProgress", started_at=yard.clock.now())
    yard.clock.advance(60)
    yard.hear()
    assert not any(yard.store.by_uid(job.uid).spec.get("stop") for job in running)
    yard.clock.advance(3600)
    yard.hear()
    assert all(yard.store.by_uid(job.uid).spec.get("stop") for job in running)
    late = yard.job("training-job", "late", {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 0})
    yard.clock.advance(61)
    yard.hear()
    assert yard.store.by_uid(late.uid).spec.get("stop")
    wishes = [e.detail for e in yard.store.events_of(late.uid) if e.detail]
    assert wishes == [{"wish": "stop", "by": f"arn:aws:modelyard:us-east-1:{ACCOUNT}:budget/b"}]


def test_the_month_so_far_is_a_metric_that_alarms_can_watch(yard):
    yard.own.put_cost_budget(BudgetName="b", LimitUSD=100)
    spend(yard, 0.46, "a")
    yard.clock.advance(61)
    yard.hear()
    yard.clock.advance(1)
    found = yard.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Billing",
        MetricName="EstimatedCharges",
        Dimensions=[{"Name": "Currency", "Value": "USD"}],
        StartTime=MIDNIGHT,
        EndTime=yard.clock.now(),
        Period=60,
        Statistics=["Maximum"],
    )["Datapoints"]
    assert max(point["Maximum"] for point in found) == pytest.approx(0.46, abs=1e-4)


def test_a_topic_that_refuses_does_not_keep_the_budget_from_working(yard):
    yard.own.put_cost_budget(BudgetName="b", LimitUSD=0.1, Period="TOTAL", TopicArn=f"arn:aws:sns:us-east-1:{ACCOUNT}:gone")
    yard.clock.advance(1)
    spend(yard, 0.2, "a")
    yard.clock.advance(61)
    yard.hear()
    assert yard.own.list_cost_budgets()["Budgets"][0]["Status"] == "EXCEEDED"


def test_change_and_delete(yard):
    yard.own.put_cost_budget(BudgetName="b", LimitUSD=1)
    yard.own.put_cost_budget(BudgetName="b", LimitUSD=2, Period="DAY")
    (budget,) = yard.own.list_cost_budgets()["Budgets"]
    assert (budget["LimitUSD"], budget["Period"]) == (2, "DAY")
    yard.own.delete_cost_budget(BudgetName="b")
    assert yard.own.list_cost_budgets()["Budgets"] == []
    with pytest.raises(yard.own.exceptions.ResourceNotFound):
        yard.own.delete_cost_budget(BudgetName="b")
    with pytest.raises(ClientError, match="LimitUSD must be more than 0"):
        yard.own.put_cost_budget(BudgetName="b", LimitUSD=0)


def test_who_may_see_and_who_may_stop(yard):
    iam = yard.root("iam")
    iam.create_user(UserName="guest")
    keys = iam.create_access_key(UserName="guest")["AccessKey"]
    from tests.support import inproc

    guest = inproc.client(yard.gateway, "modelyard", key=keys["AccessKeyId"], secret=keys["SecretAccessKey"])
    for call in (
        lambda: guest.get_cost(),
        lambda: guest.put_cost_budget(BudgetName="b", LimitUSD=1),
        lambda: guest.list_cost_budgets(),
        lambda: guest.delete_cost_budget(BudgetName="b"),
    ):
        with pytest.raises(ClientError) as denied:
            call()
        assert denied.value.response["Error"]["Code"] == "AccessDeniedException"
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "modelyard:*", "Resource": "*"}]}
    iam.put_user_policy(UserName="guest", PolicyName="cost", PolicyDocument=json.dumps(document))
    guest.get_cost()
    guest.put_cost_budget(BudgetName="b", LimitUSD=1)
    with pytest.raises(ClientError) as denied:
        guest.put_cost_budget(BudgetName="b", LimitUSD=1, StopJobs=True)
    assert "sagemaker:StopTrainingJob" in str(denied.value)
