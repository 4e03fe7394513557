"""BatchPutMetrics: up to ten points of one trial component."""

from __future__ import annotations

import math

from modelyard.kernel.errors import ApiError
from modelyard.services.sagemaker.common import arn_of
from modelyard.services.sagemaker.experiments.common import COMPONENT
from modelyard.services.sagemaker_metrics import api


@api.operation
def batch_put_metrics(call, request):
    """Points that cannot be kept are told one by one; the others are kept."""
    arn = arn_of(call, COMPONENT.kind, request["TrialComponentName"])
    component = call.store.by_arn(arn)
    if component is None:
        raise ApiError("ResourceNotFound", f"Trial Component '{arn}' does not exist.", 404)
    points, errors = [], []
    for index, datum in enumerate(request["MetricData"]):
        if math.isfinite(datum["Value"]):
            points.append((datum["MetricName"], datum.get("Step"), datum["Timestamp"], datum["Value"]))
        else:
            errors.append({"Code": "VALIDATION_ERROR", "MetricIndex": index})
    if points:
        call.platform.run_metrics.put(component.uid, points)
    return {"Errors": errors} if errors else {}
