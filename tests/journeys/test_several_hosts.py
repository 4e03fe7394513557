"""Training on several instances: real boxes in one private network."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from tests.support.boxes import BUCKET, Boxes

pytestmark = pytest.mark.slow
# Every host sends its numbers to algo-1, which adds them up and sends the sum back: what gloo does, with bare sockets.
ALL_REDUCE = """
import glob, json, os, pickle, socket, time
conf = json.load(open('/opt/ml/input/config/resourceconfig.json'))
here, hosts = conf['current_host'], conf['hosts']
files = sorted(glob.glob('/opt/ml/input/data/train/*'))
mine = [float(open(f).read()) for f in files]
print(here, 'has', [os.path.basename(f) for f in files], flush=True)
def get(line):
    data = b''
    while not data.endswith(b'.'): data += line.recv(4096)
    return json.loads(data[:-1])
def put(line, value): line.sendall(json.dumps(value).encode() + b'.')
total = sum(mine)
if here == hosts[0]:
    server = socket.create_server(('0.0.0.0', 9000)); server.settimeout(30)
    lines = [server.accept()[0] for _ in hosts[1:]]
    total += sum(get(line) for line in lines)
    for line in lines: put(line, total)
else:
    end = time.monotonic() + 30
    while True:
        try: line = socket.create_connection((hosts[0], 9000), 1); break
        except OSError:
            assert time.monotonic() < end
            time.sleep(.05)
    put(line, total); total = get(line)
open('/opt/ml/model/' + here, 'w').write(str(total))
open('/opt/ml/model/same', 'w').write(here)
open('/opt/ml/output/data/out-' + here, 'w').write(json.dumps(conf))
print('loss=%s' % total)
"""


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    made = Boxes(tmp_path_factory.mktemp("hosts") / "data")
    if why := made.runtime.no_network():
        pytest.skip(f"no private networks here: {why}")
    yield made
    made.close()


def resources(count):
    return {"InstanceType": "ml.m5.large", "InstanceCount": count, "VolumeSizeInGB": 1}


def channel(uri, how):
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": how}
    return [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}]


def members(boxes, key):
    body = boxes.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        return {m.name: tar.extractfile(m).read().decode() for m in tar.getmembers() if m.isreg()}


def streams(boxes, name):
    group = "/aws/sagemaker/TrainingJobs"
    found = boxes.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/", orderBy="LogStreamName")["logStreams"]
    return {
        s["logStreamName"].split("/")[1].rpartition("-")[0]: [
            e["message"]
            for e in boxes.logs.get_log_events(logGroupName=group, logStreamName=s["logStreamName"], startFromHead=True)["events"]
        ]
        for s in found
    }


def test_an_all_reduce_over_three_hosts_with_sharded_data(boxes):
    for n in range(6):
        boxes.put(f"shards/part-{n}", str(10.0**n).encode())
    definitions = [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]
    asked = boxes.request(
        "reduce", ALL_REDUCE, ResourceConfig=resources(3), InputDataConfig=channel(f"s3://{BUCKET}/shards/", "ShardedByS3Key")
    )
    asked["AlgorithmSpecification"]["MetricDefinitions"] = definitions
    boxes.sm.create_training_job(**asked)
    done = boxes.end("reduce")
    assert done["TrainingJobStatus"] == "Completed", (done, boxes.log("reduce"))
    model = members(boxes, "out/reduce/output/model.tar.gz")
    assert model == {"algo-1": "111111.0", "algo-2": "111111.0", "algo-3": "111111.0", "same": "algo-1"}
    left = {name: json.loads(text) for name, text in members(boxes, "out/reduce/output/output.tar.gz").items()}
    assert set(left) == {"out-algo-1", "out-algo-2", "out-algo-3"}
    assert left["out-algo-2"]["current_host"] == "algo-2" and left["out-algo-2"]["hosts"] == ["algo-1", "algo-2", "algo-3"]
    said = streams(boxes, "reduce")
    assert set(said) == {"algo-1", "algo-2", "algo-3"}
    assert "algo-1 has ['part-0', 'part-3']" in said["algo-1"] and "algo-3 has ['part-2', 'part-5']" in said["algo-3"]
    assert done["FinalMetricDataList"][0]["Value"] == 111111.0


def test_instance_groups_of_different_types(boxes):
    groups = [
        {"InstanceGroupName": "big", "InstanceType": "ml.c5.xlarge", "InstanceCount": 1},
        {"InstanceGroupName": "small", "InstanceType": "ml.m5.large", "InstanceCount": 1},
    ]
    uri = boxes.put("groups/one", b"1.0")
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "InstanceGroupNames": ["big"]}
    done = boxes.run(
        "groups", ALL_REDUCE, ResourceConfig={"InstanceGroups": groups, "VolumeSizeInGB": 1},
        InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
    )  # fmt: skip
    assert done["TrainingJobStatus"] == "Completed", (done, boxes.log("groups"))
    conf = json.loads(members(boxes, "out/groups/output/output.tar.gz")["out-algo-2"])
    assert (conf["current_group_name"], conf["current_instance_type"]) == ("small", "ml.m5.large")
    assert [g["hosts"] for g in conf["instance_groups"]] == [["algo-1"], ["algo-2"]]
    assert "algo-2 has []" in boxes.log("groups")


def test_when_one_host_fails_the_job_fails_and_the_others_end(boxes):
    code = """
import json, time
here = json.load(open('/opt/ml/input/config/resourceconfig.json'))['current_host']
if here == 'algo-2':
    time.sleep(.5)
    raise ValueError('a bad shard')
time.sleep(3000)
"""
    done = boxes.run("onefails", code, ResourceConfig=resources(3))
    assert (done["TrainingJobStatus"], done["FailureReason"]) == ("Failed", "AlgorithmError: ValueError: a bad shard, exit code: 1")
    assert boxes.runtime.ids() == [] or all(boxes.runtime.look(run).state != "running" for run in boxes.runtime.ids())


def test_all_hosts_are_stopped_and_isolated_hosts_still_reach_each_other(boxes):
    boxes.job("stopme", "print('up', flush=True); import time; time.sleep(3000)", ResourceConfig=resources(2))
    boxes.until("stopme", lambda job: boxes.log("stopme").count("up") == 2)
    boxes.sm.stop_training_job(TrainingJobName="stopme")
    assert boxes.end("stopme")["TrainingJobStatus"] == "Stopped"
    boxes.put("alone/a", b"1.0"), boxes.put("alone/b", b"2.0")
    done = boxes.run(
        "alone", ALL_REDUCE, ResourceConfig=resources(2), EnableNetworkIsolation=True,
        InputDataConfig=channel(f"s3://{BUCKET}/alone/", "FullyReplicated"),
    )  # fmt: skip
    assert done["TrainingJobStatus"] == "Completed", boxes.log("alone")
    assert members(boxes, "out/alone/output/model.tar.gz")["algo-2"] == "6.0"


def test_a_machine_without_private_networks_says_so(boxes, monkeypatch):
    monkeypatch.setattr(boxes.runtime, "no_network", lambda: "the kernel has no bridges")
    done = boxes.run("nonet", ResourceConfig=resources(2))
    assert done["TrainingJobStatus"] == "Failed"
    assert done["FailureReason"].startswith("ClientError: Training on several instances needs a private network")
    assert "the kernel has no bridges" in done["FailureReason"]
