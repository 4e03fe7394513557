"""SageMaker SDK v2: two models on one endpoint as inference components, scaled to no copy and back."""

import io
import json
import os
import tarfile

import sagemaker
from sagemaker.compute_resource_requirements.resource_requirements import ResourceRequirements
from sagemaker.deserializers import JSONDeserializer
from sagemaker.enums import EndpointType
from sagemaker.serializers import JSONSerializer
from sagemaker.sklearn import SKLearnModel

SCRIPT = """
import json
def model_fn(folder): return None
def input_fn(body, kind): return json.loads(body)
def predict_fn(data, model): return [{factor} * x for x in data]
def output_fn(data, accept): return json.dumps(data), "application/json"
"""
facts = {}
session = sagemaker.Session()
role, bucket, sm = sagemaker.get_execution_role(session), session.default_bucket(), session.sagemaker_client
packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w:gz") as tar:
    tar.addfile(tarfile.TarInfo("model.txt"))
session.upload_string_as_file_body(packed.getvalue(), bucket, "components/model.tar.gz")
predictors = {}
for name, factor in (("twice", 2), ("thrice", 3)):
    with open(f"{name}.py", "w") as file:
        file.write(SCRIPT.format(factor=factor))
    model = SKLearnModel(
        f"s3://{bucket}/components/model.tar.gz", role, f"{name}.py", name=name, framework_version="1.2-1", sagemaker_session=session
    )
    predictors[name] = model.deploy(
        1,
        "ml.m5.xlarge",
        endpoint_name="shared",
        endpoint_type=EndpointType.INFERENCE_COMPONENT_BASED,
        inference_component_name=f"ic-{name}",
        resources=ResourceRequirements(requests={"num_cpus": 1, "memory": 1024, "copies": 1}),
        serializer=JSONSerializer(),
        deserializer=JSONDeserializer(),
    )
facts["answers"] = {name: predictor.predict([1, 2]) for name, predictor in predictors.items()}
listed = sm.list_inference_components(EndpointNameEquals="shared")["InferenceComponents"]
facts["components"] = sorted(c["InferenceComponentName"] for c in listed)
facts["status"] = sorted({c["InferenceComponentStatus"] for c in listed})


def copies(count):
    sm.update_inference_component_runtime_config(InferenceComponentName="ic-twice", DesiredRuntimeConfig={"CopyCount": count})
    session.wait_for_inference_component("ic-twice", poll=1)


copies(0)
try:
    predictors["twice"].predict([1])
except Exception as problem:
    facts["no copy"] = str(problem)
facts["the other"] = predictors["thrice"].predict([5])
copies(2)
facts["again"] = predictors["twice"].predict([7])
for predictor in predictors.values():
    predictor.delete_predictor(wait=True)
facts["left"] = len(sm.list_inference_components()["InferenceComponents"])
predictors["twice"].delete_endpoint()
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
