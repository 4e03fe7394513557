"""Input modes for real: pipes by epoch, objects read in place, augmented manifests, progress of big downloads."""

from __future__ import annotations

import gzip
import json

import pytest
from botocore.exceptions import ClientError

from modelyard.services.sagemaker.training_job import actions
from tests.support.boxes import BUCKET, Boxes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    made = Boxes(tmp_path_factory.mktemp("modes") / "data")
    for n in range(4):
        made.put(f"in/part-{n}", f"{n}\n".encode())
    yield made
    made.close()


def channel(mode, uri=f"s3://{BUCKET}/in/", **more):
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, **more.pop("source", {})}
    return [{"ChannelName": "train", "InputMode": mode, "DataSource": {"S3DataSource": source}, **more}]


PIPES = """
import os, time
base = '/opt/ml/input/data/train_'
for epoch in range({epochs}):
    while not os.path.exists(base + str(epoch)): time.sleep(.01)
    print(repr(open(base + str(epoch), 'rb').read()), flush=True)
print(os.path.isdir('/opt/ml/input/data/train') and os.listdir('/opt/ml/input/data/train'))
"""


def test_pipes_by_epoch(boxes):
    done = boxes.run("pipe", PIPES.format(epochs=3), InputDataConfig=channel("Pipe"))
    assert done["TrainingJobStatus"] == "Completed", boxes.log("pipe")
    assert boxes.log("pipe")[:3] == ["b'0\\n1\\n2\\n3\\n'"] * 3


def test_pipes_of_two_hosts_get_shards_and_a_stop_ends_a_reader_that_waits(boxes):
    if why := boxes.runtime.no_network():
        pytest.skip(why)
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}
    done = boxes.run(
        "pipe2",
        PIPES.format(epochs=1),
        ResourceConfig=resources,
        InputDataConfig=channel("Pipe", source={"S3DataDistributionType": "ShardedByS3Key"}),
    )
    assert done["TrainingJobStatus"] == "Completed", boxes.log("pipe2")
    assert {line for line in boxes.log("pipe2") if line.startswith("b'")} == {"b'0\\n2\\n'", "b'1\\n3\\n'"}
    boxes.job("pipestop", "print('up', flush=True); import time; time.sleep(100)", InputDataConfig=channel("Pipe"))
    boxes.until("pipestop", lambda job: "up" in boxes.log("pipestop"))
    boxes.sm.stop_training_job(TrainingJobName="pipestop")
    assert boxes.end("pipestop")["TrainingJobStatus"] == "Stopped"


def test_pipes_unpack_wrap_and_shuffle(boxes):
    uri = boxes.put("packed/a.gz", gzip.compress(b"row"))
    boxes.run("wrapped", PIPES.format(epochs=1), InputDataConfig=channel("Pipe", uri, CompressionType="Gzip", RecordWrapperType="RecordIO"))
    assert boxes.log("wrapped")[0] == repr(b"\n#\xd7\xce\x03\x00\x00\x00row\x00")
    boxes.run("shuffled", PIPES.format(epochs=6), InputDataConfig=channel("Pipe", ShuffleConfig={"Seed": 5}))
    assert len(set(boxes.log("shuffled")[:6])) > 1


def test_an_augmented_manifest(boxes):
    lines = [{"source-ref": f"s3://{BUCKET}/in/part-{n}", "label": n, "text": "t"} for n in (3, 1)]
    uri = boxes.put("manifests/out.manifest", "\n".join(map(json.dumps, lines)).encode())
    source = {"S3DataType": "AugmentedManifestFile", "AttributeNames": ["source-ref", "label"]}
    done = boxes.run("augmented", PIPES.format(epochs=1), InputDataConfig=channel("Pipe", uri, source=source))
    assert done["TrainingJobStatus"] == "Completed" and boxes.log("augmented")[0] == "b'3\\n31\\n1'"
    done = boxes.run(
        "augbad", PIPES.format(epochs=1), InputDataConfig=channel("Pipe", uri, source={**source, "AttributeNames": ["nothing"]})
    )
    assert done["FailureReason"] == f"ClientError: Data download failed:Line 1 of the augmented manifest {uri} has no attribute 'nothing'"
    for mode, more, text in (
        ("File", {}, "AugmentedManifestFile can only be used if the Channel's input mode is Pipe"),
        ("Pipe", {"AttributeNames": []}, "AttributeNames must be specified"),
    ):
        with pytest.raises(ClientError, match=text):
            boxes.job("no", "pass", InputDataConfig=channel(mode, uri, source={**source, **more}))


def test_fast_file_reads_in_place_and_cannot_write_there(boxes):
    code = """
import os
folder = '/opt/ml/input/data/train'
print(sorted(os.listdir(folder)), open(folder + '/part-2').read(1), os.stat(folder + '/part-2').st_nlink > 1)
for attempt in (lambda: open(folder + '/part-2', 'w'), lambda: os.unlink(folder + '/part-2'), lambda: os.chmod(folder + '/part-2', 0o777), lambda: open(folder + '/new', 'w')):
    try:
        attempt()
        print('WRITTEN')
    except OSError as error:
        print('refused', error.strerror)
"""
    for n in range(4):
        boxes.put(f"big/part-{n}", b"%d\n" % n * (2 << 20))
    done = boxes.run("fast", code, InputDataConfig=channel("FastFile", f"s3://{BUCKET}/big/"))
    assert done["TrainingJobStatus"] == "Completed", boxes.log("fast")
    said = boxes.log("fast")
    assert said[0] == "['part-0', 'part-1', 'part-2', 'part-3'] 2 True"
    assert said[1:] == ["refused Read-only file system"] * 4
    assert boxes.s3.get_object(Bucket=BUCKET, Key="big/part-2")["Body"].read() == b"2\n" * (2 << 20)


def test_a_fast_file_object_that_is_deleted_stays_until_the_job_ends(boxes):
    boxes.put("going/one", b"still here")
    code = "import time, os\nprint('up', flush=True)\nwhile not os.path.exists('/opt/ml/checkpoints/go') : time.sleep(.05)\nprint(open('/opt/ml/input/data/train/one').read())"
    boxes.job("going", code, InputDataConfig=channel("FastFile", f"s3://{BUCKET}/going/"))
    boxes.until("going", lambda job: "up" in boxes.log("going"))
    boxes.s3.delete_object(Bucket=BUCKET, Key="going/one")
    uid = boxes.platform.store.get("training-job", "123456789012", "us-east-1", "going").uid
    (boxes.platform.settings.data / "jobs" / uid / "1/ml/checkpoints/go").touch()
    boxes.end("going")
    assert "still here" in boxes.log("going")


def test_a_big_channel_tells_how_far_it_is(boxes, monkeypatch):
    monkeypatch.setattr(actions, "BIG_CHANNEL_BYTES", 1000)
    boxes.put("large/one", bytes(3_000_000))
    boxes.put("large/two", bytes(3_000_000))
    progress = actions.Progress("k")
    progress.began("train", 4 << 30)
    progress.got(1 << 30)
    assert actions.progress_of("k") == "Downloading input data: 20 % of 4.0 GiB of channel train"
    done = boxes.run("big", "print('x')", InputDataConfig=channel("File", f"s3://{BUCKET}/large/"))
    assert done["TrainingJobStatus"] == "Completed"
