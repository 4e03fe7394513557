"""InvokeEndpointAsync: not built. It answers so, before anything is read or written."""

from __future__ import annotations

from modelyard.kernel.errors import not_built
from modelyard.services.sagemaker_runtime import api


@api.operation
def invoke_endpoint_async(call, request):
    raise not_built("sagemaker-runtime", "InvokeEndpointAsync")
