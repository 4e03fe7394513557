"""Validation of a model package before it is Completed: its profile is a batch transform job with the package's containers.

The job is a transform job like any other, owned by the package, whose reconciler waits for its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.reconcile import Step
from modelyard.kernel.records import Record
from modelyard.kernel.store import Taken
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.jobs.inputs import check_objects
from modelyard.services.sagemaker.model import hosted_containers
from modelyard.services.sagemaker.registry.shown import state_change
from modelyard.services.sagemaker.role_session import RoleSession
from modelyard.services.sagemaker.transform_job.checks import check, check_instances
from modelyard.services.sagemaker.transform_job.lifecycle import FINAL
from modelyard.services.sagemaker.transform_job.lifecycle import LIFECYCLE as TRANSFORM
from modelyard.services.sagemaker.transform_job.operations import spec_of

READY = Lifecycle("model-package", first="Completed", due=False)
"""A package that nothing has to validate."""
VALIDATED = Lifecycle(
    "model-package",
    first="Pending",
    arrows={"Pending": {"InProgress", "Completed", "Failed"}, "InProgress": {"Completed", "Failed"}},
)


def profiles_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The profiles that are to run (AWS takes one at most): SkipModelValidation All skips them."""
    if spec.get("SkipModelValidation") == "All":
        return []
    return (spec.get("ValidationSpecification") or {}).get("ValidationProfiles", [])


def check_profiles(call: Any, spec: dict[str, Any]) -> None:
    """At create: what would be refused of the transform jobs themselves."""
    for profile in profiles_of(spec):
        if not spec.get("InferenceSpecification"):
            raise validation("A model package with ValidationProfiles must have an InferenceSpecification: there is nothing to validate.")
        job = profile["TransformJobDefinition"]
        check(job)
        check_instances(call, job)
        role = spec["ValidationSpecification"]["ValidationRole"]
        session = RoleSession(call.platform, call.account, call.region, role)
        uri = job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
        check_objects(session, uri, "transformInput.dataSource.s3DataSource.s3Uri", role, call.region)


def first_state(spec: dict[str, Any]) -> dict[str, Any]:
    return {"validations": [_item(profile, "NotStarted") for profile in profiles_of(spec)]}


# --- moving --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """(status, failure reason) of each profile's transform job; None where it is not there."""

    jobs: tuple[tuple[str, str] | None, ...] = ()


def observe(package: Record, world: Any) -> Seen:
    found = []
    for number, _ in enumerate(profiles_of(package.spec)):
        job = world.store.get(TRANSFORM.kind, package.account, package.region, job_name(package, number))
        found.append(None if job is None else (job.status, job.state.get("reason", "")))
    return Seen(tuple(found))


@api.reconciler(VALIDATED, observe)
def decide(package: Record, seen: Seen, now: float) -> Step:
    if package.status not in ("Pending", "InProgress"):
        return Step(package.status)
    profiles = profiles_of(package.spec)
    items = [_of_job(profile, job) for profile, job in zip(profiles, seen.jobs, strict=True)]
    starts = [StartJob(package, number) for number, job in enumerate(seen.jobs) if job is None]
    if starts:
        return _step(package, "InProgress", [_item(profile, "InProgress") for profile in profiles], now, starts)
    states = {item["Status"] for item in items}
    status = "InProgress" if "InProgress" in states else "Failed" if "Failed" in states else "Completed"
    return _step(package, status, items, now)


def _step(package: Record, status: str, items: list[dict[str, Any]], now: float, do: list[Any] | None = None) -> Step:
    """The status and its event in one. The jobs' own events wake the package."""
    after = Record(
        **{**{f: getattr(package, f) for f in Record.__slots__}, "status": status, "state": {"validations": items}, "updated_at": now}
    )
    return Step(status, {"validations": items}, do=do or [], detail={"eventbridge": state_change(after)})


@dataclass(frozen=True)
class StartJob:
    package: Record
    number: int

    def perform(self, world: Any) -> None:
        package, profile = self.package, profiles_of(self.package.spec)[self.number]
        name = job_name(package, self.number)
        containers = hosted_containers({"Containers": package.spec["InferenceSpecification"]["Containers"]})
        role = package.spec["ValidationSpecification"]["ValidationRole"]
        request = {"TransformJobName": name, "ModelName": name, **profile["TransformJobDefinition"]}
        spec = spec_of(request, containers=containers, role=role, isolated=False)
        arn = f"arn:aws:sagemaker:{package.region}:{package.account}:{TRANSFORM.kind}/{name}"
        try:
            world.store.create(
                TRANSFORM,
                account=package.account,
                region=package.region,
                name=name,
                arn=arn,
                spec=spec,
                state={"version": 1},
                owner=package.uid,
            )
        except Taken:
            return
        world.ring(TRANSFORM.kind)


def job_name(package: Record, number: int) -> str:
    return f"validation-{package.uid}-{number}"


def _of_job(profile: dict[str, Any], job: tuple[str, str] | None) -> dict[str, Any]:
    status, reason = job or ("", "")
    if status not in FINAL:
        return _item(profile, "InProgress")
    if status == "Completed":
        return _item(profile, "Completed")
    return _item(profile, "Failed") | {"FailureReason": reason or f"ClientError: The transform job of the profile was {status.lower()}."}


def _item(profile: dict[str, Any], status: str) -> dict[str, Any]:
    return {"Name": profile["ProfileName"], "Status": status}
