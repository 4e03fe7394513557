"""CloudWatch metrics."""

from modelyard.kernel.service import Service

api = Service("cloudwatch")
