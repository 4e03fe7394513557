"""SageMaker SDK v2: an asynchronous endpoint with data capture, predictions waited for and failed, capture turned off and on."""

import io
import json
import os
import sys
import tarfile
import time

import numpy as np
import sagemaker
from sagemaker.async_inference import AsyncInferenceConfig, WaiterConfig
from sagemaker.deserializers import JSONDeserializer, StringDeserializer
from sagemaker.exceptions import AsyncInferenceModelError
from sagemaker.model_monitor import DataCaptureConfig
from sagemaker.serializers import JSONSerializer
from sagemaker.sklearn import SKLearnModel

facts = {}
source = sys.argv[1]
session = sagemaker.Session()
bucket, s3 = session.default_bucket(), session.boto_session.client("s3")
role = sys.argv[2]
packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w:gz") as tar:
    tar.add(source, ".")
s3.put_object(Bucket=bucket, Key="async/model.tar.gz", Body=packed.getvalue())


def model():
    return SKLearnModel(
        model_data=f"s3://{bucket}/async/model.tar.gz",
        role=role,
        entry_point="inference.py",
        source_dir=source,
        framework_version="1.2-1",
        sagemaker_session=session,
    )


predictor = model().deploy(
    initial_instance_count=1,
    instance_type="ml.m5.large",
    endpoint_name="sdk-async",
    serializer=JSONSerializer(),
    deserializer=JSONDeserializer(),
    async_inference_config=AsyncInferenceConfig(
        output_path=f"s3://{bucket}/async/out", failure_path=f"s3://{bucket}/async/bad", max_concurrent_invocations_per_instance=2
    ),
)
waiter = WaiterConfig(max_attempts=60, delay=1)
facts["predict"] = predictor.predict({"rows": [1, 2, 3]}, waiter_config=waiter)
response = predictor.predict_async({"rows": [4]})
facts["output_path"] = response.output_path
facts["get_result"] = response.get_result(waiter)
predictor.deserializer = StringDeserializer()
try:
    predictor.predict({"fail": True}, waiter_config=waiter)
except AsyncInferenceModelError as problem:
    facts["failure"] = str(problem)

capture = DataCaptureConfig(
    enable_capture=True, sampling_percentage=100, destination_s3_uri=f"s3://{bucket}/captured", json_content_types=["application/json"]
)
plain = model().deploy(
    initial_instance_count=1,
    instance_type="ml.m5.large",
    endpoint_name="sdk-capture",
    data_capture_config=capture,
    serializer=JSONSerializer(),
    deserializer=JSONDeserializer(),
)
facts["plain"] = plain.predict({"rows": [5]})


def captured():
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket=bucket, Prefix="captured/sdk-capture/").get("Contents", [])]
    return [json.loads(line) for key in keys for line in s3.get_object(Bucket=bucket, Key=key)["Body"].read().splitlines()]


def wait_for(number):
    deadline = time.monotonic() + 160
    while len(captured()) < number and time.monotonic() < deadline:
        time.sleep(0.5)
    return captured()


facts["captured"] = wait_for(1)
plain.disable_data_capture()
facts["after disable"] = session.sagemaker_client.describe_endpoint(EndpointName="sdk-capture").get("DataCaptureConfig")
plain.predict({"rows": [6]})
plain.enable_data_capture()
plain.update_data_capture_config(capture)
plain.predict({"rows": [7]})
facts["captured after"] = [json.loads(row["captureData"]["endpointInput"]["data"]) for row in wait_for(2)]
for one in (predictor, plain):
    one.delete_endpoint()
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file, default=lambda value: np.asarray(value).tolist())
