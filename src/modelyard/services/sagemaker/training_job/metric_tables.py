"""The metric definitions that AWS fills in for its built-in algorithms (DescribeTrainingJob shows them, metrics come of them).

Sources: the "tune a … model" page of each algorithm in AWS's developer guide for the names, descriptions of real jobs for the
expressions. A name with `:final` is what AWS calls the value of the finished model where the plain one is told every epoch.
"""

from __future__ import annotations

_HOST = r"#quality_metric: host=\S+, "
_COMMON = {
    "train:progress": r"#progress_metric: host=\S+, completed (\S+) %",
    "train:throughput": r"#throughput_metric: host=\S+, train throughput=(\S+) records/second",
}
_LINEAR = {
    "binary_classification_accuracy": "binary_classification_accuracy <score>",
    "binary_f_beta": r"binary_f_\S+ <score>",
    "precision": "precision <score>",
    "recall": "recall <score>",
    "roc_auc_score": "roc_auc_score <score>",
    "multiclass_accuracy": "multiclass_accuracy <score>",
    "multiclass_top_k_accuracy": r"multiclass_top_k_accuracy_\S+ <score>",
    "dcg": "dcg <score>",
    "macro_recall": "macro_recall <score>",
    "macro_precision": "macro_precision <score>",
    "macro_f_beta": r"macro_f_\S+ <score>",
    "mse": "mse <loss>",
    "absolute_loss": "absolute_loss <loss>",
}
_FACTORS = {
    "rmse": "rmse <loss>",
    "mse": "mse <loss>",
    "absolute_loss": "absolute_loss <loss>",
    "binary_classification_accuracy": "binary_classification_accuracy <score>",
    "binary_classification_cross_entropy": "binary_classification_cross_entropy <loss>",
    "binary_f_beta": r"binary_f_\S+ <score>",
}


def _of(where: str, metrics: dict[str, str], epoch: str = "") -> dict[str, str]:
    return {f"{where}:{name}": f"{_HOST}{epoch}{where} {text}=(\\S+)" for name, text in metrics.items()}


def _linear_learner() -> dict[str, str]:
    loss = {"objective_loss": r"\S+_objective <loss>"}
    final = {"objective_loss:final": r"\S+_objective <loss>"}
    each = {**_of("train", loss, r"epoch=\S+, "), **_of("validation", loss, r"epoch=\S+, "), **_of("test", loss)}
    after = {**_of("train", final), **_of("validation", final)}
    return {**each, **after, **_of("train", _LINEAR), **_of("validation", _LINEAR), **_of("test", _LINEAR)}


def _factorization_machines() -> dict[str, str]:
    whole = {f"{name}:epoch": text for name, text in _FACTORS.items()}
    return {**_of("test", _FACTORS), **_of("train", _FACTORS, r"epoch=\S+, batch=\S+ "), **_of("train", whole, r"epoch=\S+, ")}


_DISTANCES = {"msd": "msd <loss>", "ssd": "ssd <loss>"}
BY_REPOSITORY: dict[str, dict[str, str]] = {
    "linear-learner": {**_COMMON, **_linear_learner()},
    "kmeans": {**_COMMON, **_of("train", _DISTANCES), **_of("test", _DISTANCES)},
    "pca": dict(_COMMON),
    "knn": {**_COMMON, **_of("test", {"accuracy": "accuracy <score>", "mse": "mse <loss>"})},
    "factorization-machines": {**_COMMON, **_factorization_machines()},
    "randomcutforest": {**_COMMON, **_of("test", {name: f"{name} <score>" for name in ("accuracy", "precision", "recall", "f1")})},
    "lightgbm": {
        name: rf"\[\d+\]\s+validation's {name}: ([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)"
        for name in (
            "rmse", "l1", "l2", "huber", "fair", "binary_logloss", "binary_error", "auc", "average_precision", "cross_entropy",
            "multi_logloss", "multi_error", "auc_mu",
        )
    },
}  # fmt: skip
BY_REPOSITORY["sagemaker-lightgbm"] = BY_REPOSITORY["lightgbm"]
"""Image repository → metric name → regular expression with one group."""
