"""boto3 alone: from a CSV file to a called endpoint.

eval "$(modelyard env)"; python boto3_quickstart.py
"""

import time
from pathlib import Path

import boto3

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
NAME = f"quickstart-{int(time.time())}"

sts, iam, s3 = boto3.client("sts"), boto3.client("iam"), boto3.client("s3")
sagemaker, runtime = boto3.client("sagemaker"), boto3.client("sagemaker-runtime")

caller = sts.get_caller_identity()
print("I am", caller["Arn"])
role = iam.get_role(RoleName=caller["Arn"].split("/")[1])["Role"]["Arn"]

bucket = f"{NAME}-{caller['Account']}"
s3.create_bucket(Bucket=bucket)
s3.upload_file(str(Path(__file__).with_name("iris.csv")), bucket, "train/iris.csv")

source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/train/", "S3DataDistributionType": "FullyReplicated"}
sagemaker.create_training_job(
    TrainingJobName=NAME,
    AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
    RoleArn=role,
    InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": source}, "ContentType": "text/csv"}],
    OutputDataConfig={"S3OutputPath": f"s3://{bucket}/output"},
    ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
    StoppingCondition={"MaxRuntimeInSeconds": 600},
    HyperParameters={"objective": "multi:softmax", "num_class": "3", "num_round": "30"},
)
sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName=NAME, WaiterConfig={"Delay": 5})
job = sagemaker.describe_training_job(TrainingJobName=NAME)
print(job["TrainingJobStatus"], {m["MetricName"]: round(m["Value"], 5) for m in job["FinalMetricDataList"]})

model = {"Image": IMAGE, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]}
sagemaker.create_model(ModelName=NAME, PrimaryContainer=model, ExecutionRoleArn=role)
variant = {"VariantName": "all", "ModelName": NAME, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
sagemaker.create_endpoint_config(EndpointConfigName=NAME, ProductionVariants=[variant])
sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName=NAME)
sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=NAME, WaiterConfig={"Delay": 5})

for flower in ("5.1,3.5,1.4,0.2", "6.3,2.8,5.1,1.5", "6.3,3.3,6.0,2.5"):
    answer = runtime.invoke_endpoint(EndpointName=NAME, ContentType="text/csv", Body=flower)
    print(flower, "is of class", answer["Body"].read().decode().strip())

sagemaker.delete_endpoint(EndpointName=NAME)
sagemaker.delete_endpoint_config(EndpointConfigName=NAME)
sagemaker.delete_model(ModelName=NAME)
everything = boto3.resource("s3").Bucket(bucket)
everything.objects.all().delete()
everything.delete()
