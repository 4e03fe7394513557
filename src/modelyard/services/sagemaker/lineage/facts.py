"""Which lineage entities and associations a job, model, package, group or endpoint gives (pure).

data set, image -ContributedTo-> job's component -Produced-> model or data set
model data, image, approval -ContributedTo-> model package -AssociatedWith-> model package group
model -ContributedTo-> deployment -AssociatedWith-> endpoint
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sagemaker.experiments import jobs
from modelyard.services.sagemaker.lineage.artifact import artifact_id
from modelyard.services.sagemaker.lineage.entity import ACTION, CONTEXT
from modelyard.services.sagemaker.model import containers_of, model_data

COMPONENT = "experiment-trial-component"


@dataclass(frozen=True)
class Entity:
    """`kind` is that of the ARN. Two are one where kind and name are."""

    kind: str
    name: str
    type: str = field(compare=False)
    uri: str = field(compare=False, default="")
    more: Any = field(compare=False, default=None, hash=False)

    @property
    def spec(self) -> dict[str, Any]:
        noun = self.kind.capitalize()
        named = {} if self.kind == "artifact" else {f"{noun}Name": self.name, "Properties": {}}
        by_arn = {"SourceType": "ARN"} if self.uri.startswith("arn:") and self.kind != "artifact" else {}
        return {"Source": {"SourceUri": self.uri, **by_arn}, f"{noun}Type": self.type, **named, **(self.more or {})}


@dataclass(frozen=True)
class Link:
    """`source` None: the entity stands alone so far."""

    source: Entity | None
    destination: Entity
    type: str = ""


def artifact(uri: str, kind: str) -> Entity:
    return Entity("artifact", artifact_id({"SourceUri": uri}), kind, uri)


def of_job(job: Record) -> list[Link]:
    """From the artifacts that its trial component shows."""
    shown = jobs.component_of(job)
    component = Entity(COMPONENT, f"{job.name}-aws-{job.kind}", jobs.KINDS[job.kind].source_type)
    links = [
        Link(artifact(value["Value"], "Image" if name == "SageMaker.ImageUri" else "DataSet"), component, "ContributedTo")
        for name, value in shown["InputArtifacts"].items()
    ]
    if job.kind == "transform-job":
        links += [Link(one, component, "ContributedTo") for one in _of_containers(job.spec.get("model", {}).get("containers", []))]
    if job.status in ("Completed", "Stopped"):
        links += [
            Link(component, artifact(value["Value"], OUTPUTS.get(name, "DataSet")), "Produced")
            for name, value in shown["OutputArtifacts"].items()
        ]
    return links


OUTPUTS = {"SageMaker.ModelArtifact": "Model", "SageMaker.DebugHookOutput": "DebugOutput"}


def of_model(model: Record) -> list[Link]:
    me = artifact(model.arn, "Model")
    found = [Link(None, me)]
    for container in containers_of(model.spec):
        data = model_data(container)
        found += [Link(one, me, "ContributedTo") for one in _of_containers([{"image": container.get("Image"), "data": data}])]
        if container.get("ModelPackageName"):
            found.append(Link(artifact(container["ModelPackageName"], "Model"), me, "ContributedTo"))
    return found


def _of_containers(containers: Iterable[dict[str, Any]]) -> list[Entity]:
    """Images and model data of containers as models freeze them."""
    found = []
    for container in containers:
        if container.get("image"):
            found.append(artifact(container["image"], "Image"))
        if container.get("data"):
            found.append(artifact(container["data"]["S3Uri"], "Model"))
    return found


def of_group(group: Record) -> list[Link]:
    return [Link(None, _group(group.arn, group.name))]


def _group(arn: str, name: str) -> Entity:
    return Entity("context", f"{name}-aws-model-package-group", "ModelGroup", arn)


def of_package(package: Record) -> list[Link]:
    me = artifact(package.arn, "Model")
    links = [Link(None, me)]
    for container in (package.spec.get("InferenceSpecification") or {}).get("Containers", []):
        links += [
            Link(one, me, "ContributedTo") for one in _of_containers([{"image": container.get("Image"), "data": model_data(container)}])
        ]
    if "group" not in package.spec:
        return links
    group, version = package.spec["group"], package.spec["version"]
    group_arn = package.arn.replace(":model-package/", ":model-package-group/").rpartition("/")[0]
    status = package.spec["ModelApprovalStatus"]
    properties = {"ModelApprovalStatus": status} | (
        {"ApprovalDescription": package.spec["ApprovalDescription"]} if package.spec.get("ApprovalDescription") else {}
    )
    name = f"{group}-{version}-{status}-aws-model-package"
    approval = Entity(ACTION.kind, name, "Approval", package.arn, {"Status": "Completed", "Properties": properties})
    return [*links, Link(approval, me, "ContributedTo"), Link(me, _group(group_arn, group), "AssociatedWith")]


def of_endpoint(endpoint: Record) -> list[Link]:
    """A deployment for each configuration that served, with the models it served."""
    me = Entity(CONTEXT.kind, f"{endpoint.name}-{int(endpoint.created_at)}-aws-endpoint", "Endpoint", endpoint.arn)
    serving = endpoint.state.get("serving")
    if not serving:
        return [Link(None, me)]
    digest = hashlib.sha256(f"{endpoint.uid}/{serving['config']}".encode()).hexdigest()[:8]
    config = endpoint.arn.replace(":endpoint/", ":endpoint-config/").rpartition("/")[0] + f"/{serving['config'].lower()}"
    more = {"Status": "Completed", "Properties": {"EndpointConfigArn": config}}
    deployment = Entity(ACTION.kind, f"{endpoint.name}-{digest}-aws-model-deployment", "ModelDeployment", endpoint.arn, more)
    front = endpoint.arn.rpartition(":")[0]
    links = [Link(deployment, me, "AssociatedWith")]
    for variant in (*serving["variants"], *serving.get("shadows", ())):
        if variant.get("model"):  # instances of inference components come without one
            links.append(Link(artifact(f"{front}:model/{variant['model'].lower()}", "Model"), deployment, "ContributedTo"))
        links += [Link(one, deployment, "ContributedTo") for one in _of_containers(variant.get("containers") or ()) if one.type == "Model"]
    return links


OF: dict[str, Callable[[Record], list[Link]]] = {
    "training-job": of_job, "processing-job": of_job, "transform-job": of_job, "model": of_model, "model-package-group": of_group,
    "model-package": of_package, "endpoint": of_endpoint,
}  # fmt: skip
