"""Mini-batch training of many linear models side by side, each with its own learning rate and regularisation.

The models share every pass over the data: their weights are columns of one matrix, so that a batch is one product.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np

from .losses import Loss

RATES, DECAYS, SPARSITIES = (0.1, 0.005, 0.5, 0.02), (0.0001, 0.0, 0.01, 0.1), (0.0, 0.001)
"""What `auto` tries, the usual first: learning rates, weights of L2 and of L1. All together the 32 models of AWS's `auto`."""
AUTO = {
    "beta_1": 0.9, "beta_2": 0.999, "momentum": 0.9, "bias_lr_mult": 1.0, "bias_wd_mult": 0.0,
    "lr_scheduler_step": 100, "lr_scheduler_factor": 0.99, "lr_scheduler_minimum_lr": 1e-5,
}  # fmt: skip
RMS_DECAY, TINY = 0.9, 1e-8


def setting(given: dict, name: str) -> float:
    return AUTO[name] if given[name] == "auto" else given[name]


def candidates(given: dict) -> list[dict[str, float]]:
    """The models to train: every combination of what is left to `auto`, cut to num_models. A tuning job trains one."""
    values = [
        usual if given[name] == "auto" else (given[name],) for name, usual in (("l1", SPARSITIES), ("wd", DECAYS), ("learning_rate", RATES))
    ]
    found = [dict(zip(("l1", "wd", "learning_rate"), each, strict=True)) for each in itertools.product(*values)]
    return found if given["num_models"] == "auto" else found[: given["num_models"]]


@dataclass
class Models:
    """`weights` (features, models, outputs) and `bias` (models, outputs) of all models, with the optimiser's memory."""

    given: dict
    chosen: list[dict[str, float]]
    weights: np.ndarray
    bias: np.ndarray
    steps: int = 0
    memory: dict = field(default_factory=dict)

    @classmethod
    def start(cls, given: dict, chosen: list[dict[str, float]], features: int, outputs: int) -> Models:
        random, shape = np.random.RandomState(0), (features, 1, outputs)
        if given["init_method"] == "uniform":
            first = random.uniform(-given["init_scale"], given["init_scale"], shape)
        else:
            first = random.normal(0, given["init_sigma"], shape)
        return cls(given, chosen, np.repeat(first, len(chosen), 1), np.full((len(chosen), outputs), float(given["init_bias"])))

    def scores(self, rows: object) -> np.ndarray:
        """(rows, models, outputs)."""
        features = self.weights.shape[0]
        product = np.asarray(rows @ self.weights.reshape(features, -1))
        return product.reshape(rows.shape[0], *self.bias.shape) + self.bias

    def epoch(self, rows: object, labels: np.ndarray, importance: np.ndarray, loss: Loss, order: np.ndarray) -> np.ndarray:
        """One pass; answers the mean loss of each model as it went."""
        size, total = min(self.given["mini_batch_size"], len(labels)), np.zeros(len(self.chosen))
        for start in range(0, len(labels), size):
            part = order[start : start + size]
            batch, heavy = rows[part], importance[part]
            losses, slopes = loss(self.scores(batch), labels[part])
            total += (losses * heavy[:, None]).sum(0)
            slopes *= heavy[:, None, None] / len(part)
            flat = slopes.reshape(len(part), -1)
            self._step(np.asarray(batch.T @ flat).reshape(self.weights.shape), slopes.sum(0))
        return total / importance.sum()

    def _step(self, weights: np.ndarray, bias: np.ndarray) -> None:
        given = self.given
        self.steps += 1
        rate = np.array([model["learning_rate"] for model in self.chosen])
        if given["use_lr_scheduler"]:
            times = self.steps // setting(given, "lr_scheduler_step")
            rate = np.maximum(rate * setting(given, "lr_scheduler_factor") ** times, setting(given, "lr_scheduler_minimum_lr"))
        decay = np.array([model["wd"] for model in self.chosen])
        self.weights -= rate[:, None] * self._direction("weights", weights + decay[:, None] * self.weights)
        pull = rate * np.array([model["l1"] for model in self.chosen])
        if pull.any():
            self.weights = np.sign(self.weights) * np.maximum(np.abs(self.weights) - pull[:, None], 0)
        if given["use_bias"]:
            slope = bias + setting(given, "bias_wd_mult") * decay[:, None] * self.bias
            self.bias -= setting(given, "bias_lr_mult") * rate[:, None] * self._direction("bias", slope)

    def _direction(self, name: str, slope: np.ndarray) -> np.ndarray:
        """Where the optimiser goes; its memory is one or two arrays per parameter."""
        optimizer = "adam" if self.given["optimizer"] == "auto" else self.given["optimizer"]
        first, second = self.memory.get(name, (np.zeros_like(slope), np.zeros_like(slope)))
        if optimizer == "sgd":
            first = setting(self.given, "momentum") * first + slope
            self.memory[name] = (first, second)
            return first
        if optimizer == "rmsprop":
            second = RMS_DECAY * second + (1 - RMS_DECAY) * slope**2
            self.memory[name] = (first, second)
            return slope / (np.sqrt(second) + TINY)
        one, two = setting(self.given, "beta_1"), setting(self.given, "beta_2")
        first, second = one * first + (1 - one) * slope, two * second + (1 - two) * slope**2
        self.memory[name] = (first, second)
        return first / (1 - one**self.steps) / (np.sqrt(second / (1 - two**self.steps)) + TINY)
