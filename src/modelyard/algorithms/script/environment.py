"""The `SM_*` environment that a training script reads.

Names and values are those of AWS's sagemaker-training toolkit (environment.py, `Environment.to_env_vars`):
strings as they are, everything else as JSON with sorted keys and no blanks.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field

from ..cpus import cpus
from ..layout import Layout
from .hyperparameters import command_line, decode, split

INFO = 20
LAUNCHERS = (
    "sagemaker_mpi_enabled",
    "sagemaker_parameter_server_enabled",
    "sagemaker_distributed_dataparallel_enabled",
    "sagemaker_pytorch_ddp_enabled",
    "sagemaker_pytorch_xla_multi_worker_enabled",
    "sagemaker_multi_worker_mirrored_strategy_enabled",
    "sagemaker_torch_distributed_enabled",
)
"""What the SDK's `distribution=` sets: any of them makes the job's own group the distributed one."""


@dataclass
class Environment:
    """One training container as its script sees it."""

    layout: Layout
    framework_module: str
    resources: dict
    channels: dict
    user: dict
    platform: dict
    framework: dict
    job_name: str
    undecoded: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, layout: Layout, framework_module: str) -> Environment:
        """Read `/opt/ml/input/config` and the process's own environment."""
        values, undecoded = decode(layout.read("hyperparameters"))
        user, platform, framework = split(values)
        resources = layout.read("resourceconfig", {"current_host": "algo-1", "hosts": ["algo-1"]})
        job = os.environ.get("TRAINING_JOB_NAME") or platform.get("sagemaker_job_name") or ""
        return cls(layout, framework_module, resources, layout.read("inputdataconfig"), user, platform, framework, job, undecoded)

    @property
    def program(self) -> str | None:
        """The user's entry point (`SAGEMAKER_PROGRAM` or the hyperparameter `sagemaker_program`), None in algorithm mode."""
        return os.environ.get("SAGEMAKER_PROGRAM") or self.platform.get("sagemaker_program")

    @property
    def module_name(self) -> str:
        program = str(self.program)
        return program[:-3] if program.endswith(".py") else program

    @property
    def submit_directory(self) -> str:
        """Where the code is: an `s3://` archive, a local folder or archive; `/opt/ml/code` when nothing is said."""
        return str(self.platform.get("sagemaker_submit_directory") or os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY") or self.layout.code)

    @property
    def log_level(self) -> object:
        return self.platform.get("sagemaker_container_log_level", INFO)

    def groups(self) -> dict:
        """What the toolkit says about instance groups."""
        groups = self.resources.get("instance_groups", [])
        current = self.resources.get("current_group_name", "homogeneousCluster")
        wanted = [current] if any(self.framework.get(name) for name in LAUNCHERS) else []
        distributed = self.framework.get("sagemaker_distribution_instance_groups", wanted)
        return {
            "current_instance_type": self.resources.get("current_instance_type", "local"),
            "current_instance_group": current,
            "current_instance_group_hosts": next((g["hosts"] for g in groups if g["instance_group_name"] == current), []),
            "instance_groups": [g["instance_group_name"] for g in groups],
            "instance_groups_dict": {g["instance_group_name"]: g for g in groups},
            "distribution_instance_groups": distributed,
            "is_hetero": len(groups) > 1,
        }

    def distribution_hosts(self) -> list[str]:
        """The hosts that train together, none where nothing was asked to be distributed."""
        groups = self.resources.get("instance_groups", [])
        distributed = self.groups()["distribution_instance_groups"]
        return [host for group in groups if group["instance_group_name"] in distributed for host in group["hosts"]]

    def master(self) -> str:
        return (self.distribution_hosts() or self.resources["hosts"])[0]

    def launches(self, name: str) -> bool:
        """Whether `distribution=` asks this host for the launcher `name` (one of LAUNCHERS)."""
        groups = self.groups()
        return bool(self.framework.get(name)) and groups["current_instance_group"] in groups["distribution_instance_groups"]

    def shared(self) -> dict:
        """What `SM_TRAINING_ENV` and the single variables have in common, by the toolkit's names."""
        layout = self.layout
        return {
            "current_host": self.resources["current_host"],
            "framework_module": self.framework_module,
            "hosts": self.resources["hosts"],
            "input_config_dir": layout.config,
            "input_data_config": self.channels,
            "input_dir": layout.input,
            "log_level": self.log_level,
            "model_dir": layout.model,
            "module_dir": self.submit_directory,
            "module_name": self.module_name,
            "network_interface_name": self.resources.get("network_interface_name", "eth0"),
            "num_cpus": cpus(),
            "num_gpus": 0,
            "num_neurons": 0,
            "output_data_dir": layout.output_data,
            "output_dir": layout.output,
            "output_intermediate_dir": layout.intermediate,
            "resource_config": self.resources,
            "user_entry_point": self.program,
        } | self.groups()

    def training_env(self) -> dict:
        """`SM_TRAINING_ENV`: the whole environment as one mapping, as the toolkit also prints it into the log."""
        return self.shared() | {
            "additional_framework_parameters": self.framework,
            "channel_input_dirs": {name: self.layout.channel(name) for name in self.channels},
            "distribution_hosts": self.distribution_hosts(),
            "hyperparameters": self.user,
            "is_master": self.resources["current_host"] == self.master(),
            "is_modelparallel_enabled": None,
            "is_smddpmprun_installed": False,
            "job_name": self.job_name,
            "master_hostname": self.master(),
        }

    def arguments(self) -> list[str]:
        return command_line(self.user)

    def variables(self) -> dict[str, str]:
        """Every `SM_*` variable, in the toolkit's order."""
        shared = self.shared()
        named = {name: shared[name] for name in ("hosts", "network_interface_name")}
        named |= {"hps": self.user, "user_entry_point": self.program, "framework_params": self.framework}
        named |= {name: shared[name] for name in ("resource_config", "input_data_config", "output_data_dir")}
        named |= {"channels": sorted(self.channels), "current_host": shared["current_host"]} | self.groups()
        last = "module_name log_level framework_module input_dir input_config_dir output_dir num_cpus num_gpus num_neurons model_dir module_dir"
        named |= {name: shared[name] for name in last.split()}
        named |= {"training_env": self.training_env(), "user_args": self.arguments()}
        named["output_intermediate_dir"] = shared["output_intermediate_dir"]
        named |= {f"channel_{name}": self.layout.channel(name) for name in self.channels}
        named |= {f"hp_{name}": value for name, value in self.user.items()}
        return {"SM_" + name.upper(): as_text(value) for name, value in named.items()}


def as_text(value: object) -> str:
    """A value as the text of an environment variable."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))
