"""AWS Secrets Manager. `install(platform)` opens the encrypted values and gives secrets' policies their say."""

from modelyard.kernel.service import Service

api = Service("secretsmanager")

from modelyard.services.secretsmanager.part import install  # noqa: E402, F401
