"""STS: who am I, and temporary credentials."""

from modelyard.kernel.service import Service

api = Service("sts")

from modelyard.services.sts import (  # noqa: E402, F401
    assume_role,
    authorization_message,
    caller,
    federation,
    saml,
    session_token,
    web_identity,
)
