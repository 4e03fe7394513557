"""CloudTrail: who did what. The gateways write the trail (trail.py), LookupEvents reads it."""

from modelyard.kernel.service import Service

api = Service("cloudtrail")
