"""Faults that a rehearsal injects at the splitter: what a bad model would do, without one (services/sagemaker/endpoint/fault.py)."""

from __future__ import annotations

import asyncio
import random

from modelyard.serving.routes import Fault

TEXT = b"A rehearsal fault of this endpoint answers in place of the model."


async def strike(fault: Fault, chance: float | None = None) -> tuple[int, bytes] | None:
    """Delays the call; (status, body) where it shall fail instead of being sent, else None. `chance` is for tests."""
    if fault.latency_s > 0:
        await asyncio.sleep(fault.latency_s)
    if (random.random() if chance is None else chance) < fault.error_rate:
        return fault.status, TEXT
    return None
