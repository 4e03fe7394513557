"""Request IDs: UUIDs, as AWS sends them."""

from modelyard.kernel.ids import new_uuid as new_request_id

__all__ = ["new_request_id"]
