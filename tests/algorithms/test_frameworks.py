"""What frameworks add to script mode, and the bodies of TensorFlow's image: pure parts."""

from __future__ import annotations

import json

import pytest

from modelyard.algorithms.layout import Layout
from modelyard.algorithms.script.environment import Environment
from modelyard.algorithms.script.frameworks import FRAMEWORKS
from modelyard.algorithms.tensorflow.bodies import to_predict

GROUP = {"instance_group_name": "homogeneousCluster", "instance_type": "ml.m5.large", "hosts": ["algo-1", "algo-2"]}
RESOURCES = {
    "current_host": "algo-2",
    "current_group_name": "homogeneousCluster",
    "hosts": ["algo-1", "algo-2"],
    "instance_groups": [GROUP],
    "network_interface_name": "eth0",
}


def host(tmp_path, framework: str, **hyperparameters: object) -> Environment:
    config = tmp_path / "input" / "config"
    config.mkdir(parents=True, exist_ok=True)
    (config / "resourceconfig.json").write_text(json.dumps(RESOURCES))
    (config / "hyperparameters.json").write_text(json.dumps({name: json.dumps(value) for name, value in hyperparameters.items()}))
    return Environment.read(Layout(str(tmp_path)), FRAMEWORKS[framework].module)


def test_two_hosts_of_pytorch(tmp_path):
    environment = host(tmp_path, "pytorch", sagemaker_torch_distributed_enabled=True, epochs=1)
    variables, launcher = FRAMEWORKS["pytorch"].prepare(environment)
    assert (variables["MASTER_ADDR"], variables["MASTER_PORT"], variables["NCCL_SOCKET_IFNAME"]) == ("algo-1", "7777", "eth0")
    told = "torchrun --nnodes 2 --nproc_per_node 1 --master_addr algo-1 --master_port 7777 --node_rank 1"
    assert launcher == told.split()
    seen = environment.variables()
    assert json.loads(seen["SM_TRAINING_ENV"])["distribution_hosts"] == ["algo-1", "algo-2"]
    assert seen["SM_DISTRIBUTION_INSTANCE_GROUPS"] == '["homogeneousCluster"]'


def test_without_a_distribution_nothing_is_launched(tmp_path):
    environment = host(tmp_path, "pytorch", epochs=1)
    assert FRAMEWORKS["pytorch"].prepare(environment)[1] is None
    assert json.loads(environment.variables()["SM_TRAINING_ENV"])["distribution_hosts"] == []


def test_another_groups_distribution_is_not_ours(tmp_path):
    environment = host(
        tmp_path, "pytorch", sagemaker_torch_distributed_enabled=True, sagemaker_distribution_instance_groups=["other"], epochs=1
    )
    assert FRAMEWORKS["pytorch"].prepare(environment)[1] is None


def test_tf_config_of_parameter_servers(tmp_path):
    environment = host(tmp_path, "tensorflow", sagemaker_parameter_server_enabled=True)
    variables, launcher = FRAMEWORKS["tensorflow"].prepare(environment)
    assert launcher is None and json.loads(variables["TF_CONFIG"]) == {
        "cluster": {"master": ["algo-1:2222"], "ps": ["algo-1:2223", "algo-2:2223"], "worker": ["algo-2:2222"]},
        "environment": "cloud",
        "task": {"index": 0, "type": "worker"},
    }


def test_tf_config_of_mirrored_workers(tmp_path):
    environment = host(tmp_path, "tensorflow", sagemaker_multi_worker_mirrored_strategy_enabled=True)
    told = json.loads(FRAMEWORKS["tensorflow"].prepare(environment)[0]["TF_CONFIG"])
    assert told["cluster"] == {"worker": ["algo-1:8890", "algo-2:8890"]} and told["task"] == {"index": 1, "type": "worker"}


@pytest.mark.parametrize("given, arrives", [("s3://b/j/model", "s3://b/j/model/trial-7/model"), ("/opt/ml/model", "/opt/ml/model")])
def test_trials_of_a_tuning_job_write_apart(tmp_path, monkeypatch, given, arrives):
    monkeypatch.setenv("TRAINING_JOB_NAME", "trial-7")
    environment = host(tmp_path, "tensorflow", _tuning_objective_metric="loss", model_dir=given)
    FRAMEWORKS["tensorflow"].prepare(environment)
    assert environment.user["model_dir"] == arrives


@pytest.mark.parametrize("name", ["sagemaker_mpi_enabled", "sagemaker_distributed_dataparallel_enabled"])
@pytest.mark.parametrize("framework", ["pytorch", "tensorflow", "huggingface"])
def test_launchers_that_are_not_here(tmp_path, framework, name):
    with pytest.raises(ValueError, match="is not in this image"):
        FRAMEWORKS[framework].prepare(host(tmp_path, framework, **{name: True}))


@pytest.mark.parametrize("kind, body, expected", [
    ("application/json", '{"instances": [1]}', '{"instances": [1]}'),
    ("application/json", "[1, 2]", '{"instances":[[1, 2]]}'),
    ("application/json", "[[1, 2]]", '{"instances":[[1, 2]]}'),
    ("application/json", '{"x": 1}', '{"instances":[{"x": 1}]}'),
    ("application/jsonlines", '{"x": 1}\n{"x": 2}\n', '{"instances":[{"x": 1},{"x": 2}]}'),
    ("text/csv", "1,2\n3,4\n", '{"instances":[[1,2],[3,4]]}'),
    ("text/csv", "1\n2", '{"instances":[1,2]}'),
    ("text/csv", "a,b\nc,d", '{"instances":[["a","b"],["c","d"]]}'),
    ("text/csv", '"a","b"', '{"instances":[["a","b"]]}'),
    ("text/csv", "-1.5e3,2", '{"instances":[[-1.5e3,2]]}'),
])  # fmt: skip
def test_bodies_become_predict_requests(kind, body, expected):
    assert to_predict(body, kind) == expected
    json.loads(expected)


def test_an_abort_of_gloo_at_the_end_is_forgiven_and_no_other():
    gloo = (
        "terminate called after throwing an instance of 'gloo::EnforceNotMet'\n  what():  [enforce fail at ...] Connection closed by peer\n"
    )
    assert FRAMEWORKS["pytorch"].forgives("loss 0.1\n" + gloo)
    assert not FRAMEWORKS["pytorch"].forgives("terminate called after throwing an instance of 'std::bad_alloc'")
    assert not FRAMEWORKS["tensorflow"].forgives(gloo)
