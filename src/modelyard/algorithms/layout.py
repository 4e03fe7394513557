"""Where a SageMaker container finds its things: the `/opt/ml` tree.

`SAGEMAKER_BASE_DIR` moves the tree, as in AWS's own toolkits (tests use it; a box mounts the real `/opt/ml`).
Source: docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo.html.
"""

from __future__ import annotations

import json
import os


class Layout:
    """The folders and files of one container, as plain path strings."""

    def __init__(self, base: str | None = None):
        self.base = base or os.environ.get("SAGEMAKER_BASE_DIR") or os.environ.get("BASE_PATH") or "/opt/ml"
        join = os.path.join
        self.input = join(self.base, "input")
        self.config = join(self.input, "config")
        self.data = join(self.input, "data")
        self.model = os.environ.get("MODELYARD_MODEL_DIR") or join(self.base, "model")
        self.output = join(self.base, "output")
        self.output_data = join(self.output, "data")
        self.intermediate = join(self.output, "intermediate")
        self.failure = join(self.output, "failure")
        self.code = join(self.base, "code")
        self.checkpoints = join(self.base, "checkpoints")

    def make(self) -> None:
        """Create the folders that a training program may write to before anything can fail."""
        for path in (self.model, self.output, self.output_data, self.intermediate):
            os.makedirs(path, exist_ok=True)

    def read(self, name: str, default: object = None) -> dict:
        """The JSON of `input/config/<name>.json`, or `default` ({}) when there is no such file."""
        path = os.path.join(self.config, name + ".json")
        if not os.path.exists(path):
            return {} if default is None else default
        with open(path) as file:
            return json.load(file)

    def channel(self, name: str) -> str:
        return os.path.join(self.data, name)

    def fail(self, text: str) -> None:
        """Write the failure file, whose first 1,024 characters become the job's FailureReason; the first writer wins."""
        os.makedirs(self.output, exist_ok=True)
        if not os.path.exists(self.failure):
            with open(self.failure, "w") as file:
                file.write(text)
