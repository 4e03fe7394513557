"""Multi-model endpoints by an unmodified boto3 client: models that come when asked for and go when others need their place."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from modelyard.serving import multimodel
from tests.support.hosting import IMAGE, Hosting, eventually, model_tar, user_with

PREFIX = "s3://models/many"


@pytest.fixture(scope="module")
def hosting(tmp_path_factory):
    made = Hosting(tmp_path_factory.mktemp("many"))
    for name in ("a", "b", "c", "d", "deep/er/e"):
        put(made, name)
    yield made
    made.close()


def put(hosting, name, text=None, **files):
    files = {"model.txt": (text or name).encode(), **files}
    hosting.s3.put_object(Bucket="models", Key=f"many/{name}.tar.gz", Body=model_tar(files))


def deploy(hosting, endpoint, count=1, cached=True, prefix=PREFIX, before=None, **env):
    many = {"Image": IMAGE, "ModelDataUrl": prefix, "Mode": "MultiModel", "Environment": env}
    if not cached:
        many["MultiModelConfig"] = {"ModelCacheSetting": "Disabled"}
    role = hosting.role
    if before:
        hosting.sm.create_model(ModelName=endpoint, Containers=[before, many], ExecutionRoleArn=role)
    else:
        hosting.sm.create_model(ModelName=endpoint, PrimaryContainer=many, ExecutionRoleArn=role)
    row = {"VariantName": "v", "ModelName": endpoint, "InitialInstanceCount": count, "InstanceType": "ml.m5.large"}
    hosting.sm.create_endpoint_config(EndpointConfigName=endpoint, ProductionVariants=[row])
    hosting.sm.create_endpoint(EndpointName=endpoint, EndpointConfigName=endpoint)
    hosting.until("InService", endpoint)


def deployed(**how):
    """How the test's endpoint is made: arguments of `deploy`."""

    def mark(test):
        test.deployed = how
        return test

    return mark


@pytest.fixture
def endpoint(hosting, request):
    """One of its own for the test, with the container's environment as `deployed` says."""
    name = request.node.name.replace("_", "-").replace("[", "-").replace("]", "")[-60:].strip("-")
    deploy(hosting, name, **getattr(request.function, "deployed", {}))
    yield name
    hosting.sm.delete_endpoint(EndpointName=name)
    eventually(lambda: not [r for r in hosting.platform.store.list("endpoint-replica") if r.spec["endpoint"] == name])
    assert not [b for b in hosting.runtime.running() if b.spec.env.get("ENDPOINT") == name]


def ask(hosting, endpoint, model, body=b"x", **more):
    return hosting.rt.invoke_endpoint(EndpointName=endpoint, Body=body, TargetModel=f"{model}.tar.gz", **more)["Body"].read().decode()


def refused(function, *arguments, **more):
    with pytest.raises(ClientError) as caught:
        function(*arguments, **more)
    return caught.value.response


def boxes(hosting, endpoint):
    uids = [r.uid for r in hosting.platform.store.list("endpoint-replica") if r.spec["endpoint"] == endpoint]
    return [b for b in hosting.runtime.running() if b.spec.id.rpartition("-")[0] in uids]


def table(hosting, endpoint):
    """The endpoint's route table, once the gateway has it."""
    key = hosting.sm.describe_endpoint(EndpointName=endpoint)["EndpointArn"]
    return eventually(lambda: hosting.platform.invoker._tables.get(key))


def test_models_come_when_asked_for(hosting, endpoint):
    (box,) = boxes(hosting, endpoint)
    assert box.spec.env["SAGEMAKER_MULTI_MODEL"] == "true" and not box.loads
    assert [ask(hosting, endpoint, m) for m in ("a", "b", "a", "deep/er/e", "/a")] == ["a:x", "b:x", "a:x", "deep/er/e:x", "a:x"]
    assert box.loads == ["a", "b", "deep/er/e", "a"], "each once; /a is a name of its own"
    (name, url) = next(iter(box.models.items()))
    assert url == f"/opt/ml/models/{name}/model"
    mount = box.spec.mounts[0]
    assert (mount.target, mount.writable) == ("/opt/ml/models", False)


def test_many_callers_wait_for_one_load(hosting, endpoint):
    (box,) = boxes(hosting, endpoint)
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(lambda _: ask(hosting, endpoint, "a"), range(24))) == ["a:x"] * 24
    assert box.loads == ["a"]


@deployed(CAPACITY="2")
def test_the_model_unused_for_the_longest_time_makes_room(hosting, endpoint):
    (box,) = boxes(hosting, endpoint)
    for model in ("a", "b", "a", "c"):
        assert ask(hosting, endpoint, model) == f"{model}:x"
    assert box.loads == ["a", "b", "c"] and len(box.models) == 2
    assert ask(hosting, endpoint, "a") == "a:x" and box.loads == ["a", "b", "c"], "b went, a stayed"
    assert ask(hosting, endpoint, "b") == "b:x" and box.loads[-1] == "b"


@deployed(CAPACITY="0")
def test_a_model_that_never_fits_is_the_models_error(hosting, endpoint):
    said = refused(ask, hosting, endpoint, "a")
    assert said["Error"]["Code"] == "ModelError" and said["OriginalStatusCode"] == 507 and said["OriginalMessage"] == "no memory"


@pytest.mark.parametrize("target", ["none", "../m/model", "a/../../m/model", "", ".", "a//b", "x/"])
def test_a_model_that_is_not_there(hosting, target):
    if "refuses" not in [e["EndpointName"] for e in hosting.sm.list_endpoints(MaxResults=100)["Endpoints"]]:
        deploy(hosting, "refuses")
    hosting.s3.put_object(Bucket="models", Key="m/model.tar.gz", Body=model_tar())
    target = f"{target}.tar.gz" if target == "none" or "model" in target else target
    if not target:
        said = refused(hosting.rt.invoke_endpoint, EndpointName="refuses", Body=b"x")
        assert "is missing a target model header." in said["Error"]["Message"]
    else:
        said = refused(hosting.rt.invoke_endpoint, EndpointName="refuses", Body=b"x", TargetModel=target)
        assert said["Error"]["Message"].startswith("Failed to download model data(bucket: models, key: many/")
    assert (said["Error"]["Code"], said["ResponseMetadata"]["HTTPStatusCode"]) == ("ValidationError", 400)
    assert ask(hosting, "refuses", "a") == "a:x", "others are served"


def test_archives_that_cannot_be_unpacked_or_loaded(hosting, endpoint):
    hosting.s3.put_object(Bucket="models", Key="many/text.tar.gz", Body=b"no archive")
    hosting.s3.put_object(Bucket="models", Key="many/evil.tar.gz", Body=model_tar({"../../evil": b"x", "model.txt": b"evil"}))
    put(hosting, "broken", "bad weights")
    for name in ("text", "evil"):
        said = refused(ask, hosting, endpoint, name)
        assert said["Error"]["Code"] == "ValidationError" and "valid tar.gz archive" in said["Error"]["Message"]
    said = refused(ask, hosting, endpoint, "broken")
    assert said["Error"]["Code"] == "ModelError" and said["OriginalMessage"] == "cannot load it"
    put(hosting, "broken", "mended")
    assert ask(hosting, endpoint, "broken") == "mended:x", "a new artifact is fetched: the old one was never loaded"
    assert ask(hosting, endpoint, "a") == "a:x"


@deployed(CAPACITY="1")
def test_a_new_artifact_is_taken_when_the_old_one_was_unloaded(hosting, endpoint):
    put(hosting, "changing", "old")
    assert ask(hosting, endpoint, "changing") == "old:x"
    put(hosting, "changing", "new")
    assert ask(hosting, endpoint, "changing") == "old:x", "as on AWS"
    ask(hosting, endpoint, "a")
    assert ask(hosting, endpoint, "changing") == "new:x"
    hosting.s3.delete_object(Bucket="models", Key="many/changing.tar.gz")
    ask(hosting, endpoint, "a")
    assert ask(hosting, endpoint, "changing") == "new:x", "what lies on the instance serves on"


@deployed(cached=False)
def test_without_cache_a_model_goes_after_its_call(hosting, endpoint):
    (box,) = boxes(hosting, endpoint)
    assert [ask(hosting, endpoint, "a") for _ in range(2)] == ["a:x", "a:x"]
    assert box.loads == ["a", "a"] and not box.models
    assert not list((Path(box.spec.ml) / "models").iterdir())


def test_the_storage_is_kept_within_its_size(hosting, endpoint, monkeypatch):
    table(hosting, endpoint).variants[0].extra["models"][""]["disk"] = 250_000
    import os

    for name in ("big1", "big2", "big3"):
        put(hosting, name, None, weights=os.urandom(100_000))
    (box,) = boxes(hosting, endpoint)
    for name in ("big1", "big2", "big3"):
        assert ask(hosting, endpoint, name) == f"{name}:x"
    assert len(box.models) == 2 and len(list((Path(box.spec.ml) / "models").iterdir())) == 2, "big1 went, from memory and storage"
    put(hosting, "huge", None, weights=os.urandom(400_000))
    said = refused(ask, hosting, endpoint, "huge")
    assert said["Error"]["Code"] == "ValidationError" and "does not fit" in said["Error"]["Message"]
    assert ask(hosting, endpoint, "a") == "a:x"


@deployed(count=3)
def test_a_model_is_loaded_where_it_is(hosting, endpoint):
    for _ in range(5):
        for model in "abcd":
            assert ask(hosting, endpoint, model) == f"{model}:x"
    assert sorted(load for box in boxes(hosting, endpoint) for load in box.loads) == ["a", "b", "c", "d"]


@deployed(count=2)
def test_a_crowded_model_gets_a_second_instance(hosting, endpoint):
    quick = hosting.yard.client("sagemaker-runtime", config=Config(max_pool_connections=64))
    call = lambda _: quick.invoke_endpoint(EndpointName=endpoint, Body=b"sleep 0.3", TargetModel="a.tar.gz")["Body"].read()  # noqa: E731
    with ThreadPoolExecutor(40) as pool:
        assert set(pool.map(call, range(40))) == {b"slept"}
    assert [box.loads for box in boxes(hosting, endpoint)] == [["a"], ["a"]]


@deployed(LOAD_SECONDS="1.2")
def test_a_load_that_takes_too_long_goes_on(hosting, endpoint, monkeypatch):
    from dataclasses import replace

    there, tables = table(hosting, endpoint), hosting.platform.invoker._tables
    monkeypatch.setitem(tables, there.key, replace(there, variants=tuple(replace(v, timeout_s=0.2) for v in there.variants)))
    patient = hosting.yard.client("sagemaker-runtime", config=Config(retries={"total_max_attempts": 1}))
    call = lambda: patient.invoke_endpoint(EndpointName=endpoint, Body=b"x", TargetModel="a.tar.gz")  # noqa: E731
    said = refused(call)
    assert (said["Error"]["Code"], said["ResponseMetadata"]["HTTPStatusCode"]) == ("ModelNotReadyException", 429)

    def answers():
        try:
            return call()["Body"].read() == b"a:x"
        except ClientError as problem:
            assert problem.response["Error"]["Code"] == "ModelNotReadyException"

    eventually(answers)
    assert boxes(hosting, endpoint)[0].loads == ["a"], "one load for all who asked"


def test_a_container_that_comes_back_has_nothing_loaded(hosting, endpoint):
    assert ask(hosting, endpoint, "a") == "a:x"
    (before,) = boxes(hosting, endpoint)
    before.end(1)

    def back():
        try:
            return ask(hosting, endpoint, "a") == "a:x"
        except ClientError as problem:
            assert problem.response["Error"]["Code"] in ("ServiceUnavailable", "ModelError")

    eventually(lambda: back() and [b for b in boxes(hosting, endpoint) if b is not before and b.loads == ["a"]])


def test_what_the_container_forgot_is_loaded_again(hosting, endpoint):
    assert ask(hosting, endpoint, "a") == "a:x"
    (box,) = boxes(hosting, endpoint)
    box.models.clear()
    assert ask(hosting, endpoint, "a") == "a:x" and box.loads == ["a", "a"]
    said = refused(ask, hosting, endpoint, "a", b"status 404 no such row")
    assert said["OriginalStatusCode"] == 404 and box.loads == ["a", "a"], "the model's own 404 is its answer"


def test_a_younger_gateway_asks_what_is_loaded(hosting, endpoint):
    assert ask(hosting, endpoint, "a") == "a:x"
    hosting.platform.invoker._models._cabinets.clear()
    (box,) = boxes(hosting, endpoint)
    assert ask(hosting, endpoint, "a") == "a:x" and box.loads == ["a"]


def test_what_a_killed_gateway_left_half_done_is_begun_anew(hosting, endpoint):
    from modelyard.services.sagemaker.endpoint.shelf import Shelf

    (box,) = boxes(hosting, endpoint)
    there = table(hosting, endpoint)
    many = there.variants[0].extra["models"][""]
    shelf = Shelf(hosting.platform, there.account, there.region, many, box.spec.id.rpartition("-")[0])
    name = multimodel.name_of(many, "b.tar.gz")
    unlock = shelf.lock(name)
    (shelf._own / f"{name}.half/model").mkdir(parents=True)
    (shelf._own / f"{name}.half/model/model.txt").write_text("half")
    (Path(box.spec.ml) / "models" / name / "model").mkdir(parents=True)  # renamed, but not yet told
    (Path(box.spec.ml) / "models" / name / "model/model.txt").write_text("half")
    answers = []
    asking = threading.Thread(target=lambda: answers.append(ask(hosting, endpoint, "b")))
    asking.start()
    cabinets = hosting.platform.invoker._models._cabinets
    eventually(lambda: box.spec.serve_socket in cabinets and cabinets[box.spec.serve_socket].loads)
    assert not box.loads, "it waits for the one who has the lock"
    unlock()  # the kernel does so for a process that is killed
    asking.join(10)
    assert answers == ["b:x"] and not list(shelf._own.glob("*.half"))


def test_figures(hosting, endpoint):
    for model in ("a", "a", "b"):
        ask(hosting, endpoint, model)
    cloudwatch = hosting.yard.client("cloudwatch")
    wanted = {"ModelCacheHit", "ModelLoadingWaitTime", "ModelDownloadingTime", "ModelLoadingTime", "Invocations"}

    def told():
        found = [
            m
            for m in cloudwatch.list_metrics(Namespace="AWS/SageMaker")["Metrics"]
            if {"Name": "EndpointName", "Value": endpoint} in m["Dimensions"]
        ]
        return found if {m["MetricName"] for m in found} >= wanted else None

    assert all(
        {d["Name"] for d in m["Dimensions"]} == {"EndpointName", "VariantName"}
        for m in eventually(told)
        if m["MetricName"] in wanted - {"Invocations"}
    )
    assert cloudwatch.list_metrics(Namespace="/aws/sagemaker/Endpoints", MetricName="LoadedModelCount")["Metrics"]
    now = hosting.platform.clock.now()
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "v"}]

    def hits():
        points = cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker", MetricName="ModelCacheHit", Dimensions=dimensions, StartTime=now - 600, EndTime=now + 600, Period=3600,
            Statistics=["Sum", "SampleCount"],
        )["Datapoints"]  # fmt: skip
        return [(p["Sum"], p["SampleCount"]) for p in points] == [(1.0, 3.0)]

    eventually(hits)


def test_a_pipeline_may_end_in_many_models(hosting):
    deploy(hosting, "mixed", before={"Image": IMAGE, "Environment": {"NAME": "pre"}})
    assert [ask(hosting, "mixed", m) for m in ("a", "b")] == ["a:pre:x", "b:pre:x"]
    said = refused(ask, hosting, "mixed", "none")
    assert said["Error"]["Code"] == "ValidationError"
    said = refused(hosting.rt.invoke_endpoint, EndpointName="mixed", Body=b"x")
    assert "is missing a target model header." in said["Error"]["Message"]


def test_a_policy_can_name_the_models(hosting, endpoint):
    """The condition key sagemaker:TargetModel, on plain and streamed calls."""
    models = {"StringLike": {"sagemaker:TargetModel": ["a.tar.gz", "deep/*"]}}
    client = user_with(hosting, "sagemaker-runtime", {"Action": "sagemaker:InvokeEndpoint*", "Condition": models})
    for model in ("a", "deep/er/e"):
        assert client.invoke_endpoint(EndpointName=endpoint, Body=b"x", TargetModel=f"{model}.tar.gz")["Body"].read()
    for more in ({"TargetModel": "b.tar.gz"}, {}):
        with pytest.raises(ClientError) as caught:
            client.invoke_endpoint(EndpointName=endpoint, Body=b"x", **more)
        assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
