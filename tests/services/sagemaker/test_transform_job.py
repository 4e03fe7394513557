"""Transform jobs through boto3: what comes out, what the model was sent, what is said when it goes wrong."""

from __future__ import annotations

import gzip
import json
import struct

import pytest
from botocore.exceptions import ClientError

from tests.support.hosting import eventually
from tests.support.transform import Transforms

LINES = b"".join(b"%d,%d\n" % (n, n + 1) for n in range(150))
SUMS = b"".join(b"%.1f\n" % (2 * n + 1) for n in range(150))


@pytest.fixture(scope="module")
def yard(tmp_path_factory):
    made = Transforms(tmp_path_factory.mktemp("tr"))
    yield made
    made.close()


def bodies(yard, job):
    return [body for _, _, body in yard.calls(job)]


# --- the way of records -------------------------------------------------------------------------------


def test_a_file_comes_out_in_order_under_its_name(yard):
    job = yard.run("sum", ("day/data.csv", LINES), split="Line", assemble="Line")
    assert job["TransformJobStatus"] == "Completed" and "FailureReason" not in job
    assert [key.split("/", 1)[1] for key in yard.keys(job)] == ["day/data.csv.out"], "nothing but the outputs: no _SUCCESS"
    assert yard.out(job, "day/data.csv") == SUMS
    assert job["CreationTime"] <= job["TransformStartTime"] <= job["TransformEndTime"]
    assert bodies(yard, job) == [LINES], "many records in one request"
    path, headers, _ = yard.calls(job)[0]
    assert path == "/invocations" and headers["Content-Type"] == "text/csv" and "Accept" not in headers


def test_single_records_keep_their_order_whoever_is_quicker(yard):
    data = b"1,1\nslow,1\n2,2\n" + b"3,3\n" * 20
    job = yard.run("echo", ("a.csv", data), split="Line", assemble="Line", BatchStrategy="SingleRecord", MaxConcurrentTransforms=8)
    assert yard.out(job, "a.csv") == data
    assert len(bodies(yard, job)) == 23 and all(b"\n" not in body for body in bodies(yard, job))
    assert 2 <= yard.boxes_of(job)[0].most <= 8


def test_no_more_at_once_than_asked(yard):
    job = yard.run(
        "echo",
        ("a.csv", b"1\n" * 30),
        split="Line",
        BatchStrategy="SingleRecord",
        MaxConcurrentTransforms=3,
        Environment={"SECONDS": "0.01"},
    )
    assert yard.boxes_of(job)[0].most == 3


def test_payloads_are_packed_up_to_the_limit(yard):
    line = b"x" * 1023 + b"\n"
    job = yard.run("length", ("a.csv", line * 2500), split="Line", assemble="Line", MaxPayloadInMB=1, content="text/plain")
    assert yard.out(job, "a.csv") == b"%d\n%d\n%d\n" % (1 << 20, 1 << 20, 2500 * 1024 - (2 << 20))


def test_without_a_split_an_object_is_one_request(yard):
    job = yard.run("length", ("a.bin", b"\0" * 5000), ("b.bin", b"\1" * 10), content="application/octet-stream", accept="text/plain")
    assert (yard.out(job, "a.bin"), yard.out(job, "b.bin")) == (b"5000", b"10")
    assert yard.calls(job)[0][1]["Accept"] == "text/plain"


def test_assemble_none_joins_answers_as_they_are(yard):
    job = yard.run("length", ("a.csv", b"a\nbb\nccc\n"), split="Line", BatchStrategy="SingleRecord")
    assert yard.out(job, "a.csv") == b"123"
    job = yard.run("length", ("a.csv", b"a\nbb\nccc\n"), split="Line", BatchStrategy="SingleRecord", assemble="Line")
    assert yard.out(job, "a.csv") == b"1\n2\n3\n"


def test_ends_of_lines(yard):
    job = yard.run(
        "echo",
        ("a.csv", b"a\r\n\nb\r\n\n"),
        ("b.csv", b"a\nb"),
        ("empty.csv", b""),
        split="Line",
        BatchStrategy="SingleRecord",
        assemble="Line",
    )
    assert (yard.out(job, "a.csv"), yard.out(job, "b.csv"), yard.out(job, "empty.csv")) == (b"a\nb\n", b"a\nb\n", b"")


def test_gzip(yard):
    packed = gzip.compress(LINES[:300]) + gzip.compress(LINES[300:])
    job = yard.run("sum", ("a.csv.gz", packed), split="Line", gzip="Gzip", assemble="Line")
    assert yard.out(job, "a.csv.gz") == SUMS
    job = yard.run("sum", ("no.gz", b"1,2\n"), ("cut.gz", packed[:50]), ("ok.gz", gzip.compress(b"1,2\n")), split="Line", gzip="Gzip")
    assert job["TransformJobStatus"] == "Failed" and "2 of 3 objects failed" in job["FailureReason"]
    assert [key.rsplit("/", 1)[1] for key in yard.keys(job)] == ["ok.gz.out"]


def test_record_io_and_tf_records(yard):
    def recordio(data):
        return struct.pack("<II", 0xCED7230A, len(data)) + data + b"\0" * (-len(data) % 4)

    def tfrecord(data):
        return struct.pack("<QI", len(data), 1) + data + struct.pack("<I", 2)

    for split, frame in (("RecordIO", recordio), ("TFRecord", tfrecord)):
        data = b"".join(frame(b"r" * n) for n in range(1, 8))
        more = {"split": split, "content": "application/x-record", "assemble": "Line"}
        job = yard.run("length", ("a.rec", data), BatchStrategy="SingleRecord", **more)
        assert yard.out(job, "a.rec") == b"1\n2\n3\n4\n5\n6\n7\n", "a record without its frame"
        job = yard.run("length", ("a.rec", data), **more)
        assert yard.out(job, "a.rec") == b"%d\n" % len(data), "many records with their frames"
        job = yard.run("length", ("a.rec", data[:-3]), **more)
        assert f"as {split}: it ends in the middle of a record" in job["FailureReason"]


def test_a_payload_limit_of_zero_streams_the_object(yard):
    job = yard.run("length", ("a.bin", b"z" * (3 << 20)), MaxPayloadInMB=0, content="application/octet-stream")
    assert yard.out(job, "a.bin") == b"%d" % (3 << 20)
    assert yard.calls(job)[0][1]["Transfer-Encoding"] == "chunked"


def test_large_outputs_are_uploaded_in_parts(yard):
    data = b"".join(b"%015d\n" % n for n in range(1 << 21))
    job = yard.run("echo", ("big.csv", data), split="Line", assemble="Line")
    assert yard.out(job, "big.csv") == data
    assert yard.s3.head_object(Bucket="data", Key=yard.keys(job)[0])["ETag"].endswith('-2"')
    assert not yard.s3.list_multipart_uploads(Bucket="data").get("Uploads")


# --- prefixes, manifests, several instances --------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "names"),
    [("", {"a.csv", "sub/b.csv"}), ("a.csv", {"a.csv"}), ("sub", {"b.csv"}), ("sub/", {"b.csv"}), ("a", {"a.csv"})],
)
def test_outputs_are_named_after_the_prefix(yard, uri, names):
    base = yard.put(("a.csv", b"1\n"), ("sub/b.csv", b"2\n"))
    job = yard.run("echo", uri=base + uri)
    assert {key.split("/", 1)[1] for key in yard.keys(job)} == {f"{name}.out" for name in names}


def test_a_manifest(yard):
    base = yard.put(("x/a.csv", b"1\n"), ("x/b.csv", b"2\n"), ("c.csv", b"3\n"))
    manifest = yard.put(("list.manifest", json.dumps([{"prefix": base}, "x/b.csv", "c.csv"]).encode())) + "list.manifest"
    job = yard.run("echo", uri=manifest, type="ManifestFile")
    assert {key.split("/", 1)[1] for key in yard.keys(job)} == {"x/b.csv.out", "c.csv.out"}
    broken = yard.put(("list.manifest", b"{}")) + "list.manifest"
    job = yard.run("echo", uri=broken, type="ManifestFile")
    assert job["TransformJobStatus"] == "Failed" and job["FailureReason"].startswith("ClientError: Data download failed:The manifest")


def test_objects_are_divided_among_instances(yard):
    job = yard.run("who", *((f"{n}.csv", b"x") for n in range(6)), count=3)
    who = [yard.out(job, f"{n}.csv") for n in range(6)]
    assert len(set(who)) == 3 and who[:3] == who[3:]
    assert sum(stream.endswith("/data-log") for stream in yard.streams(job["TransformJobName"])) == 3
    assert eventually(lambda: not [box for box in yard.boxes_of(job) if box.exit_code is None]), "no container is left"


def test_an_inference_pipeline(yard):
    containers = [
        {"Image": c["Image"], "Environment": {"MODEL": kind}}
        for kind, c in (("echo", {"Image": image(yard)}), ("sum", {"Image": image(yard)}))
    ]
    yard.sm.create_model(ModelName="pipe", Containers=containers, ExecutionRoleArn=yard.role)
    job = yard.run("pipe", ("a.csv", LINES), split="Line", assemble="Line", accept="text/csv")
    assert yard.out(job, "a.csv") == SUMS
    first, last = (box.calls[0][1] for box in yard.boxes_of(job))
    assert "Accept" not in first and last["Accept"] == "text/csv"
    names = {"container-1", "container-2", "data-log"}
    eventually(lambda: names <= {stream.split("/")[-1] for stream in yard.streams(job["TransformJobName"])})


def image(yard):
    return yard.sm.describe_model(ModelName="sum")["PrimaryContainer"]["Image"]


# --- what a container is told and tells -----------------------------------------------------------------------


def test_a_container_knows_that_it_transforms(yard):
    job = yard.run(
        "echo", ("a.csv", b"1\n"), split="Line", MaxConcurrentTransforms=2, MaxPayloadInMB=3, BatchStrategy="SingleRecord",
        Environment={"MINE": "1", "NAME": "other"},
    )  # fmt: skip
    env = yard.boxes_of(job)[0].spec.env
    assert env["SAGEMAKER_BATCH"] == "true" and env["SAGEMAKER_MAX_PAYLOAD_IN_MB"] == "3" and env["MINE"] == "1" and env["NAME"] == "other"
    assert env["SAGEMAKER_BATCH_STRATEGY"] == "SINGLE_RECORD" and env["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"] == "2"
    env = yard.boxes_of(yard.run("echo", ("a.csv", b"1\n")))[0].spec.env
    assert not {"SAGEMAKER_MAX_PAYLOAD_IN_MB", "SAGEMAKER_BATCH_STRATEGY", "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"} & set(env)


def test_execution_parameters_fill_what_the_request_left_open(yard):
    told = {"PARAMETERS": json.dumps({"MaxConcurrentTransforms": 5, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 2})}
    job = yard.run("echo", ("a.csv", b"1\n2\n"), split="Line", Environment=told)
    assert yard.log(job["TransformJobName"])[0].endswith(
        ":[sagemaker logs]: MaxConcurrentTransforms=5, MaxPayloadInMB=2, BatchStrategy=SINGLE_RECORD"
    )
    assert len(bodies(yard, job)) == 2
    job = yard.run("echo", ("a.csv", b"1\n2\n"), split="Line", Environment=told, MaxConcurrentTransforms=0, BatchStrategy="MultiRecord")
    assert "MaxConcurrentTransforms=5, MaxPayloadInMB=2, BatchStrategy=MULTI_RECORD" in yard.log(job["TransformJobName"])[0]
    job = yard.run("echo", ("a.csv", b"1\n"), Environment={"PARAMETERS": "no json"})
    assert "MaxConcurrentTransforms=1, MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD" in yard.log(job["TransformJobName"])[0]


# --- filters and joins ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
def test_csv_joined_with_its_id(yard, strategy):
    data = b'a,1,2\n"b,c",3,4\n007,5,6\n'
    processing = {"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"}
    job = yard.run("sum", ("a.csv", data), split="Line", assemble="Line", processing=processing, BatchStrategy=strategy)
    assert yard.out(job, "a.csv") == b'a,3.0\n"b,c",7.0\n007,11.0\n'
    assert b"".join(bodies(yard, job)).replace(b"\n", b"") == b"1,23,45,6"


def test_json_lines_joined(yard):
    data = b'{"id":1,"features":[1,2]}\n{"id":"b","features":[3]}\n'
    processing = {"InputFilter": "$.features", "JoinSource": "Input", "OutputFilter": "$['id','SageMakerOutput']"}
    job = yard.run("json", ("a.jsonl", data), split="Line", assemble="Line", content="application/jsonlines", processing=processing)
    assert [json.loads(line) for line in yard.out(job, "a.jsonl").splitlines()] == [
        {"id": 1, "SageMakerOutput": {"n": 2}},
        {"id": "b", "SageMakerOutput": {"n": 1}},
    ]
    assert bodies(yard, job) == [b"[1,2]\n[3]"]


def test_json_documents_joined(yard):
    job = yard.run(
        "json",
        ("o.json", b'{\n "a": 1}'),
        ("l.json", b"[1,2,3]"),
        content="application/json",
        processing={"JoinSource": "Input"},
        Environment={"MODEL": "echo"},
    )
    assert json.loads(yard.out(job, "o.json")) == {"a": 1, "SageMakerOutput": {"a": 1}}
    assert json.loads(yard.out(job, "l.json")) == {"SageMakerInput": [1, 2, 3], "SageMakerOutput": [1, 2, 3]}


def test_an_output_filter_alone(yard):
    job = yard.run("echo", ("a.csv", b"1,2,3\n4,5,6\n"), split="Line", processing={"OutputFilter": "$[1:]"})
    assert yard.out(job, "a.csv") == b"2,3\n5,6\n"


def test_inference_ids(yard):
    capture = {"DestinationS3Uri": "s3://data/captured/here", "GenerateInferenceId": True}
    job = yard.run("sum", ("a.csv", b"1,2\n3,4\n"), split="Line", assemble="Line", DataCaptureConfig=capture)
    rows = [line.split(",") for line in yard.out(job, "a.csv").decode().splitlines()]
    assert [row[0] for row in rows] == ["3.0", "7.0"] and len({row[1] for row in rows}) == 2
    assert {row[2] for row in rows} == {job["TransformStartTime"].strftime("%Y-%m-%dT%H:%M:%SZ")} or rows[0][2].endswith("Z")
    keys = [row["Key"] for row in yard.s3.list_objects_v2(Bucket="data", Prefix="captured/here/")["Contents"]]
    hour = job["CreationTime"].utctimetuple()
    assert [key.rsplit("/", 1)[0] for key in keys] == [
        f"captured/here/{side}/{hour[0]}/{hour[1]:02}/{hour[2]:02}/{hour[3]:02}" for side in ("input", "output")
    ]
    manifests = [json.loads(yard.s3.get_object(Bucket="data", Key=key)["Body"].read()) for key in keys]
    source = job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
    assert manifests == [[{"prefix": source}, "a.csv"], [{"prefix": job["TransformOutput"]["S3OutputPath"] + "/"}, "a.csv.out"]]
    job = yard.run("json", ("a.jsonl", b"[1]\n[2]\n"), split="Line", content="application/jsonlines", DataCaptureConfig=capture)
    told = [json.loads(line) for line in yard.out(job, "a.jsonl").splitlines()]
    assert [one["n"] for one in told] == [1, 1] and all(one["SageMakerInferenceId"] and one["SageMakerInferenceTime"] for one in told)


# --- failures ----------------------------------------------------------------------------------------------------------


def test_a_bad_record_is_found_and_its_file_has_no_output(yard):
    data = b"".join(b"bad,1\n" if n == 777 else b"%d,1\n" % n for n in range(1000))
    job = yard.run("sum", ("bad.csv", data), ("good.csv", LINES), split="Line", assemble="Line")
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: See job logs for more information")
    assert "line 778 " in job["FailureReason"] and "(1 of 2 objects failed)" in job["FailureReason"]
    assert yard.out(job, "good.csv") == SUMS and len(yard.keys(job)) == 1
    uri = job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"].removeprefix("s3://")
    said = [line.partition(":[sagemaker logs]: ")[2] for line in yard.log(job["TransformJobName"])[1:]]
    assert said == [f"{uri}bad.csv: {line}" for line in (
        "ClientError: 400", "", "Message:", "Unable to evaluate payload provided: bad row", f"Place: line 778 (from byte {data.index(b'bad')})",
    )]  # fmt: skip


def test_a_model_that_fails_is_tried_again_and_then_named(yard):
    job = yard.run(
        "sum", ("a.csv", b"boom,1\n"), split="Line", ModelClientConfig={"InvocationsMaxRetries": 2, "InvocationsTimeoutInSeconds": 5}
    )
    assert job["FailureReason"].startswith("AlgorithmError: See job logs for more information")
    assert len(bodies(yard, job)) == 3
    assert any(line.endswith("Bad HTTP status received from algorithm: 500") for line in yard.log(job["TransformJobName"]))
    job = yard.run("sum", ("a.csv", b"bad,1\n"), split="Line")
    assert len(bodies(yard, job)) == 1, "what the model refuses is not sent again"


def test_what_a_container_said_is_in_its_log_when_the_job_is_over(yard):
    job = yard.run("sum", ("a.csv", b"say the last words\n"), split="Line", ModelClientConfig={"InvocationsMaxRetries": 0})
    streams = [name for name in yard.streams(job["TransformJobName"]) if not name.endswith("data-log")]
    events = yard.yard.client("logs").get_log_events(logGroupName="/aws/sagemaker/TransformJobs", logStreamName=streams[0])["events"]
    assert events[-1]["message"] == "say the last words"


def test_a_model_that_does_not_answer_in_time(yard):
    config = {"InvocationsMaxRetries": 1, "InvocationsTimeoutInSeconds": 1}
    job = yard.run("sum", ("a.csv", b"hang,1\n"), split="Line", ModelClientConfig=config)
    assert job["FailureReason"].startswith("AlgorithmError: See job logs for more information. Unable to get response from algorithm")
    assert len(bodies(yard, job)) == 2


def test_a_container_that_dies_comes_back_and_the_payload_is_sent_again(yard):
    data, how = b"1\ndie\n2\n", {"split": "Line", "assemble": "Line", "BatchStrategy": "SingleRecord"}
    job = yard.run("echo", ("a.csv", data), **how)
    assert yard.out(job, "a.csv") == data and len(yard.boxes_of(job)) == 2
    job = yard.run("echo", ("a.csv", b"1\ndie always\n2\n"), ModelClientConfig={"InvocationsMaxRetries": 1}, **how)
    assert "Unable to get response from algorithm at line 2 " in job["FailureReason"]
    assert len(yard.boxes_of(job)) >= 2


def test_a_record_larger_than_the_payload_limit(yard):
    for split, name in (("Line", "line 2 "), ("None", "")):
        job = yard.run("length", ("a.csv", b"1\n" + b"x" * (2 << 20)), split=split, MaxPayloadInMB=1)
        assert job["FailureReason"].startswith("ClientError: See job logs for more information. Too much data for max payload size")
        assert name in job["FailureReason"]
        assert any(line.endswith("Too much data for max payload size") for line in yard.log(job["TransformJobName"]))


@pytest.mark.parametrize(
    ("model", "content", "data", "processing", "text"),
    [
        ("length", "text/csv", b"1,2\n3,4\n", {"JoinSource": "Input"}, "AlgorithmError: See job logs for more information. The algorithm answered 1 records for 2"),
        ("sum", "text/csv", b"1,2\n3\n", {"InputFilter": "$[0,1]"}, "Failed to apply InputFilter: The index 1 of $[0,1] is not within the 1 columns of the record. at line 2 "),
        ("sum", "text/csv", b"1,2\n", {"JoinSource": "Input", "OutputFilter": "$[5]"}, "Failed to apply OutputFilter: The index 5"),
        ("echo", "application/jsonlines", b'{"a":1}\n{"b":2}\n', {"InputFilter": "$.a"}, "The record has no 'a', which $.a names. at line 2 "),
        ("echo", "application/jsonlines", b'{"a":1}\nno json\n', {"InputFilter": "$.a"}, "Failed to parse input record as JSON"),
        ("sum", "application/jsonlines", b"1\n", {"JoinSource": "Input"}, None),
        ("who", "application/json", b"[1]", {"JoinSource": "Input"}, "ClientError: See job logs for more information. Failed to parse output from the algorithm as JSON"),
    ],
)  # fmt: skip
def test_records_that_cannot_be_processed(yard, model, content, data, processing, text):
    split = "None" if content == "application/json" else "Line"
    job = yard.run(model, ("a", data), split=split, assemble="Line", content=content, processing=processing)
    assert (text is None and job["TransformJobStatus"] == "Completed") or text in job["FailureReason"], job
    assert bool(yard.keys(job)) is (text is None)


def test_a_container_that_never_comes_up(yard):
    job = yard.run("sum", ("a.csv", b"1\n"), Environment={"START": "crash"})
    assert job["FailureReason"] == (
        "AlgorithmError: The model container did not pass the ping health check. See job logs for more information"
    )


def test_an_output_that_the_role_may_not_write(yard):
    job = yard.run("sum", ("a.csv", b"1\n"), out="s3://no-such-bucket/out")
    assert (
        job["TransformJobStatus"] == "Failed"
        and "Failed to upload the output to s3://no-such-bucket/out/a.csv.out: NoSuchBucket" in job["FailureReason"]
    )


def test_a_model_whose_artifact_is_gone(yard):
    yard.s3.put_object(Bucket="models", Key="gone.tar.gz", Body=b"no archive")
    container = {"Image": image(yard), "ModelDataUrl": "s3://models/gone.tar.gz", "Environment": {"MODEL": "sum"}}
    yard.sm.create_model(ModelName="gone", PrimaryContainer=container, ExecutionRoleArn=yard.role)
    job = yard.run("gone", ("a.csv", b"1\n"))
    assert job["FailureReason"].startswith('ClientError: Failed to extract model data archive for container "container_1"')


# --- stop, list, tags, deletes ---------------------------------------------------------------------------------------------


def test_a_stopped_job_keeps_what_was_done(yard):
    name = yard.start("echo", ("a.csv", b"1\n"), ("b.csv", b"hang\n" * 3), split="Line")
    eventually(lambda: yard.boxes_of({"TransformJobName": name}) and len(yard.calls({"TransformJobName": name})) == 2)
    yard.sm.stop_transform_job(TransformJobName=name)
    assert yard.sm.describe_transform_job(TransformJobName=name)["TransformJobStatus"] in ("Stopping", "Stopped")
    job = yard.end(name)
    assert job["TransformJobStatus"] == "Stopped" and "FailureReason" not in job
    assert [key.split("/", 1)[1] for key in yard.keys(job)] == ["a.csv.out"]
    with pytest.raises(ClientError, match="The request was rejected because the transform job is in status Stopped"):
        yard.sm.stop_transform_job(TransformJobName=name)
    assert eventually(lambda: not [box for box in yard.boxes_of(job) if box.exit_code is None])


def test_lists_tags_and_a_model_that_is_deleted_meanwhile(yard):
    yard.model("brief", MODEL="echo")
    name = yard.start("brief", ("a.csv", b"slow\n"), Tags=[{"Key": "team", "Value": "a"}])
    yard.sm.delete_model(ModelName="brief")
    job = yard.end(name)
    assert job["TransformJobStatus"] == "Completed"
    assert yard.sm.list_tags(ResourceArn=job["TransformJobArn"])["Tags"] == [{"Key": "team", "Value": "a"}]
    rows = yard.sm.list_transform_jobs(MaxResults=3)["TransformJobSummaries"]
    assert rows[0]["TransformJobName"] == name and rows[0]["TransformJobStatus"] == "Completed" and "TransformEndTime" in rows[0]
    failed = yard.sm.list_transform_jobs(StatusEquals="Failed", SortBy="Name", MaxResults=100)["TransformJobSummaries"]
    assert failed and all(row["FailureReason"] for row in failed)
    assert [r["TransformJobName"] for r in yard.sm.list_transform_jobs(NameContains=name)["TransformJobSummaries"]][-1:] == [name]


def test_describe_answers_what_was_asked_with_its_defaults(yard):
    job = yard.run("echo", ("a.csv", b"1\n"), content=None)
    assert job["DataProcessing"] == {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"}
    assert (
        job["TransformInput"]["CompressionType"] == job["TransformInput"]["SplitType"] == job["TransformOutput"]["AssembleWith"] == "None"
    )
    assert job["TransformOutput"]["KmsKeyId"] == "" and "model" not in job
    assert "Content-Type" not in yard.calls(job)[0][1]


def test_a_waiter_of_boto3(yard):
    name = yard.start("echo", ("a.csv", b"1\n"))
    yard.sm.get_waiter("transform_job_completed_or_stopped").wait(TransformJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})


def test_outputs_are_encrypted_with_the_key_that_was_named(yard):
    request = yard.request(
        "echo", yard.put(("a.csv", b"1\n")), DataCaptureConfig={"DestinationS3Uri": "s3://data/keyed", "KmsKeyId": "alias/capture"}
    )
    kms = yard.yard.client("kms")
    mine = kms.create_key()["KeyMetadata"]["Arn"]
    for alias in ("alias/mine", "alias/capture"):
        kms.create_alias(AliasName=alias, TargetKeyId=mine)
    request["TransformOutput"]["KmsKeyId"] = "alias/mine"
    yard.sm.create_transform_job(**request)
    job = yard.end(request["TransformJobName"])
    assert job["TransformJobStatus"] == "Completed" and job["TransformOutput"]["KmsKeyId"] == "alias/mine"
    head = yard.s3.head_object(Bucket="data", Key=yard.keys(job)[0])
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", mine)


def test_instances_are_measured(yard):
    from modelyard.services.sagemaker.transform_job.usage import measure

    name = yard.start("echo", ("a.csv", b"hang\n"), ModelClientConfig={"InvocationsMaxRetries": 0})
    eventually(lambda: yard.calls({"TransformJobName": name}))
    measure(yard.platform)
    found = yard.yard.client("cloudwatch").list_metrics(Namespace="/aws/sagemaker/TransformJobs")["Metrics"]
    hosts = {m["Dimensions"][0]["Value"] for m in found if m["MetricName"] == "MemoryUtilization"}
    assert [host.split("/")[0] for host in hosts] == [name] and next(iter(hosts)) in yard.streams(name)[0]
    yard.sm.stop_transform_job(TransformJobName=name)
    yard.end(name)
