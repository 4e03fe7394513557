"""Which host names are AWS's own: requests to them land here and never leave the machine."""

from __future__ import annotations

AWS_SUFFIXES = ("amazonaws.com", "amazonaws.com.cn", "api.aws")


def is_aws_host(host: str) -> bool:
    """`sts.us-east-1.amazonaws.com`, with or without a final dot; not `amazonaws.com.example`."""
    name = host.lower().rstrip(".")
    return any(name == suffix or name.endswith("." + suffix) for suffix in AWS_SUFFIXES)
