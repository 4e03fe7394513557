"""SageMaker runtime: calls of endpoints. What sends them on is `platform.invoker` (serving/)."""

from modelyard.kernel.service import Service

api = Service("sagemaker-runtime")

from modelyard.services.sagemaker_runtime import invoke_async, invoke_endpoint, invoke_stream  # noqa: E402, F401
