"""SageMaker SDK v3: a model registered by ModelBuilder and by sagemaker.core resources, a Run, lineage, a model made of a package."""

import json
import os
import tempfile

from sagemaker.core import image_uris
from sagemaker.core.experiments import Run
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.resources import Artifact, Experiment, Model, ModelPackage, ModelPackageGroup, TrialComponent
from sagemaker.core.shapes import ArtifactSource, ContainerDefinition
from sagemaker.serve import ModelBuilder

facts = {}
session = Session()
role, bucket = get_execution_role(session), session.default_bucket()
image = image_uris.retrieve("xgboost", session.boto_region_name, version="1.7-1")
data = f"s3://{bucket}/v3/model.tar.gz"
session.boto_session.client("s3").put_object(Bucket=bucket, Key="v3/model.tar.gz", Body=b"not read here")

group = ModelPackageGroup.create(model_package_group_name="v3-group", model_package_group_description="from v3")
group.wait_for_status("Completed", poll=1)
# ModelPackage.create of this SDK reads a member that AWS's answer does not have; get, update and the builder's register work.
specification = {
    "Containers": [{"Image": image, "ModelDataUrl": data}],
    "SupportedContentTypes": ["text/csv"],
    "SupportedResponseMIMETypes": ["text/csv"],
}
made = session.sagemaker_client.create_model_package(ModelPackageGroupName="v3-group", InferenceSpecification=specification)
package = ModelPackage.get(model_package_name=made["ModelPackageArn"])
package.wait_for_status("Completed", poll=1)
package.update(model_approval_status="Approved", approval_description="good")
facts["package"] = [package.model_package_arn, package.model_approval_status, package.model_package_version]
facts["listed"] = [p.model_package_arn for p in ModelPackage.get_all(model_package_group_name="v3-group")]

builder = ModelBuilder(s3_model_data_url=data, image_uri=image, role_arn=role, sagemaker_session=session)
builder.build(model_name="v3-registered")
second = builder.register(
    model_package_group_name="v3-group", content_types=["text/csv"], response_types=["text/csv"], inference_instances=["ml.m5.large"],
    transform_instances=["ml.m5.large"], approval_status="Approved", customer_metadata_properties={"team": "red"},
)  # fmt: skip
facts["second"] = getattr(second, "model_package_arn", second)
model = Model.create(
    model_name="v3-of-package",
    primary_container=ContainerDefinition(model_package_name=package.model_package_arn),
    execution_role_arn=role,
)
facts["model"] = model.get_name()

with Run(experiment_name="v3-exp", run_name="one", sagemaker_session=session) as run:
    run.log_parameter("depth", 3)
    for step in range(3):
        run.log_metric("loss", 1.0 / (step + 1), step=step)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as notes:
        notes.write("hello")
        notes.flush()
        run.log_file(notes.name, name="notes")
component = TrialComponent.get(trial_component_name="v3-exp-one")
facts["run"] = [component.parameters["depth"].number_value, [(m.metric_name, m.count, m.last) for m in component.metrics]]
facts["experiment"] = Experiment.get(experiment_name="v3-exp").experiment_arn
artifact = Artifact.create(artifact_type="DataSet", source=ArtifactSource(source_uri="s3://somewhere/data"))
facts["artifact"] = Artifact.get(artifact_arn=artifact.artifact_arn).artifact_type
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
