"""Which names of services a trust policy may have (`sagemaker.amazonaws.com`, `delivery.logs.amazonaws.com`).

AWS publishes no list. A name is taken where one of its parts is that of a service: a prefix of actions, a name that one of AWS's own managed
policies has, or one of those that no policy tells.
"""

from __future__ import annotations

import re
from functools import cache

from modelyard.services.iam import managed
from modelyard.services.iam.actions import prefixes

_FURTHER = frozenset(
    [
        "airflow-env",
        "autoscaling-plans",
        "bcm-data-exports",
        "billingreports",
        "codestar",
        "datapipeline",
        "ec2fleet",
        "ecs-canary",
        "edgelambda",
        "eks-fargate",
        "eks-fargate-pods",
        "eks-nodegroup",
        "healthlake",
        "importexport",
        "inspector",
        "license-management",
        "lookoutvision",
        "mturk-requester",
        "opsworks",
        "opsworks-cm",
        "osis-pipelines",
        "sms",
        "spotfleet",
        "ssm-guiconnect",
        "ssm-incidents",
        "trustedadvisor",
        "vmie",
        "vpc-flow-logs",
        "workmail",
    ]
)
_NAME = re.compile(r"([a-z0-9.-]+)\.amazonaws\.com")


def is_known(name: str) -> bool:
    """Names that do not end as those of AWS's services are nobody's to check."""
    found = _NAME.match(name)
    if found is None:
        return True
    parts = found[1].split(".")
    return not _prefixes().isdisjoint(parts) or not _told().isdisjoint(parts)


@cache
def _prefixes() -> frozenset[str]:
    return frozenset(prefixes())


@cache
def _told() -> frozenset[str]:
    texts = (policy.document for policy in managed.all_policies())
    return _FURTHER | {part for text in texts for name in set(_NAME.findall(text)) for part in name.split(".")}
