"""SageMaker metrics: what runs log, and what charts of runs read."""

from modelyard.kernel.service import Service

api = Service("sagemaker-metrics")
