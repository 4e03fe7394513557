"""What a process has of SNS: the outbox, the signer, and the say of topic policies in authorisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelyard.kernel.database import open_database
from modelyard.services.sns.courier import Courier
from modelyard.services.sns.outbox import Outbox
from modelyard.services.sns.signing import Signer


@dataclass
class Topics:
    """`platform.topics`."""

    outbox: Outbox
    signer: Signer
    courier: Courier


def install(platform: Any) -> Topics:
    from modelyard.services.sns.permissions import resource_policy

    settings = platform.settings
    outbox = Outbox(open_database(settings.store, settings.data / "topics.db"), platform.clock)
    platform.parts.setdefault("resource_policies", {})["sns"] = resource_policy
    return Topics(outbox, Signer(settings.secrets), Courier(outbox))
