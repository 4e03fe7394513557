"""The hyperparameters of the built-in algorithm, per image version, with AWS's checks.

Source: docs.aws.amazon.com/sagemaker/latest/dg/xgboost_hyperparameters.html and the behaviour of AWS's
sagemaker-xgboost-container at each version's tag.
"""

from __future__ import annotations

from ..errors import UserError
from .metrics import MAXIMIZE, MINIMIZE
from .parameters import Checked, Interval, Parameter, validate

ALIASES = {"learning_rate": "eta", "min_split_loss": "gamma", "reg_lambda": "lambda", "reg_alpha": "alpha"}
TREE_UPDATERS = ["grow_colmaker", "distcol", "grow_histmaker", "grow_local_histmaker", "grow_skmaker", "sync", "refresh", "prune"]
LINEAR_UPDATERS = ["shotgun", "coord_descent"]
GROWERS = {"grow_colmaker", "distcol", "grow_histmaker", "grow_local_histmaker", "grow_quantile_histmaker"}


def parse(given: dict[str, str], version: tuple[int, int]) -> dict:
    """The typed hyperparameters of a job. Raises UserError with the texts of AWS's container."""
    given = {name: value for name, value in given.items() if not name.startswith("sagemaker_")}
    values = validate(table(version), ALIASES, given)
    if "updater" in values:
        values["updater"] = ",".join(values["updater"])
    return values


def table(version: tuple[int, int]) -> dict[str, Parameter]:
    """Every hyperparameter the image of that version accepts."""
    parameters = [*_common(), *_tree(version), *_linear_and_dart(), *_learning(version), *_of_versions(version)]
    return {parameter.name: parameter for parameter in parameters}


def _common() -> list[Parameter]:
    flag = Interval(0, 1)
    return [
        Parameter("num_round", "integer", Interval(1), required=True),
        Parameter("csv_weights", "integer", flag),
        Parameter("early_stopping_rounds", "integer", Interval(1)),
        Parameter("booster", "category", ["gbtree", "gblinear", "dart"]),
        Parameter("verbosity", "integer", Interval(0, 3)),
        Parameter("nthread", "integer", Interval(1)),
        Parameter("seed", "integer", Interval(-(2**31), 2**31 - 1, True, True)),
        Parameter("num_parallel_tree", "integer", Interval(1)),
    ]


def _tree(version: tuple[int, int]) -> list[Parameter]:
    share = Interval(0, 1, open_low=True)
    methods = ["auto", "exact", "approx", "hist"] + (["gpu_hist"] if version >= (1, 2) else [])
    predictors = ["auto", "cpu_predictor", "gpu_predictor"] if version >= (1, 2) else ["cpu_predictor"]
    return [
        Parameter("eta", "continuous", Interval(0, 1)),
        Parameter("gamma", "continuous", Interval(0)),
        Parameter("max_depth", "integer", Interval(0)),
        Parameter("min_child_weight", "continuous", Interval(0)),
        Parameter("max_delta_step", "continuous", Interval(0)),
        Parameter("subsample", "continuous", share),
        Parameter("colsample_bytree", "continuous", share),
        Parameter("colsample_bylevel", "continuous", share),
        Parameter("colsample_bynode", "continuous", share),
        Parameter("lambda", "continuous", Interval(0)),
        Parameter("alpha", "continuous", Interval(0)),
        Parameter("tree_method", "category", methods),
        Parameter("sketch_eps", "continuous", Interval(0, 1, True, True)),
        Parameter("scale_pos_weight", "continuous", Interval(0, open_low=True)),
        Parameter("updater", "list", TREE_UPDATERS + LINEAR_UPDATERS, needs=("booster", "process_type"), check=_check_updater),
        Parameter("dsplit", "category", ["row", "col"]),
        Parameter("refresh_leaf", "integer", Interval(0, 1)),
        Parameter("process_type", "category", ["default", "update"]),
        Parameter("grow_policy", "category", ["depthwise", "lossguide"]),
        Parameter("max_leaves", "integer", Interval(0)),
        Parameter("max_bin", "integer", Interval(0)),
        Parameter("predictor", "category", predictors),
    ]


def _linear_and_dart() -> list[Parameter]:
    unit = Interval(0, 1)
    return [
        Parameter("sample_type", "category", ["uniform", "weighted"]),
        Parameter("normalize_type", "category", ["tree", "forest"]),
        Parameter("rate_drop", "continuous", unit),
        Parameter("one_drop", "integer", unit),
        Parameter("skip_drop", "continuous", unit),
        Parameter("lambda_bias", "continuous", unit),
    ]


def _learning(version: tuple[int, int]) -> list[Parameter]:
    tuning = [f"validation:{name}" for name in MAXIMIZE + MINIMIZE]
    return [
        Parameter("tweedie_variance_power", "continuous", Interval(1, 2, True, True)),
        Parameter("objective", "category", objectives(version), needs=("num_class",), check=_check_objective),
        Parameter("num_class", "integer", Interval(2)),
        Parameter("base_score", "continuous", Interval(0)),
        Parameter("_tuning_objective_metric", "category", tuning),
        Parameter("eval_metric", "list", Checked(MAXIMIZE + MINIMIZE, _is_metric), needs=("objective",), check=_check_metric),
    ]


def objectives(version: tuple[int, int]) -> list[str]:
    names = [
        "binary:logistic", "binary:logitraw", "binary:hinge", "count:poisson", "multi:softmax", "multi:softprob",
        "rank:pairwise", "rank:ndcg", "rank:map", "reg:linear", "reg:squarederror", "reg:logistic", "reg:gamma",
    ]  # fmt: skip
    if version >= (1, 2):
        names = ["aft_loss_distribution", *names, "reg:pseudohubererror"]
    if version >= (1, 0):
        names.append("reg:squaredlogerror")
    if version >= (1, 7):
        names.append("reg:absoluteerror")
    names.append("reg:tweedie")
    return names + (["survival:aft"] if version >= (1, 2) else []) + ["survival:cox"]


def _of_versions(version: tuple[int, int]) -> list[Parameter]:
    yes_no = ["true", "false"]
    found = []
    if version <= (1, 0):
        found.append(Parameter("silent", "integer", Interval(0, 1)))
    if version >= (1, 0):
        found += [
            Parameter("monotone_constraints", "tuple", [-1, 0, 1], needs=("tree_method",), check=_check_monotone),
            Parameter("interaction_constraints", "nested", Interval(1), needs=("tree_method",), check=_check_interaction),
            Parameter("save_model_on_termination", "category", yes_no),
        ]
    if version >= (1, 2):
        found += [
            Parameter("_kfold", "integer", Interval(2)),
            Parameter("_num_cv_round", "integer", Interval(1)),
            Parameter("aft_loss_distribution", "category", ["normal", "logistic", "extreme"]),
            Parameter("aft_loss_distribution_scale", "continuous", Interval(0)),
            Parameter("deterministic_histogram", "category", yes_no),
        ]
    if (1, 2) <= version <= (1, 5):
        found.append(Parameter("single_precision_histogram", "category", yes_no))
    if version >= (1, 3):
        found += [
            Parameter("sampling_method", "category", ["uniform", "gradient_based"]),
            Parameter("prob_buffer_row", "integer", Interval(1.0, open_low=True)),
        ]
    if version >= (1, 5):
        found.append(Parameter("use_dask_gpu_training", "category", yes_no))
    return found


def _check_updater(value: list[str], given: dict) -> None:
    if given.get("booster") == "gblinear":
        if len(value) != 1 or value[0] not in LINEAR_UPDATERS:
            raise UserError(f"Linear updater should be one of these options: {', '.join(map(repr, LINEAR_UPDATERS))}.")
    elif given.get("process_type") == "update":
        if any(v not in ("refresh", "prune") for v in value):
            raise UserError("process_type 'update' can only be used with updater 'refresh' and 'prune'")
    elif any(v not in TREE_UPDATERS for v in value):
        raise UserError(
            "Tree updater should be selected from these options: 'grow_colmaker', 'distcol', 'grow_histmaker', "
            "'grow_skmaker', 'grow_quantile_histmaker', 'sync', 'refresh', 'prune', 'shortgun', 'coord_descent'."
        )
    elif sum(v in GROWERS for v in value) > 1:
        raise UserError(
            "Only one tree grow plugin can be selected. Choose one from the"
            "following: 'grow_colmaker', 'distcol', 'grow_histmaker', 'grow_skmaker'"
        )


def _check_objective(value: str, given: dict) -> None:
    if value in ("multi:softmax", "multi:softprob") and given.get("num_class") is None:
        raise UserError("Require input for parameter 'num_class' for multi-classification")


def _is_metric(name: str) -> bool:
    if "<function" in name:
        raise UserError(f"User defined evaluation metric {name} is not supported yet.")
    if "@" not in name:
        return name in MAXIMIZE or name in MINIMIZE
    base, _, threshold = (part.strip() for part in name.partition("@"))
    if base not in ("error", "ndcg", "map"):
        raise UserError(
            f"Metric '{name}' is not supported. Parameter 'eval_metric' with customized threshold should "
            "be one of these options: 'error', 'ndcg', 'map'."
        )
    try:
        float(threshold)
    except ValueError:
        raise UserError(f"Threshold value 't' in '{base}@t' expects float input.") from None
    return True


def _check_metric(value: list[str], given: dict) -> None:
    objective = given.get("objective", "reg:squarederror")
    if "auc" in value and not objective.startswith(("binary:", "rank:")):
        raise UserError("Metric 'auc' can only be applied for classification and ranking problems.")
    if "aft-nloglik" in value and objective != "survival:aft":
        raise UserError("Metric 'aft-nloglik' can only be applied for 'survival:aft' objective.")


def _check_monotone(_value: tuple, given: dict) -> None:
    if given.get("tree_method") not in ("exact", "hist"):
        raise UserError("monotone_constraints can be used only when the tree_method parameter is set to either 'exact' or 'hist'.")


def _check_interaction(_value: list, given: dict) -> None:
    if given.get("tree_method") not in ("exact", "hist", "approx"):
        raise UserError(
            "interaction_constraints can be used only when the tree_method parameter is set to either 'exact', 'hist' or 'approx'."
        )
