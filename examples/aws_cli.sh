#!/bin/sh
# The AWS CLI alone: from a CSV file to a called endpoint.
#     eval "$(modelyard env)"; sh aws_cli.sh
set -eu
cd "$(dirname "$0")"
name=cli-$(date +%s)
image=683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1
arn=$(aws sts get-caller-identity --query Arn --output text)
role=$(aws iam get-role --role-name "$(echo "$arn" | cut -d/ -f2)" --query Role.Arn --output text)

aws s3 mb "s3://$name"
aws s3 cp --no-progress iris.csv "s3://$name/train/iris.csv"

aws sagemaker create-training-job --cli-input-json '{
    "TrainingJobName": "'"$name"'",
    "AlgorithmSpecification": {"TrainingImage": "'"$image"'", "TrainingInputMode": "File"},
    "RoleArn": "'"$role"'",
    "InputDataConfig": [{"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": {
        "S3DataType": "S3Prefix", "S3Uri": "s3://'"$name"'/train/", "S3DataDistributionType": "FullyReplicated"}}}],
    "OutputDataConfig": {"S3OutputPath": "s3://'"$name"'/output"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
    "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    "HyperParameters": {"objective": "multi:softmax", "num_class": "3", "num_round": "30"}
}'
aws sagemaker wait training-job-completed-or-stopped --training-job-name "$name"
aws sagemaker describe-training-job --training-job-name "$name" --query TrainingJobStatus --output text
model=$(aws sagemaker describe-training-job --training-job-name "$name" --query ModelArtifacts.S3ModelArtifacts --output text)

aws sagemaker create-model --model-name "$name" --execution-role-arn "$role" --primary-container "Image=$image,ModelDataUrl=$model"
aws sagemaker create-endpoint-config --endpoint-config-name "$name" \
    --production-variants "VariantName=all,ModelName=$name,InitialInstanceCount=1,InstanceType=ml.m5.large"
aws sagemaker create-endpoint --endpoint-name "$name" --endpoint-config-name "$name"
aws sagemaker wait endpoint-in-service --endpoint-name "$name"

answer=$(mktemp)
aws sagemaker-runtime invoke-endpoint --endpoint-name "$name" --content-type text/csv --body 6.3,2.8,5.1,1.5 "$answer"
echo "class of 6.3,2.8,5.1,1.5: $(cat "$answer")"
rm "$answer"

aws sagemaker delete-endpoint --endpoint-name "$name"
aws sagemaker wait endpoint-deleted --endpoint-name "$name"
aws sagemaker delete-endpoint-config --endpoint-config-name "$name"
aws sagemaker delete-model --model-name "$name"
aws s3 rb --force "s3://$name"
