"""SageMaker SDK v3: functions that run as jobs, by its own `remote`; results and exceptions come back."""

import json
import os

import pandas as pd
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.remote_function import remote

session, facts = Session(), {}
IMAGE = "470317259841.dkr.ecr.us-east-1.amazonaws.com/sagemaker-base-python:1.0"


class TooFew(Exception):
    pass


@remote(
    role=get_execution_role(session), instance_type="ml.m5.large", image_uri=IMAGE, sagemaker_session=session, job_name_prefix="remote3"
)
def means(table, least=1):
    if len(table) < least:
        raise TooFew(f"only {len(table)} rows")
    return table.mean(), os.environ["TRAINING_JOB_NAME"]


table = pd.DataFrame({"a": [1.0, 3.0], "b": [10.0, 20.0]})
found, facts["job"] = means(table)
facts["found"] = found.to_dict()
try:
    means(table, least=5)
except TooFew as problem:
    facts["raised"] = str(problem)
with open(os.environ["FACTS"], "w") as file:
    json.dump(facts, file)
