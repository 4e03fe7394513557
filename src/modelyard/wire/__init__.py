"""HTTP to plain dicts and back, for every AWS protocol, driven by the service models."""
