"""The stress test of the MLU course's lab 2c: many calls by many threads, then CloudWatch's figures of what was sent."""

import json
import math
import os
import sys
import time
from datetime import datetime, timedelta
from multiprocessing.pool import ThreadPool

import boto3
import numpy as np
from sklearn.datasets import load_iris

endpoint_name, rounds = sys.argv[1], [tuple(map(int, word.split("x"))) for word in sys.argv[2:]]
sm, cw = boto3.client("sagemaker-runtime"), boto3.client("cloudwatch")
X = load_iris().data
facts = {"rounds": []}


def predict(payload):
    answer = sm.invoke_endpoint(EndpointName=endpoint_name, ContentType="text/csv", Accept="text/csv", Body=payload)
    return float(answer["Body"].read().decode().strip()), answer["InvokedProductionVariant"]


def run_test(max_threads, max_requests):
    batches, requests = math.ceil(max_requests / len(X)), []
    for _ in range(batches):
        batch = X.copy()
        np.random.shuffle(batch)
        requests += [",".join(map(str, row)) for row in batch]
    began = time.time()
    with ThreadPool(max_threads) as pool:
        answers = pool.map(predict, requests[:max_requests])
    return len(answers), time.time() - began, {variant for _, variant in answers}


for requests, threads in rounds:
    done, seconds, variants = run_test(threads, requests)
    facts["rounds"].append({"done": done, "per_second": done / seconds, "variants": sorted(variants)})
sent = sum(requests for requests, _ in rounds)


def metrics(name, statistic):
    found = cw.get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=name,
        Dimensions=[{"Name": "EndpointName", "Value": endpoint_name}, {"Name": "VariantName", "Value": "model-a"}],
        StartTime=datetime.utcnow() - timedelta(hours=1),
        EndTime=datetime.utcnow() + timedelta(minutes=5),
        Period=60,
        Statistics=[statistic],
    )
    return [row[statistic] for row in found["Datapoints"]]


deadline = time.monotonic() + 80
while sum(metrics("Invocations", "Sum")) < sent and time.monotonic() < deadline:
    time.sleep(0.5)
facts["Invocations"] = sum(metrics("Invocations", "Sum"))
for name in ("ModelLatency", "OverheadLatency", "Invocation5XXErrors"):
    facts[name] = sum(metrics(name, "SampleCount"))
facts["errors"] = sum(metrics("Invocation5XXErrors", "Sum")) + sum(metrics("Invocation4XXErrors", "Sum"))
facts["concurrent"] = max(metrics("ConcurrentRequestsPerModel", "Maximum"), default=0)
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
