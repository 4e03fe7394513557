"""AWS Systems Manager: Parameter Store. `install(platform)` opens the older versions of parameters."""

from modelyard.kernel.service import Service

api = Service("ssm")

from modelyard.services.ssm.part import install  # noqa: E402, F401
