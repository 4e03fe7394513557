"""Amazon SQS: queues and their messages. `install(platform)` opens the messages and offers them to the operations."""

from modelyard.kernel.service import Service

api = Service("sqs")

from modelyard.services.sqs.part import install  # noqa: E402, F401
