"""SageMaker SDK v2: `deploy(serverless_inference_config=…)`, idle to zero, a cold start, `update_endpoint` back to an instance."""

import io
import json
import os
import tarfile
import time

import boto3
import sagemaker
from sagemaker.deserializers import JSONDeserializer
from sagemaker.serializers import JSONSerializer
from sagemaker.serverless import ServerlessInferenceConfig
from sagemaker.sklearn import SKLearnModel

SCRIPT = """
import json
def model_fn(folder): return 2
def input_fn(body, kind): return json.loads(body)
def predict_fn(data, model): return [model * x for x in data]
def output_fn(data, accept): return json.dumps(data), "application/json"
"""
facts = {}
session = sagemaker.Session()
role = sagemaker.get_execution_role(session)
with open("twice.py", "w") as file:
    file.write(SCRIPT)
packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w:gz") as tar:
    tar.addfile(tarfile.TarInfo("model.txt"))
session.upload_string_as_file_body(packed.getvalue(), session.default_bucket(), "twice/model.tar.gz")
model = SKLearnModel(
    f"s3://{session.default_bucket()}/twice/model.tar.gz", role, "twice.py", framework_version="1.2-1", sagemaker_session=session
)
config = ServerlessInferenceConfig(memory_size_in_mb=2048, max_concurrency=2)
predictor = model.deploy(
    endpoint_name="twice", serverless_inference_config=config, serializer=JSONSerializer(), deserializer=JSONDeserializer()
)
facts["first"] = predictor.predict([1, 2])
client = session.sagemaker_client
facts["described"] = client.describe_endpoint(EndpointName="twice")["ProductionVariants"][0]["CurrentServerlessConfig"]
time.sleep(float(os.environ.get("IDLE_REAL_S", "8")))  # the platform clock runs fast: longer than an idle instance is kept
began = time.monotonic()
facts["cold"], facts["cold_s"] = predictor.predict([3]), time.monotonic() - began
warm = []
for _ in range(5):  # one may be slow for other reasons
    began = time.monotonic()
    facts["warm"] = predictor.predict([4])
    warm.append(time.monotonic() - began)
facts["warm_s"] = min(warm)
time.sleep(2.0)
found = boto3.client("cloudwatch").list_metrics(Namespace="AWS/SageMaker", MetricName="ModelSetupTime")["Metrics"]
facts["metrics"] = [{d["Name"]: d["Value"] for d in m["Dimensions"]} for m in found]
predictor.update_endpoint(initial_instance_count=1, instance_type="ml.m5.large")
facts["after"] = predictor.predict([5])
row = client.describe_endpoint(EndpointName="twice")["ProductionVariants"][0]
facts["instances"], facts["serverless_after"] = row["CurrentInstanceCount"], "CurrentServerlessConfig" in row
predictor.delete_endpoint()
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
