"""SageMaker SDK v2: a Run around a training job and one inside it, analytics, lineage table, a registered model approved and deployed."""

import json
import os
import sys
import time

import boto3
import sagemaker
from sagemaker import image_uris
from sagemaker.analytics import ExperimentAnalytics
from sagemaker.estimator import Estimator
from sagemaker.experiments import Run, list_runs, load_run
from sagemaker.inputs import TrainingInput
from sagemaker.lineage.context import EndpointContext
from sagemaker.lineage.visualizer import LineageTableVisualizer
from sagemaker.model import Model, ModelPackage
from sagemaker.model_metrics import MetricsSource, ModelMetrics

facts = {}
session, role = sagemaker.Session(), sagemaker.get_execution_role()
bucket, s3, sm = session.default_bucket(), boto3.client("s3"), session.sagemaker_client
rows = "\n".join(f"{n % 2},{n % 2},{n % 7},{n % 5}" for n in range(200))
s3.put_object(Bucket=bucket, Key="exp/train/rows.csv", Body=rows)
image = image_uris.retrieve("xgboost", session.boto_region_name, "1.7-1")


def until(look, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.2)
    raise AssertionError("waited in vain")


with Run(experiment_name="Churn-exp", run_name="first", sagemaker_session=session) as run:
    run.log_parameter("max_depth", 3)
    run.log_parameters({"booster": "gbtree", "eta": 0.3})
    for step in range(12):
        run.log_metric("loss", 1.0 / (step + 1), step=step)
    run.log_artifact("source", "s3://somewhere/source.tar.gz", media_type="application/gzip", is_output=False)
    run.log_confusion_matrix([0, 1, 1], [0, 1, 0], title="matrix")
    with open(sys.argv[1], "w") as notes:
        notes.write("hello")
    run.log_file(notes.name, name="notes")
    estimator = Estimator(
        image, role, 1, "ml.m5.large", sagemaker_session=session, base_job_name="churn", output_path=f"s3://{bucket}/exp/out",
        hyperparameters={"objective": "binary:logistic", "num_round": "8", "eta": "0.3", "eval_metric": "error,logloss"},
    )  # fmt: skip
    data = TrainingInput(f"s3://{bucket}/exp/train", content_type="text/csv")
    estimator.fit({"train": data, "validation": data}, job_name="churn-one", logs=False)

with load_run(experiment_name="Churn-exp", run_name="first", sagemaker_session=session) as run:
    run.log_metric("accuracy", 0.9)
facts["run"] = sm.describe_trial_component(TrialComponentName="churn-exp-first")
job = until(
    lambda: (
        (c := sm.describe_trial_component(TrialComponentName="churn-one-aws-training-job"))["Status"]["PrimaryStatus"] == "Completed" and c
    )
)
facts["job"] = job
facts["runs"] = [one.run_name for one in list_runs(experiment_name="churn-exp", sagemaker_session=session)]
frame = ExperimentAnalytics(experiment_name="churn-exp", sagemaker_session=session).dataframe()
facts["frame"] = {"columns": list(frame.columns), "names": sorted(frame["TrialComponentName"])}
facts["lineage"] = until(lambda: len(t := LineageTableVisualizer(session).show(training_job_name="churn-one").values.tolist()) >= 3 and t)

metrics = ModelMetrics(model_statistics=MetricsSource("application/json", f"s3://{bucket}/exp/statistics.json"))
model = Model(image, estimator.model_data, role=role, sagemaker_session=session)
package = model.register(
    content_types=["text/csv"], response_types=["text/csv"], inference_instances=["ml.m5.large"], transform_instances=["ml.m5.large"],
    model_package_group_name="churn-group", model_metrics=metrics, customer_metadata_properties={"team": "red"}, description="first",
    approval_status="PendingManualApproval", domain="MACHINE_LEARNING", task="CLASSIFICATION",
)  # fmt: skip
second = estimator.register(
    content_types=["text/csv"], response_types=["text/csv"], inference_instances=["ml.m5.large"], transform_instances=["ml.m5.large"],
    model_package_group_name="churn-group", approval_status="Approved",
)  # fmt: skip
facts["packages"] = [package.model_package_arn, second.model_package_arn]
package.update_approval_status("Approved", approval_description="looks good")
package.update_customer_metadata({"stage": "prod"})
facts["described"] = sm.describe_model_package(ModelPackageName=package.model_package_arn)
facts["newest"] = session.get_most_recently_created_approved_model_package("churn-group").model_package_arn
s3.put_object(Bucket=bucket, Key="exp/rows/rows.csv", Body="1,3,2\n0,1,2\n")
transform = {
    "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/exp/rows"}}, "ContentType": "text/csv", "SplitType": "Line"},
    "TransformOutput": {"S3OutputPath": f"s3://{bucket}/exp/validated"}, "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
}  # fmt: skip
validated = sm.create_model_package(
    ModelPackageGroupName="churn-group", InferenceSpecification=facts["described"]["InferenceSpecification"],
    ValidationSpecification={"ValidationRole": role, "ValidationProfiles": [{"ProfileName": "small", "TransformJobDefinition": transform}]},
)["ModelPackageArn"]  # fmt: skip
session.wait_for_model_package(validated, poll=1)
facts["validated"] = sm.describe_model_package(ModelPackageName=validated)
facts["validation"] = s3.get_object(Bucket=bucket, Key="exp/validated/rows.csv.out")["Body"].read().decode()
deployed = ModelPackage(role=role, model_package_arn=package.model_package_arn, sagemaker_session=session)
deployed.deploy(1, "ml.m5.large", endpoint_name="from-package")
runtime = boto3.client("sagemaker-runtime")
facts["prediction"] = runtime.invoke_endpoint(EndpointName="from-package", ContentType="text/csv", Body=b"1,3,2")["Body"].read().decode()
endpoint = sm.describe_endpoint(EndpointName="from-package")["EndpointArn"]
(context,) = until(lambda: sm.list_contexts(SourceUri=endpoint)["ContextSummaries"])
edges = until(lambda: sm.list_associations(DestinationArn=context["ContextArn"])["AssociationSummaries"])
facts["deployment"] = [
    edges[0]["SourceType"],
    edges[0]["AssociationType"],
    EndpointContext.load(context["ContextName"], session).context_type,
]
session.delete_endpoint("from-package")
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file, default=str)
