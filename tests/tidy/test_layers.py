"""Imports point down only: app → all; services → kernel, and the types other layers give them; kernel → nothing."""

from pathlib import Path

import pytest

from modelyard import services
from modelyard.services import SERVICES
from tests.tidy.source import imports, modules

MAY_IMPORT = {
    "modelyard.kernel": ["modelyard.kernel", "modelyard.config"],
    "modelyard.wire": ["modelyard.wire", "modelyard.kernel", "modelyard.config"],
    "modelyard.serving": ["modelyard.serving", "modelyard.kernel", "modelyard.config"],
    "modelyard.runtime": ["modelyard.runtime", "modelyard.kernel", "modelyard.config"],
    "modelyard.algorithms": ["modelyard.algorithms"],
    "modelyard.optimiser": ["modelyard.optimiser"],
    "modelyard.services": [
        "modelyard.services", "modelyard.kernel", "modelyard.config",
        "modelyard.runtime.base", "modelyard.runtime.ml_layout", "modelyard.runtime.archives", "modelyard.serving.routes",
        "modelyard.optimiser", "modelyard.serving.outcome", "modelyard.serving.shelf", "modelyard.serving.transform",
    ],
}  # fmt: skip
"""Layer → what it may import. Only `app`, the commands and what starts processes stand above all of them."""

SERVICES_FOLDER = Path(services.__file__).parent


def within(name: str, allowed: str) -> bool:
    return name == allowed or name.startswith(allowed + ".")


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_a_layer_imports_only_what_is_below_it(layer):
    wrong = [
        f"{name}:{line} imports {imported}"
        for name in modules()
        if within(name, layer)
        for imported, line in imports(name)
        if imported != "modelyard" and not any(within(imported, allowed) for allowed in MAY_IMPORT[layer])
    ]
    assert wrong == []


def test_nothing_imports_the_composition_root_but_the_commands():
    may = ("modelyard.__main__", "modelyard.cli", "modelyard.app")
    wrong = [
        f"{name}:{line}"
        for name in modules()
        if not any(within(name, allowed) for allowed in may)
        for imported, line in imports(name)
        if imported == "modelyard.app"
    ]
    assert wrong == []


def test_a_service_reaches_another_through_the_platform():
    """SageMaker may use what IAM, S3 and logs put on the platform, not their files."""
    wrong = []
    for name in modules():
        parts = name.split(".")
        if parts[:2] != ["modelyard", "services"] or len(parts) < 3:
            continue
        for imported, line in imports(name):
            other = imported.split(".")
            if (
                other[:2] == ["modelyard", "services"]
                and len(other) > 2
                and frozenset((parts[2], other[2])) not in FAMILIES
                and parts[2] != other[2]
                and imported not in INTERFACES
            ):
                wrong.append(f"{name}:{line} imports {imported}")
    assert wrong == []


INTERFACES = {
    "modelyard.services.s3.objects": "which actions a role needs on an object, and its ARN",
    "modelyard.services.iam.present": "whether a principal is there",
    "modelyard.services.iam.resource_documents": "what a service does with its own resource policies",
    "modelyard.services.iam.vault": "private files, written once and whole",
    "modelyard.services.applicationautoscaling.schedule": "rate() and cron(), pure",
    "modelyard.services.iam.conditions": "which condition operators there are",
    "modelyard.services.modelyard": "our own API, to which every service adds",
    "modelyard.services.logs.follow": "how a line of a run's log is read",
}
"""Files of a service made for other services."""
FAMILIES = {frozenset(("iam", "sts")), frozenset(("sagemaker", "sagemaker_runtime")), frozenset(("sagemaker", "sagemaker_metrics"))}
"""Services that are two doors of one thing."""


def test_every_service_is_listed_once():
    packages = sorted(path.parent.name for path in SERVICES_FOLDER.glob("*/__init__.py"))
    assert sorted(SERVICES) == packages
