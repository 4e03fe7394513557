"""Amazon SNS: topics, subscriptions, filters, and deliveries that survive a crash. `install(platform)` opens the outbox."""

from modelyard.kernel.service import Service

api = Service("sns")

from modelyard.services.sns.part import install  # noqa: E402, F401
