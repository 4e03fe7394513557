"""SageMaker SDK v2: PyTorch on two hosts over gloo, by the script's own rendezvous and by torchrun."""

import io
import json
import os
import sys
import tarfile

import boto3
import sagemaker
from sagemaker.pytorch import PyTorch

session = sagemaker.Session()
facts = {}
for name, kind, distribution in (
    ("own", "ml.m5.large", None),
    ("torchrun", "ml.g4dn.xlarge", {"torch_distributed": {"enabled": True}}),  # the SDK refuses it for CPU types
):
    estimator = PyTorch(
        entry_point="two_hosts.py", source_dir=sys.argv[1], framework_version="2.1.0", py_version="py310", instance_count=2,
        instance_type=kind, role=sagemaker.get_execution_role(session), distribution=distribution, sagemaker_session=session,
    )  # fmt: skip
    job = f"two-hosts-{name}"
    estimator.fit(job_name=job, wait=False)
    session.wait_for_job(job, poll=1)
    where = f"{job}/output/output.tar.gz"
    body = boto3.client("s3").get_object(Bucket=session.default_bucket(), Key=where)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        facts[name] = {m.name: json.load(tar.extractfile(m)) for m in tar.getmembers() if m.name.endswith(".json")}
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
