"""SageMaker's control plane: a file or folder per resource."""

from modelyard.kernel.service import Service

api = Service("sagemaker")
