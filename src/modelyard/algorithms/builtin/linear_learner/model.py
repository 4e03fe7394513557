"""A trained linear model: its artifact and its answers."""

from __future__ import annotations

import json

import numpy as np

from .. import artifact
from . import losses
from .table import BINARY, MULTICLASS, REGRESSOR

SYMBOL, PARAMETERS, MORE = "mx-mod-symbol.json", "mx-mod-0000.params", "additional-params.json"


class Model:
    """`weights` (outputs, features) and `bias` (outputs,) in the scale of the raw data; `limit` is the threshold of a binary classifier."""

    def __init__(self, kind: str, loss: str, weights: np.ndarray, bias: np.ndarray, limit: float = 0.5):
        self.kind, self.loss, self.weights, self.bias, self.limit = kind, loss, weights, bias, limit
        self.width = weights.shape[1]

    def scores(self, rows: object) -> np.ndarray:
        """(rows, outputs): probabilities for logistic and softmax loss, else the plain sum."""
        found = np.asarray(rows @ self.weights.T, dtype=np.float64) + self.bias
        return losses.probabilities(found) if self.loss in ("logistic", "softmax_loss") else found

    def predict(self, rows: object, verbose: bool) -> dict[str, np.ndarray]:
        scores = self.scores(rows)
        said = scores.astype(np.float32).astype(np.float64)
        if self.kind == REGRESSOR:
            return {"score": said[:, 0]}
        if self.kind == BINARY:
            return {"score": said[:, 0], "predicted_label": (scores[:, 0] > self.limit).astype(int)}
        return {"score": said, "predicted_label": scores.argmax(1)}

    def save(self, path: str) -> None:
        """A zip as `mx.mod.Module.load("mx-mod", 0)` wants it once unpacked, with `fc0_weight` and `fc0_bias`."""
        outputs = len(self.bias)
        more = {"predictor_type": self.kind, "loss": self.loss, "score_threshold": self.limit}
        arrays = {"arg:fc0_weight": self.weights.astype(np.float64), "arg:fc0_bias": self.bias.astype(np.float64)}
        members = {SYMBOL: json.dumps(_symbol(outputs)).encode(), PARAMETERS: arrays, MORE: more}
        artifact.save_zip(path, members | {"manifest.json": {"algorithm": "linear-learner", "files": sorted(members)}})


def load(path: str) -> Model:
    members = artifact.read_zip(path)
    more, arrays = members[MORE], members[PARAMETERS]
    found = Model(more["predictor_type"], more["loss"], arrays["arg:fc0_weight"], arrays["arg:fc0_bias"], more["score_threshold"])
    assert found.kind in (BINARY, MULTICLASS, REGRESSOR)
    return found


def _symbol(outputs: int) -> dict:
    names = ("data", "fc0_weight", "fc0_bias")
    layer = {"op": "FullyConnected", "name": "fc0", "attrs": {"num_hidden": str(outputs)}, "inputs": [[i, 0, 0] for i in range(3)]}
    return {
        "nodes": [*({"op": "null", "name": name, "inputs": []} for name in names), layer],
        "arg_nodes": [0, 1, 2],
        "node_row_ptr": [0, 1, 2, 3, 4],
        "heads": [[3, 0, 0]],
        "attrs": {"mxnet_version": ["int", 10100]},
    }
