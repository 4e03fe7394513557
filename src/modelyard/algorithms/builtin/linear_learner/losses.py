"""Loss functions of many models at once: scores `z` of shape (rows, models, outputs), labels one per row.

Each answers (loss of shape (rows, models), its gradient by z). Outputs are 1, or the number of classes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Loss = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def of(name: str, given: dict) -> Loss:
    """The loss function of that name with the job's hyperparameters."""
    if name == "hinge_loss":
        kind = multiclass_hinge if given["predictor_type"] == "multiclass_classifier" else binary_hinge
        return lambda z, y: kind(z, y, given["margin"])
    if name == "huber_loss":
        return lambda z, y: huber(z, y, given["huber_delta"])
    if name == "quantile_loss":
        return lambda z, y: quantile(z, y, given["quantile"])
    if name.startswith("eps_insensitive"):
        square = name == "eps_insensitive_squared_loss"
        return lambda z, y: insensitive(z, y, given["loss_insensitivity"], square)
    return {"logistic": logistic, "softmax_loss": softmax, "squared_loss": squared, "absolute_loss": absolute}[name]


def title(name: str) -> str:
    """The name in metric lines, before `_objective`."""
    names = {"logistic": "binary_classification_cross_entropy", "softmax_loss": "multiclass_cross_entropy", "squared_loss": "mse"}
    return names.get(name, name)


def probabilities(z: np.ndarray) -> np.ndarray:
    """Softmax over the last axis; of one output the logistic function."""
    if z.shape[-1] == 1:
        return 0.5 * (1 + np.tanh(0.5 * z))
    shifted = np.exp(z - z.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def logistic(z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels = y[:, None, None]
    loss = np.logaddexp(0, z) - labels * z
    return loss[..., 0], probabilities(z) - labels


def binary_hinge(z: np.ndarray, y: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
    sign = (2 * y - 1)[:, None, None]
    short = margin - sign * z
    return np.maximum(short, 0)[..., 0], np.where(short > 0, -sign, 0.0)


def softmax(z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    gradient, rows = probabilities(z), np.arange(len(y))
    loss = -np.log(np.maximum(gradient[rows, :, y.astype(int)], 1e-30))
    gradient[rows, :, y.astype(int)] -= 1
    return loss, gradient


def multiclass_hinge(z: np.ndarray, y: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Crammer and Singer's: by how much the best wrong class comes nearer than the margin."""
    rows, labels = np.arange(len(y)), y.astype(int)
    own, other = z[rows, :, labels], z.copy()
    other[rows, :, labels] = -np.inf
    best = other.argmax(-1)
    short = margin + np.take_along_axis(other, best[..., None], -1)[..., 0] - own
    hit, gradient = (short > 0).astype(float), np.zeros_like(z)
    np.put_along_axis(gradient, best[..., None], hit[..., None], -1)
    gradient[rows, :, labels] -= hit
    return np.maximum(short, 0), gradient


def squared(z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    off = z - y[:, None, None]
    return (off**2)[..., 0], 2 * off


def absolute(z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    off = z - y[:, None, None]
    return np.abs(off)[..., 0], np.sign(off)


def insensitive(z: np.ndarray, y: np.ndarray, width: float, square: bool) -> tuple[np.ndarray, np.ndarray]:
    off = z - y[:, None, None]
    over = np.maximum(np.abs(off) - width, 0)
    if square:
        return (over**2)[..., 0], 2 * over * np.sign(off)
    return over[..., 0], np.where(over > 0, np.sign(off), 0.0)


def quantile(z: np.ndarray, y: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    off = y[:, None, None] - z
    return np.maximum(share * off, (share - 1) * off)[..., 0], np.where(off > 0, -share, 1 - share)


def huber(z: np.ndarray, y: np.ndarray, delta: float) -> tuple[np.ndarray, np.ndarray]:
    off = z - y[:, None, None]
    near = np.abs(off) <= delta
    loss = np.where(near, 0.5 * off**2, delta * (np.abs(off) - 0.5 * delta))
    return loss[..., 0], np.where(near, off, delta * np.sign(off))
