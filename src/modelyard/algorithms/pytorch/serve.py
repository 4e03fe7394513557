"""Serving in the PyTorch image: tensors in and out, a TorchScript model by default.

Defaults are those of AWS's sagemaker-pytorch-inference-toolkit (default_pytorch_inference_handler.py): model_fn loads `model.pt` or
the only `.pt` or `.pth` file as TorchScript, input_fn makes a float tensor of text and a tensor of the array's own type of NPY.

Requests are batched when the user's module says `modelyard_batch = True`, or when SAGEMAKER_TS_BATCH_SIZE is above 1, by which AWS's
image is told the same: a model may look at its whole batch, so it has to be declared.
"""

from __future__ import annotations

import os

import numpy as np

from ..cpus import cpus, workers
from ..serving.codecs import TEXT, decode, media_type
from ..serving.probe import is_cheap
from ..serving.script import ScriptHandler


def main() -> int:
    """Serve the model in `/opt/ml/model` until SIGTERM."""
    from ..serving.workers import serve

    return serve(TorchHandler())


class ModelLoadError(Exception):
    """A file that is not TorchScript."""


class TorchHandler(ScriptHandler):
    """A user's functions around a PyTorch model."""

    def load(self) -> None:
        import torch

        torch.set_num_threads(max(1, cpus() // workers()))
        super().load()
        if self.predict_fn == self.default_predict_fn and isinstance(self.model, torch.nn.Module):
            self.model.eval()
        size = int(os.environ.get("SAGEMAKER_TS_BATCH_SIZE") or 0)
        self.most = size if size > 1 else None
        self.batches = self.may_batch(size > 1)
        # A user's own function is not asked what nobody sent: it might count.
        self.cheap = self.batches and self.predict_fn == self.default_predict_fn and self._is_cheap()

    def _is_cheap(self) -> bool:
        """Asked with rows as wide as the model's first layer; False for a model that does not start with such a layer."""
        import torch

        first = next(iter(self.model.parameters()), None) if isinstance(self.model, torch.nn.Module) else None
        if first is None or first.ndim != 2:
            return False
        return is_cheap(lambda rows: self.default_predict_fn(torch.from_numpy(rows), self.model), first.shape[1])

    def kind_of(self, data: object) -> object | None:
        """Tensors of one type and shape of row go together, as arrays do."""
        import torch

        if isinstance(data, torch.Tensor):
            return (tuple(data.shape[1:]), data.dtype) if data.ndim > 1 and len(data) else None
        return super().kind_of(data)

    def join(self, parts: list) -> object:
        import torch

        return torch.cat(parts) if isinstance(parts[0], torch.Tensor) else super().join(parts)

    def default_model_fn(self, model_dir: str) -> object:
        import torch

        path = os.path.join(model_dir, "model.pt")
        if not os.path.exists(path):
            found = [name for name in os.listdir(model_dir) if os.path.splitext(name)[1] in (".pt", ".pth")]
            if len(found) != 1:
                raise ValueError(f"Exactly one .pth or .pt file is required for PyTorch models: {found}")
            path = os.path.join(model_dir, found[0])
        try:
            return torch.jit.load(path, map_location="cpu")
        except RuntimeError as error:
            raise ModelLoadError(
                f"Failed to load {path}. Please ensure model is saved using torchscript, or bring a model_fn that loads it."
            ) from error

    def default_input_fn(self, data: bytes | str, content_type: str) -> object:
        import torch

        array = decode(data, content_type)
        if media_type(content_type) in TEXT:
            return torch.from_numpy(np.asarray(array, np.float32))
        return torch.from_numpy(np.ascontiguousarray(array))

    def default_predict_fn(self, data: object, model: object) -> object:
        import torch

        with torch.inference_mode():
            return model(data)

    def default_output_fn(self, prediction: object, accept: str) -> object:
        import torch

        return super().default_output_fn(prediction.detach().cpu().numpy() if isinstance(prediction, torch.Tensor) else prediction, accept)
