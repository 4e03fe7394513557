"""Which permission a request to MLflow needs: AWS's actions of `sagemaker-mlflow`, named after MLflow's REST APIs.

Source: Service Authorization Reference, "Amazon SageMaker with MLflow".
"""

from __future__ import annotations

import re

UI = "AccessUI"
_FRONT = re.compile(r"/(?:ajax-)?api/\d+\.\d+(?:-preview)?/mlflow/")
_WORDS = {
    "experiments": {
        "create": "CreateExperiment", "search": "SearchExperiments", "get": "GetExperiment", "get-by-name": "GetExperimentByName",
        "delete": "DeleteExperiment", "restore": "RestoreExperiment", "update": "UpdateExperiment", "set-experiment-tag": "SetExperimentTag",
    },
    "runs": {
        "create": "CreateRun", "delete": "DeleteRun", "restore": "RestoreRun", "get": "GetRun", "log-metric": "LogMetric", "log-batch": "LogBatch",
        "log-model": "LogModel", "log-inputs": "LogInputs", "outputs": "LogOutputs", "set-tag": "SetTag", "delete-tag": "DeleteTag",
        "log-parameter": "LogParam", "search": "SearchRuns", "update": "UpdateRun",
    },
    "metrics": {"get-history": "GetMetricHistory", "get-history-bulk": "GetMetricHistory", "get-history-bulk-interval": "GetMetricHistory"},
    "artifacts": {"list": "ListArtifacts"},
    "registered-models": {
        "create": "CreateRegisteredModel", "get": "GetRegisteredModel", "rename": "RenameRegisteredModel", "update": "UpdateRegisteredModel",
        "delete": "DeleteRegisteredModel", "get-latest-versions": "GetLatestModelVersions", "search": "SearchRegisteredModels",
        "set-tag": "SetRegisteredModelTag", "delete-tag": "DeleteRegisteredModelTag",
    },
    "model-versions": {
        "create": "CreateModelVersion", "get": "GetModelVersion", "update": "UpdateModelVersion", "delete": "DeleteModelVersion",
        "search": "SearchModelVersions", "get-download-uri": "GetDownloadURIForModelVersionArtifacts", "transition-stage": "TransitionModelVersionStage",
        "set-tag": "SetModelVersionTag", "delete-tag": "DeleteModelVersionTag",
    },
}  # fmt: skip
_ALIAS = {
    "GET": "GetModelVersionByAlias", "POST": "SetRegisteredModelAlias", "DELETE": "DeleteRegisteredModelAlias",
}  # fmt: skip


def action_of(method: str, path: str) -> str:
    """`LogMetric` for `POST /api/2.0/mlflow/runs/log-metric`; what is no API of the list is part of the user interface."""
    found = _FRONT.match(path)
    if found is None:
        return UI
    noun, _, verb = path[found.end() :].strip("/").partition("/")
    if noun == "registered-models" and verb == "alias":
        return _ALIAS.get(method, UI)
    return _WORDS.get(noun, {}).get(verb, UI)
