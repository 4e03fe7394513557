"""How a step begins: references filled in, the cache asked, the job made in the name of the pipeline's role.

`begin` may be repeated: a job's name follows from the execution, the step and the number of its launch, and a job with that name and
this execution's tag is this very launch. What it answers is plain data; refusals are data too, for `decide`.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.store import Taken
from modelyard.services.sagemaker.pipeline import caching, children, conditions, retries, shapes
from modelyard.services.sagemaker.pipeline.definition import JOBS, Definition, Step
from modelyard.services.sagemaker.pipeline.lifecycle import CALLBACK, execution_id
from modelyard.services.sagemaker.pipeline.resolve import Resolver, Unresolved, stamp
from modelyard.services.sagemaker.role_session import RoleSession

Result = dict[str, Any]


class Refused(Exception):
    """A call that the pipeline's role made was refused."""

    def __init__(self, operation: str, problem: ApiError) -> None:
        super().__init__(problem.message)
        whose = "ClientError" if problem.sender_fault else "InternalServerError"
        self.reason = f"{whose}: Failed to invoke {operation}. Error Details: {problem.message}"
        self.type = retries.type_of_error(problem)


def begin(world: Any, execution: Record, definition: Definition, step: Step, launch: int) -> Result:
    """{"status", "metadata", "arn", "outcome", "cache", "digest"}: what is known once the step has begun; or {"failed": reason, "type"}."""
    try:
        return _Beginning(world, execution, definition, step, launch).run()
    except Refused as problem:
        return {"failed": problem.reason, "type": problem.type}
    except (Unresolved, conditions.NotComparable) as problem:
        return {"failed": f"ClientError: Failed to resolve the arguments of step {step.name}: {problem}."}
    except ApiError as problem:
        whose = "ClientError" if problem.sender_fault else "InternalServerError"
        return {"failed": f"{whose}: {problem.message}", "type": retries.type_of_error(problem)}


def prepare(world: Any, execution: Record) -> Result:
    """The experiment and the trial of an execution; {"failed": reason} where the role may not make them."""
    config = execution.spec["experiment"]
    try:
        session = session_of(world, execution, "")
        asked = [("CreateExperiment", {"ExperimentName": config["ExperimentName"]})] if config.get("ExperimentName") else []
        if config.get("TrialName") and config.get("ExperimentName"):
            asked.append(("CreateTrial", {"TrialName": config["TrialName"], "ExperimentName": config["ExperimentName"]}))
        for operation, request in asked:
            _invoke(world, session, operation, request, tolerated="already exists")
    except Refused as problem:
        return {"failed": problem.reason}
    except ApiError as problem:
        return {"failed": f"ClientError: {problem.message}"}
    return {}


def made(store: Any, execution: Record, step: Step, launch: int) -> str | None:
    """The ARN of what a launch has made, where it can be found by its name."""
    kind = children.KINDS.get(step.type)
    if kind is None or not kind.name:
        return None
    name = children.job_name(execution, step.name, step.type, launch, step.arguments.get(kind.name))
    record = store.get(kind.kind, execution.account, execution.region, name)
    return record.arn if record is not None and children.is_of(store, execution, record) else None


def session_of(world: Any, execution: Record, step: str) -> RoleSession:
    """The pipeline's role, under the session name that AWS uses."""
    name = f"sagemaker-pipeline-{execution_id(execution)}" + (f"-{step}" if step else "")
    return RoleSession(world, execution.account, execution.region, execution.spec["role"], name=name[:64])


def _invoke(world: Any, session: RoleSession, operation: str, request: dict[str, Any], tolerated: str = "") -> dict[str, Any]:
    try:
        world.check_request("sagemaker", operation, request)
        return session.invoke("sagemaker", operation, request)
    except ApiError as problem:
        if tolerated and tolerated in problem.message:
            return {}
        raise Refused(f"sagemaker:{operation}", problem) from problem


class _Beginning:
    def __init__(self, world: Any, execution: Record, definition: Definition, step: Step, launch: int) -> None:
        self.world, self.execution, self.definition, self.step, self.launch = world, execution, definition, step, launch
        self.session = session_of(world, execution, step.name)
        asked = step.arguments.get(children.KINDS[step.type].name) if step.type in JOBS else None
        self.name = children.job_name(execution, step.name, step.type, launch, asked)
        self.resolver = Resolver(execution.spec["parameters"], self._variables(), self._document, self._property_file, self.session.read)

    def run(self) -> Result:
        if self.step.type == "Condition":
            outcome = conditions.all_hold(self.resolver.fill(self.step.arguments["Conditions"]))
            return {"status": "Succeeded", "outcome": outcome, "metadata": {"Condition": {"Outcome": str(outcome)}}}
        if self.step.type == "Fail":
            message = shapes.text_of(self.resolver.fill(self.step.arguments.get("ErrorMessage", "")))
            return {"status": "Failed", "reason": message or None, "metadata": {"Fail": {"ErrorMessage": message}}}
        arguments = self.resolver.fill(self.step.arguments)
        if self.step.type in JOBS:
            arguments = shapes.typed(JOBS[self.step.type], arguments)
        key = caching.digest(self.step, arguments) if caching.is_cached(self.step) else None
        if key and self.launch == 1:
            known = caching.known(self.world.store, self.execution.owner or "", self.step, key, self.world.clock.now())
            if known:
                return {"status": "Succeeded", "arn": known.get("arn"), "metadata": known["metadata"], "cache": known["execution"]}
        begun = self._callback(arguments) if self.step.type == "Callback" else self._job(arguments)
        return {**begun, "digest": key}

    # --- jobs --------------------------------------------------------------------------------------

    def _job(self, arguments: dict[str, Any]) -> Result:
        operation, kind = JOBS[self.step.type], children.KINDS[self.step.type]
        request = self._request(arguments, kind)
        arn = made(self.world.store, self.execution, self.step, self.launch)
        if arn is None:
            if self.step.type == "RegisterModel":
                self._ensure_group(request)
            try:
                arn = _invoke(self.world, self.session, operation, request)[kind.arn]
            except Refused:
                arn = made(self.world.store, self.execution, self.step, self.launch)  # somebody else who looked at this execution was first
                if arn is None:
                    raise
        return {"status": "Executing", "arn": arn, "metadata": {kind.metadata: {"Arn": arn}}}

    def _request(self, arguments: dict[str, Any], kind: children.Kind) -> dict[str, Any]:
        request = dict(arguments)
        if not kind.name:  # a model package
            token = hashlib.sha256(f"{self.execution.uid}/{self.step.name}/{self.launch}".encode()).hexdigest()[:32]
            request["MetadataProperties"] = {"GeneratedBy": self.execution.arn, **request.get("MetadataProperties", {})}
            return {**request, "ClientToken": token}
        request[kind.name] = self.name
        own = children.tags_of(self.execution, self.step.name)
        request["Tags"] = [tag for tag in request.get("Tags", []) if tag.get("Key") not in {t["Key"] for t in own}] + own
        if kind.experiment and self.execution.spec.get("experiment"):
            request["ExperimentConfig"] = {**self.execution.spec["experiment"], **request.get("ExperimentConfig", {})}
        return request

    def _ensure_group(self, request: dict[str, Any]) -> None:
        """A group that is not there yet is made, as AWS does it for this step. Its tags are those that a version cannot have."""
        group = request.get("ModelPackageGroupName")
        if not group:
            return
        tags = request.pop("Tags", [])
        name = group.rpartition("/")[2]
        where = (self.execution.region, self.execution.account)
        arn = group if group.startswith("arn:") else "arn:aws:sagemaker:{}:{}:model-package-group/{}".format(*where, name)
        front, slash, last = arn.partition("/")
        if self.world.store.by_arn(front + slash + last.lower()) is None:
            made = {"ModelPackageGroupName": name, "Tags": tags + children.tags_of(self.execution, self.step.name)}
            _invoke(self.world, self.session, "CreateModelPackageGroup", made, tolerated="already exists")

    # --- callbacks ---------------------------------------------------------------------------------

    def _callback(self, arguments: dict[str, Any]) -> Result:
        token = children.job_name(self.execution, self.step.name, "", self.launch)[-10:]
        place = {"account": self.execution.account, "region": self.execution.region}
        spec = {"execution": self.execution.arn, "step": self.step.name}
        with contextlib.suppress(Taken):  # made by a look that a crash ended; the message goes out again, which a queue may do as well
            self.world.store.create(CALLBACK, **place, name=token, arn=f"callback/{token}", spec=spec, owner=self.execution.uid)
        queue = shapes.text_of(self.resolver.fill(self.step.raw["SqsQueueUrl"]))
        send(self.session, self.execution, queue, token, "Executing", arguments)
        return {"status": "Executing", "token": token, "metadata": {"Callback": {"CallbackToken": token, "SqsQueueUrl": queue}}}

    # --- what references stand for -----------------------------------------------------------------

    def _variables(self) -> dict[str, Any]:
        execution = self.execution
        return {
            **static_variables(execution.spec["pipeline"], execution.spec["pipeline_arn"], execution.arn, execution.created_at),
            "CurrentDateTime": stamp(self.world.clock.now()),
            **{kind.name: self.name for kind in children.KINDS.values() if kind.name},
        }

    def _document(self, name: str) -> Any:
        state, step = self.execution.state.get("steps", {}).get(name), self.definition.steps[name]
        if state is None or state["status"] != "Succeeded":
            raise Unresolved(f"step {name} has no results in this execution")
        if step.type == "Condition":
            return {"Outcome": shapes.text_of(state["outcome"])}
        if step.type == "Callback":
            return {"OutputParameters": output_parameters(step, state["metadata"]["Callback"].get("OutputParameters", []))}
        record = self.world.store.by_arn(state["arn"])
        if record is None:
            raise Unresolved(f"what step {name} made was deleted ({state['arn']})")
        return children.KINDS[step.type].describe(self.world.store, record)

    def _property_file(self, name: str, file: str) -> str:
        found = self.definition.steps[name].property_file(file)
        if found is None:
            raise Unresolved(f"step {name} has no property file {file}")
        outputs = self._document(name)["ProcessingOutputConfig"]["Outputs"]
        output = next((one for one in outputs if one["OutputName"] == found["OutputName"]), None)
        if output is None:
            raise Unresolved(f"step {name} has no output {found['OutputName']}")
        return f"{output['S3Output']['S3Uri'].rstrip('/')}/{found['FilePath'].lstrip('/')}"


def send(session: RoleSession, execution: Record, queue: str, token: str, status: str, arguments: Any) -> None:
    """The message of a callback step. Raises Refused."""
    body = {"token": token, "pipelineExecutionArn": execution.arn, "arguments": arguments, "status": status}
    try:
        session.invoke("sqs", "SendMessage", {"QueueUrl": queue, "MessageBody": orjson.dumps(body).decode()})
    except ApiError as problem:
        raise Refused("sqs:SendMessage", problem) from problem


def output_parameters(step: Step, given: list[dict[str, str]]) -> dict[str, Any]:
    """By name, as their declared types have them."""
    kinds = {one.get("OutputName"): one.get("OutputType") for one in step.raw.get("OutputParameters", [])}
    made: dict[str, Any] = {}
    for one in given:
        kind, value = kinds.get(one["Name"]), one["Value"]
        try:
            number = {"Integer": int, "Float": float}.get(str(kind))
            made[one["Name"]] = number(value) if number else value.lower() == "true" if kind == "Boolean" else value
        except ValueError:
            made[one["Name"]] = value
    return made


def static_variables(pipeline: str, pipeline_arn: str, execution_arn: str, began: float) -> dict[str, Any]:
    """What is known from the start. AWS gives the name of a pipeline in lower case."""
    return {
        "StartDateTime": stamp(began),
        "CurrentDateTime": stamp(began),
        "PipelineName": pipeline.lower(),
        "PipelineArn": pipeline_arn,
        "PipelineExecutionId": execution_arn.rpartition("/")[2],
        "PipelineExecutionArn": execution_arn,
    }
