"""AWS KMS: keys that never leave the platform, and what is done with them. `install(platform)` is the seam other services use."""

from modelyard.kernel.service import Service

api = Service("kms")

from modelyard.services.kms.part import install  # noqa: E402, F401
