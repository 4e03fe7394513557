"""From a container that names a model package to the containers that will run."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import validation
from modelyard.services.sagemaker.common import full_arn

TAKEN = ("ContainerHostname", "Image", "ModelDataUrl", "ModelDataSource", "AdditionalModelDataSources", "Environment")
ITS_OWN = ("Image", "ModelDataUrl", "ModelDataSource", "AdditionalModelDataSources", "MultiModelConfig")


def containers_of_package(call: Any, container: dict[str, Any]) -> list[dict[str, Any]]:
    """The containers of the package that `container` names, in order; its Environment goes over the package's. Refuses a version that is not
    approved. Another account's package needs `sagemaker:CreateModel` on it, which its group's policy gives."""
    name = container["ModelPackageName"]
    for member in ITS_OWN:
        if container.get(member):
            raise validation(f"{member} cannot be given together with ModelPackageName: the model package brings it.")
    if container.get("Mode", "SingleModel") != "SingleModel":
        raise validation("A container with a ModelPackageName cannot be in MultiModel mode.")
    arn = full_arn(call, "model-package", name)
    if arn.split(":")[4] != call.account:
        call.authorize("sagemaker:CreateModel", arn)
    package = call.store.by_arn(arn)
    if package is None or package.kind != "model-package":
        raise validation(f"ModelPackage {arn} does not exist.")
    if package.status != "Completed":
        raise validation(
            f"Cannot create a model from ModelPackage {arn}: its ModelPackageStatus is {package.status}, it must be Completed."
        )
    approval = package.spec.get("ModelApprovalStatus")
    if approval not in (None, "Approved"):
        raise validation(
            f"Cannot create a model from ModelPackage {arn}: its ModelApprovalStatus is {approval}. UpdateModelPackage with ModelApprovalStatus=Approved first."
        )
    inference = _specification(package, container.get("InferenceSpecificationName"))
    given = inference["Containers"]
    if container.get("ContainerHostname") and len(given) > 1:
        raise validation("ContainerHostname cannot be given for a model package with several containers.")
    return [_one(c, container, package.arn) for c in given]


def _specification(package: Any, name: str | None) -> dict[str, Any]:
    if name is None:
        if not package.spec.get("InferenceSpecification"):
            raise validation(f"ModelPackage {package.arn} has no InferenceSpecification: there is nothing to deploy.")
        return package.spec["InferenceSpecification"]
    for one in package.spec.get("AdditionalInferenceSpecifications", []):
        if one["Name"] == name:
            return one
    raise validation(f"Could not find the inference specification {name} in ModelPackage {package.arn}.")


def _one(given: dict[str, Any], over: dict[str, Any], arn: str) -> dict[str, Any]:
    made = {member: given[member] for member in TAKEN if given.get(member)}
    if over.get("ContainerHostname"):
        made["ContainerHostname"] = over["ContainerHostname"]
    environment = {**given.get("Environment", {}), **over.get("Environment", {})}
    return made | ({"Environment": environment} if environment else {}) | {"ModelPackageName": arn}
