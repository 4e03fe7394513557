"""CloudWatch Logs: groups, streams, events, filtering."""

from modelyard.kernel.service import Service

api = Service("logs")
