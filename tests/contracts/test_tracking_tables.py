"""Tables of experiments and lineage, on every database."""

from __future__ import annotations

import math

import pytest

from modelyard.services.sagemaker.experiments.links import Links
from modelyard.services.sagemaker.experiments.run_metrics import RunMetrics
from modelyard.services.sagemaker.lineage.edges import Edge, Edges, End


def test_metrics_and_their_running_summaries(database):
    metrics = RunMetrics(database)
    values = [4.0, 1e9, -3.5, 2.25, 2.25]
    for n, value in enumerate(values):
        metrics.put("run", [("loss", n, 100.0 + n, value), ("a.b", None, 100.0, 1.0)])
    plain, loss = metrics.summaries("run", "arn")
    assert (plain["MetricName"], plain["Count"], plain["StdDev"], plain["SourceArn"]) == ("a.b", 5, 0.0, "arn")
    mean = math.fsum(values) / 5
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / 5)
    assert (loss["Min"], loss["Max"], loss["Last"], loss["Count"]) == (-3.5, 1e9, 2.25, 5)
    assert loss["Avg"] == pytest.approx(mean) and loss["StdDev"] == pytest.approx(spread)
    metrics.put("run", [("loss", 0, 1.0, 7.0)])  # late: it is not the last one
    assert metrics.summaries("run", "")[1]["Last"] == 2.25
    assert metrics.points("run", "loss", 100.0, 101.0) == [(0, 100.0, 4.0), (1, 101.0, 1e9)]
    metrics.put("other", [("loss", 0, 1.0, 9.0)])
    assert metrics.ranked("loss", "last", True, 10, 0) == ["other", "run"] == metrics.ranked("loss", "max", False, 10, 0)
    assert metrics.ranked("loss", "stddev", True, 1, 1) == ["other"]
    assert metrics.beyond("loss", "last", ">=", 9.0) == ["other"] and metrics.beyond("loss", "avg", "<", 10.0) == ["other"]
    assert set(metrics.named("loss.last", ["run", "other"])) == {"run", "other"} and set(metrics.named("a.b.max", ["run"])) == {"run"}
    metrics.forget("run")
    assert metrics.summaries("run", "") == [] and metrics.names() == ["loss"]


def test_a_whole_series_is_written_once(database):
    metrics = RunMetrics(database)
    series = [("m", None, float(n), float(n)) for n in range(5)]
    for upto in (2, 2, 5, 5):
        metrics.put_once("job", series[:upto])
    (summary,) = metrics.summaries("job", "")
    assert (summary["Count"], summary["Last"]) == (5, 4.0)


def test_links(database):
    links = Links(database)
    for trial, component in (("t", "a"), ("t", "a"), ("t", "b"), ("u", "a")):
        links.join(trial, component)
    assert sorted(links.components(["t", "u"])) == ["a", "b"] and sorted(links.trials("a")) == ["t", "u"]
    assert {c: sorted(t) for c, t in links.trials_of(["a", "b", "c"]).items()} == {"a": ["t", "u"], "b": ["t"]}
    assert links.part("t", "b") and not links.part("t", "b")
    links.come_from("ARN:Job", "a")
    assert links.of_source("arn:job") == ["a"]
    links.forget("a")
    assert links.components(["t", "u"]) == [] == links.of_source("arn:job")


def test_edges(database):
    edges = Edges(database)
    data, run, model = (End(f"arn:aws:sagemaker:r:1:{kind}", type_, name) for kind, type_, name in (
        ("artifact/d", "DataSet", ""), ("experiment-trial-component/c", "SageMakerTrainingJob", "c"), ("artifact/m", "Model", "m")))  # fmt: skip
    one, two = Edge(data, run, "ContributedTo", 1.0), Edge(run, model, "Produced", 2.0)
    assert edges.add("1", "r", [one, two]) == 2 and edges.add("1", "r", [one]) == 0

    def listed(place=None, limit=10, order_by="created_at", descending=False, **wanted):
        return edges.list("1", "r", wanted, after=None, before=None, order_by=order_by, descending=descending, place=place, limit=limit)

    assert listed() == [one, two] == listed(descending=True)[::-1]
    assert listed(limit=1) == [one] and listed(place=[1.0, data.arn, run.arn]) == [two]
    assert listed(source_type="Artifact") == [one] and listed(destination_type="TrialComponent") == [one]
    assert listed(order_by="destination_type") == [two, one] and edges.list(
        "1", "r", {}, after=1.0, before=3.0, order_by="source", descending=True, place=None, limit=5
    ) == [two]
    assert edges.touching(run.arn) == [one, two] or edges.touching(run.arn) == [two, one]
    edges.come_from("a", "s3://x", "uid")
    edges.come_from("a", "s3://y", "uid")
    assert edges.of_source("s3://x") == [] and edges.of_source("s3://y") == ["uid"]
    assert edges.remove(data.arn, run.arn) and not edges.remove(data.arn, run.arn)
    edges.remove_touching(model.arn)
    assert listed() == []
