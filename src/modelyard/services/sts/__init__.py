"""STS: who am I, and temporary credentials."""

from modelyard.kernel.service import Service

api = Service("sts")

from modelyard.services.sts import assume_role, caller, session_token  # noqa: E402, F401
