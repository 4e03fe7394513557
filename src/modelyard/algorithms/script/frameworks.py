"""What frameworks add to script mode: their variables, their launcher, and what runs beside the user's program.

Names and values are those of AWS's training toolkits: sagemaker_pytorch_container/training.py, torch_distributed.py of
sagemaker-training, sagemaker_tensorflow_container/training.py.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata

from .environment import Environment
from .say import say

MASTER_PORT = "7777"
WORKER_PORT, SERVER_PORT, MIRRORED_PORT = 2222, 2223, 8890
NOT_HERE = {
    "sagemaker_mpi_enabled": "MPI",
    "sagemaker_distributed_dataparallel_enabled": "SageMaker's data parallel library",
    "sagemaker_pytorch_xla_multi_worker_enabled": "PyTorch/XLA",
}
LOOK_EVERY_S = 1.0
"""Between two looks of a parameter server whether the master is still there."""


class Framework:
    """Script mode without anything of a framework's own."""

    def __init__(self, module: str) -> None:
        self.module = module

    def prepare(self, environment: Environment) -> tuple[dict[str, str], list[str] | None]:
        """(variables for the user's program, the launcher's command). Raises ValueError for a launcher this image lacks."""
        for name, what in NOT_HERE.items():
            if environment.launches(name):
                raise ValueError(f"distribution: {what} is not in this image; torch_distributed and parameter_server are")
        return {}, None

    @contextlib.contextmanager
    def beside(self, environment: Environment) -> Iterator[None]:
        """Around the user's program."""
        yield

    def finish(self, environment: Environment) -> None:
        """After a program that succeeded."""

    def forgives(self, tail: str) -> bool:
        """Whether a program that ended badly and said `tail` at last has done its work all the same."""
        return False


class PyTorch(Framework):
    def forgives(self, tail: str) -> bool:
        """As the toolkit does: a host whose peers have ended before it may be aborted by gloo at its own end."""
        return "terminate called after throwing an instance of 'gloo::EnforceNotMet'" in tail

    def prepare(self, environment: Environment) -> tuple[dict[str, str], list[str] | None]:
        _, launcher = super().prepare(environment)
        interface = str(environment.resources.get("network_interface_name", "eth0"))
        variables = {"MASTER_ADDR": environment.master(), "MASTER_PORT": MASTER_PORT, "NCCL_SOCKET_IFNAME": interface}
        variables |= {"NCCL_IB_DISABLE": "1", "NCCL_DEBUG": "WARN"}
        with contextlib.suppress(metadata.PackageNotFoundError):
            variables["SM_DLC_TORCH_VERSION"] = metadata.version("torch")
        ddp = environment.launches("sagemaker_pytorch_ddp_enabled")
        if ddp or environment.launches("sagemaker_torch_distributed_enabled"):
            say("Invoking TorchDistributed...")
            launcher = self._torchrun(environment)
        return variables, launcher

    def _torchrun(self, environment: Environment) -> list[str]:
        """One process per host: that is what the toolkit starts where there is no GPU."""
        hosts = environment.distribution_hosts() or environment.resources["hosts"]
        command = ["torchrun", "--nnodes", str(len(hosts)), "--nproc_per_node", "1"]
        if len(hosts) > 1:
            rank = str(hosts.index(environment.resources["current_host"]))
            command += ["--master_addr", environment.master(), "--master_port", MASTER_PORT, "--node_rank", rank]
        return command


class TensorFlow(Framework):
    def prepare(self, environment: Environment) -> tuple[dict[str, str], list[str] | None]:
        super().prepare(environment)
        keras = legacy_keras()
        if "_tuning_objective_metric" in environment.layout.read("hyperparameters"):
            # Trials of one tuning job must not write to one place.
            given = str(environment.user.get("model_dir") or "")
            if not given.startswith("/opt/ml"):
                environment.user["model_dir"] = f"{given}/{environment.job_name}/model"
        hosts, here = environment.distribution_hosts(), environment.resources["current_host"]
        if environment.launches("sagemaker_parameter_server_enabled") and len(hosts) > 1:
            return keras | {"TF_CONFIG": json.dumps(with_servers(hosts, here))}, None
        if environment.launches("sagemaker_multi_worker_mirrored_strategy_enabled"):
            return keras | {"TF_CONFIG": json.dumps(mirrored(hosts, here))}, None
        return keras, None

    @contextlib.contextmanager
    def beside(self, environment: Environment) -> Iterator[None]:
        """With parameter servers each host runs one, as long as the master trains."""
        hosts, here = environment.distribution_hosts(), environment.resources["current_host"]
        if not environment.launches("sagemaker_parameter_server_enabled") or len(hosts) < 2:
            yield
            return
        say("Launching parameter server process")
        server = (
            "import json, sys, tensorflow as tf\n"
            "cluster, index = json.loads(sys.argv[1])\n"
            "tf.distribute.Server(tf.train.ClusterSpec(cluster), job_name='ps', task_index=index).join()\n"
        )
        told = json.dumps([with_servers(hosts, here)["cluster"], hosts.index(here)])
        process = subprocess.Popen([sys.executable, "-c", server, told])
        try:
            yield
            while here != hosts[0] and _answers(hosts[0], WORKER_PORT):
                time.sleep(LOOK_EVERY_S)
        finally:
            process.kill()
            process.wait()

    def finish(self, environment: Environment) -> None:
        """Told in the log: a model that TensorFlow Serving could not serve."""
        found = [(folder, files) for folder, _, files in os.walk(environment.layout.model) if files]
        saved = [folder for folder, files in found if "saved_model.pb" in files or "saved_model.pbtxt" in files]
        if not found:
            say(
                f"No model artifact is saved under path {environment.layout.model}. Your training job will not save any model files to S3.",
                "WARNING",
            )
        elif not saved:
            say(
                "Your model will NOT be servable with SageMaker TensorFlow Serving container: it is no SavedModel in a folder with a number.",
                "WARNING",
            )
        for name in (os.path.basename(folder) for folder in saved):
            if not name.isdigit():
                say(f'Your model will NOT be servable: the SavedModel is in "{name}", not in a folder with a number for a name.', "WARNING")


def legacy_keras() -> dict[str, str]:
    """Images that stand for Keras 2 have it as a package of its own where TensorFlow comes with Keras 3 (Python 3.12 and later)."""
    return {"TF_USE_LEGACY_KERAS": "1"} if importlib.util.find_spec("tf_keras") else {}


def with_servers(hosts: list[str], here: str) -> dict:
    """TF_CONFIG of the parameter-server strategy: the first host is the master, the others are workers, each runs a server."""
    cluster = {"master": [f"{hosts[0]}:{WORKER_PORT}"], "ps": [f"{host}:{SERVER_PORT}" for host in hosts]}
    cluster["worker"] = [f"{host}:{WORKER_PORT}" for host in hosts[1:]]
    task = {"index": 0, "type": "master"} if here == hosts[0] else {"index": hosts[1:].index(here), "type": "worker"}
    return {"cluster": cluster, "environment": "cloud", "task": task}


def mirrored(hosts: list[str], here: str) -> dict:
    """TF_CONFIG of MultiWorkerMirroredStrategy."""
    cluster = {"worker": [f"{host}:{MIRRORED_PORT}" for host in hosts]}
    return {"cluster": cluster, "environment": "cloud", "task": {"index": hosts.index(here), "type": "worker"}}


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 5).close()
    except OSError:
        return False
    return True


FRAMEWORKS = {
    "scikit-learn": Framework("sagemaker_sklearn_container.training:main"),
    "script": Framework("sagemaker_sklearn_container.training:main"),
    "pytorch": PyTorch("sagemaker_pytorch_container.training:main"),
    "huggingface": PyTorch("sagemaker_pytorch_container.training:main"),
    "tensorflow": TensorFlow("sagemaker_tensorflow_container.training:main"),
    "xgboost": Framework("sagemaker_xgboost_container.training:main"),
}
