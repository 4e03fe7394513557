"""The SM_* environment against the dump that real AWS printed (2-host PyTorch job, MAN section 15)."""

from __future__ import annotations

import json

import pytest

from modelyard.algorithms.layout import Layout
from modelyard.algorithms.script.environment import Environment
from modelyard.algorithms.script.hyperparameters import command_line, decode, split

S3 = "s3://sagemaker-us-east-1-866824485776/pytorch-training-2023-07-05-15-55-46-116/source/sourcedir.tar.gz"
GROUP = '{"hosts":["algo-2","algo-1"],"instance_group_name":"homogeneousCluster","instance_type":"ml.c5.2xlarge"}'
RESOURCES = (
    '{"current_group_name":"homogeneousCluster","current_host":"algo-2","current_instance_type":"ml.c5.2xlarge",'
    f'"hosts":["algo-1","algo-2"],"instance_groups":[{GROUP}],"network_interface_name":"eth0"}}'
)
CHANNELS = '{"training":{"RecordWrapperType":"None","S3DistributionType":"FullyReplicated","TrainingInputMode":"File"}}'
TRAINING_ENV = (
    '{"additional_framework_parameters":{},"channel_input_dirs":{"training":"/opt/ml/input/data/training"},"current_host":"algo-2",'
    '"current_instance_group":"homogeneousCluster","current_instance_group_hosts":["algo-2","algo-1"],'
    '"current_instance_type":"ml.c5.2xlarge","distribution_hosts":[],"distribution_instance_groups":[],'
    '"framework_module":"sagemaker_pytorch_container.training:main","hosts":["algo-1","algo-2"],'
    '"hyperparameters":{"backend":"gloo","epochs":1},"input_config_dir":"/opt/ml/input/config",'
    f'"input_data_config":{CHANNELS},"input_dir":"/opt/ml/input","instance_groups":["homogeneousCluster"],'
    f'"instance_groups_dict":{{"homogeneousCluster":{GROUP}}},"is_hetero":false,"is_master":false,"is_modelparallel_enabled":null,'
    '"is_smddpmprun_installed":false,"job_name":"pytorch-training-2023-07-05-15-55-46-116","log_level":20,"master_hostname":"algo-1",'
    f'"model_dir":"/opt/ml/model","module_dir":"{S3}","module_name":"mnist-pytorch","network_interface_name":"eth0","num_cpus":8,'
    '"num_gpus":0,"num_neurons":0,"output_data_dir":"/opt/ml/output/data","output_dir":"/opt/ml/output",'
    f'"output_intermediate_dir":"/opt/ml/output/intermediate","resource_config":{RESOURCES},"user_entry_point":"mnist-pytorch.py"}}'
)
DUMP = f"""SM_HOSTS=["algo-1","algo-2"]
SM_NETWORK_INTERFACE_NAME=eth0
SM_HPS={{"backend":"gloo","epochs":1}}
SM_USER_ENTRY_POINT=mnist-pytorch.py
SM_FRAMEWORK_PARAMS={{}}
SM_RESOURCE_CONFIG={RESOURCES}
SM_INPUT_DATA_CONFIG={CHANNELS}
SM_OUTPUT_DATA_DIR=/opt/ml/output/data
SM_CHANNELS=["training"]
SM_CURRENT_HOST=algo-2
SM_CURRENT_INSTANCE_TYPE=ml.c5.2xlarge
SM_CURRENT_INSTANCE_GROUP=homogeneousCluster
SM_CURRENT_INSTANCE_GROUP_HOSTS=["algo-2","algo-1"]
SM_INSTANCE_GROUPS=["homogeneousCluster"]
SM_INSTANCE_GROUPS_DICT={{"homogeneousCluster":{GROUP}}}
SM_DISTRIBUTION_INSTANCE_GROUPS=[]
SM_IS_HETERO=false
SM_MODULE_NAME=mnist-pytorch
SM_LOG_LEVEL=20
SM_FRAMEWORK_MODULE=sagemaker_pytorch_container.training:main
SM_INPUT_DIR=/opt/ml/input
SM_INPUT_CONFIG_DIR=/opt/ml/input/config
SM_OUTPUT_DIR=/opt/ml/output
SM_NUM_CPUS=8
SM_NUM_GPUS=0
SM_NUM_NEURONS=0
SM_MODEL_DIR=/opt/ml/model
SM_MODULE_DIR={S3}
SM_TRAINING_ENV={TRAINING_ENV}
SM_USER_ARGS=["--backend","gloo","--epochs","1"]
SM_OUTPUT_INTERMEDIATE_DIR=/opt/ml/output/intermediate
SM_CHANNEL_TRAINING=/opt/ml/input/data/training
SM_HP_BACKEND=gloo
SM_HP_EPOCHS=1""".splitlines()


class Files(Layout):
    """/opt/ml whose configuration files are given."""

    def __init__(self, files: dict):
        super().__init__("/opt/ml")
        self.files = files

    def read(self, name: str, default: object = None) -> dict:
        return self.files.get(name, {} if default is None else default)


def test_the_environment_equals_what_aws_printed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MODELYARD_CPUS", "8")
    monkeypatch.setenv("TRAINING_JOB_NAME", "pytorch-training-2023-07-05-15-55-46-116")
    hyperparameters = {
        "backend": '"gloo"', "epochs": "1", "sagemaker_container_log_level": "20", "sagemaker_program": '"mnist-pytorch.py"',
        "sagemaker_job_name": '"pytorch-training-2023-07-05-15-55-46-116"', "sagemaker_region": '"us-east-1"',
        "sagemaker_submit_directory": json.dumps(S3),
    }  # fmt: skip
    files = {"hyperparameters": hyperparameters, "resourceconfig": json.loads(RESOURCES), "inputdataconfig": json.loads(CHANNELS)}
    environment = Environment.read(Files(files), "sagemaker_pytorch_container.training:main")
    assert [f"{name}={value}" for name, value in environment.variables().items()] == DUMP


def test_hyperparameters_are_decoded_or_kept():
    values, kept = decode({"a": '"x"', "b": "0.1", "c": "multi:softmax", "d": '{"k": [1]}', "e": "", "f": "true"})
    assert values == {"a": "x", "b": 0.1, "c": "multi:softmax", "d": {"k": [1]}, "e": "", "f": True}
    assert kept == ["c", "e"]


def test_command_line_is_sorted():
    given = {"lr": 0.1, "a": "b c", "flag": True, "none": None, "map": {"z": 1, "y": 2}}
    assert command_line(given) == ["-a", "b c", "--flag", "True", "--lr", "0.1", "--map", "y=2,z=1", "--none", ""]


def test_what_the_tuner_adds_is_not_the_scripts():
    values, _ = decode({"_tuning_objective_metric": "loss", "sagemaker_enable_cloudwatch_metrics": "false", "rate": "0.1"})
    assert split(values)[0] == {"rate": 0.1}
