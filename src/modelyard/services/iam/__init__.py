"""IAM: identities, their policies, and the evaluation of every call (`identity.py`)."""

from modelyard.kernel.service import Service

api = Service("iam")

from modelyard.services.iam import role  # noqa: E402, F401
