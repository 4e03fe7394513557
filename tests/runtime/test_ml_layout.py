from __future__ import annotations

import json
import os

from modelyard.runtime import ml_layout

CHANNELS = [
    {"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": {"S3Uri": "s3://b/k", "S3DataType": "S3Prefix", "S3DataDistributionType": "ShardedByS3Key"}}},
    {"ChannelName": "test", "InputMode": "FastFile", "DataSource": {"S3DataSource": {"S3Uri": "s3://b/t", "S3DataType": "S3Prefix"}}},
]  # fmt: skip


def test_everything_a_training_container_expects(tmp_path):
    for _ in range(2):  # twice is once
        ml_layout.lay_out_training(
            tmp_path, {"max_depth": "5", "s": '"quoted"'}, CHANNELS, "File", "ml.m5.large", checkpoints={"S3Uri": "s3://b/c"}
        )
    config = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "input/config").iterdir()}
    assert config["hyperparameters"] == {"max_depth": "5", "s": '"quoted"'}
    assert config["resourceconfig"] == {
        "current_host": "algo-1",
        "current_instance_type": "ml.m5.large",
        "current_group_name": "homogeneousCluster",
        "hosts": ["algo-1"],
        "instance_groups": [{"instance_group_name": "homogeneousCluster", "instance_type": "ml.m5.large", "hosts": ["algo-1"]}],
        "network_interface_name": "eth0",
    }
    assert config["inputdataconfig"] == {
        "train": {
            "TrainingInputMode": "File",
            "S3DistributionType": "ShardedByS3Key",
            "RecordWrapperType": "None",
            "ContentType": "text/csv",
        },
        "test": {"TrainingInputMode": "FastFile", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"},
    }
    assert config["checkpointconfig"] == {"S3Uri": "s3://b/c", "LocalPath": "/opt/ml/checkpoints"}
    for folder in ("input/data/train", "input/data/test", "model", "output/data", "output/intermediate", "checkpoints", "code"):
        assert (tmp_path / folder).is_dir()


def test_failure_text_is_cut_and_never_followed_out(tmp_path):
    (tmp_path / "output").mkdir()
    assert ml_layout.failure(tmp_path) is None
    (tmp_path / "output/failure").write_text("ä" * 3000)
    assert ml_layout.failure(tmp_path) == "ä" * 1024
    (tmp_path / "output/failure").unlink()
    (tmp_path / "output/failure").symlink_to("/etc/passwd")
    assert ml_layout.failure(tmp_path) is None
    (tmp_path / "output/failure").unlink()
    os.mkfifo(tmp_path / "output/failure")
    assert ml_layout.failure(tmp_path) is None
