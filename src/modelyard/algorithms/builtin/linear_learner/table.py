"""The hyperparameters of the linear learner: docs.aws.amazon.com/sagemaker/latest/dg/ll_hyperparameters.html."""

from __future__ import annotations

from ..fields import Field

BINARY, MULTICLASS, REGRESSOR = "binary_classifier", "multiclass_classifier", "regressor"
AUTO = ("auto",)
LOSSES = {
    BINARY: ("logistic", "hinge_loss"),
    MULTICLASS: ("softmax_loss", "hinge_loss"),
    REGRESSOR: (
        "squared_loss", "absolute_loss", "eps_insensitive_squared_loss", "eps_insensitive_absolute_loss", "quantile_loss", "huber_loss",
    ),
}  # fmt: skip
"""By predictor type; the first is what `auto` means."""
CRITERIA = (
    "accuracy", "f_beta", "f1", "precision_at_target_recall", "recall_at_target_precision", "cross_entropy_loss", "loss_function",
)  # fmt: skip

TABLE = (
    Field("predictor_type", "choice", required=True, words=(BINARY, MULTICLASS, REGRESSOR)),
    Field("feature_dim", "integer", "auto", low=1, words=AUTO),
    Field("num_classes", "integer", low=3, high=1_000_000),
    Field("accuracy_top_k", "integer", 3, low=1),
    Field("balance_multiclass_weights", "boolean", False),
    Field("beta_1", "number", "auto", low=0, below=1, words=AUTO),
    Field("beta_2", "number", "auto", low=0, below=1, words=AUTO),
    Field("bias_lr_mult", "number", "auto", above=0, words=AUTO),
    Field("bias_wd_mult", "number", "auto", low=0, words=AUTO),
    Field("binary_classifier_model_selection_criteria", "choice", "accuracy", words=CRITERIA),
    Field("early_stopping_patience", "integer", 3, low=1),
    Field("early_stopping_tolerance", "number", 0.001, above=0),
    Field("epochs", "integer", 15, low=1),
    Field("f_beta", "number", 1.0, above=0),
    Field("huber_delta", "number", 1.0, low=0),
    Field("init_bias", "number", 0.0),
    Field("init_method", "choice", "uniform", words=("uniform", "normal")),
    Field("init_scale", "number", 0.07, above=0),
    Field("init_sigma", "number", 0.01, above=0),
    Field("l1", "number", "auto", low=0, words=AUTO),
    Field("learning_rate", "number", "auto", above=0, words=AUTO),
    Field("loss", "choice", "auto", words=("auto", *LOSSES[BINARY], "softmax_loss", *LOSSES[REGRESSOR])),
    Field("loss_insensitivity", "number", 0.01, above=0),
    Field("lr_scheduler_factor", "number", "auto", above=0, below=1, words=AUTO),
    Field("lr_scheduler_minimum_lr", "number", "auto", above=0, words=AUTO),
    Field("lr_scheduler_step", "integer", "auto", low=1, words=AUTO),
    Field("margin", "number", 1.0, low=0),
    Field("mini_batch_size", "integer", 1000, low=1),
    Field("momentum", "number", "auto", low=0, below=1, words=AUTO),
    Field("normalize_data", "boolean", True, words=AUTO),
    Field("normalize_label", "boolean", "auto", words=AUTO),
    Field("num_calibration_samples", "integer", "auto", low=1, words=AUTO),
    Field("num_models", "integer", "auto", low=1, words=AUTO),
    Field("num_point_for_scaler", "integer", 10_000, low=1),
    Field("optimizer", "choice", "auto", words=("auto", "sgd", "adam", "rmsprop")),
    Field("positive_example_weight_mult", "number", 1.0, above=0, words=("balanced", "auto")),
    Field("quantile", "number", 0.5, above=0, below=1),
    Field("target_precision", "number", 0.8, above=0, below=1),
    Field("target_recall", "number", 0.8, above=0, below=1),
    Field("unbias_data", "boolean", "auto", words=AUTO),
    Field("unbias_label", "boolean", "auto", words=AUTO),
    Field("use_bias", "boolean", True),
    Field("use_lr_scheduler", "boolean", True),
    Field("wd", "number", "auto", low=0, words=AUTO),
)
