"""Several hosts: who they are, what their runs say together, which data each of them gets."""

from __future__ import annotations

import pytest

from modelyard.runtime.base import RunState
from modelyard.services.sagemaker.training_job.hosts import Host, groups_of, hosts_of, together
from modelyard.services.sagemaker.training_job.inputs import is_for

RUNNING, ABSENT, LOST = RunState("running", started_at=5.0), RunState("absent"), RunState("lost")
DONE, BAD = RunState("exited", exit_code=0, finished_at=9.0), RunState("exited", exit_code=1, finished_at=7.0)
WORSE = RunState("exited", exit_code=3, finished_at=6.0)
TOLD = RunState("exited", exit_code=143, finished_at=8.0, ended_by="stop")
LATE = RunState("exited", exit_code=143, finished_at=8.0, ended_by="max-runtime")


def test_hosts_are_numbered_over_all_groups():
    groups = [
        {"InstanceGroupName": "big", "InstanceType": "ml.c5.xlarge", "InstanceCount": 1},
        {"InstanceGroupName": "small", "InstanceType": "ml.m5.large", "InstanceCount": 2},
    ]
    hosts = hosts_of({"ResourceConfig": {"InstanceGroups": groups}})
    assert [(h.name, h.instance_type, h.group) for h in hosts] == [
        ("algo-1", "ml.c5.xlarge", "big"), ("algo-2", "ml.m5.large", "small"), ("algo-3", "ml.m5.large", "small"),
    ]  # fmt: skip
    assert groups_of(hosts)[1] == {"instance_group_name": "small", "instance_type": "ml.m5.large", "hosts": ["algo-2", "algo-3"]}
    assert [h.name for h in hosts_of({"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2}})] == ["algo-1", "algo-2"]


@pytest.mark.parametrize(
    ("runs", "state", "host", "failing"),
    [
        ([RUNNING, ABSENT], "absent", 1, False),
        ([RUNNING, DONE], "running", 1, False),
        ([RUNNING, BAD], "running", 2, True),
        ([ABSENT, BAD], "absent", 2, True),
        ([DONE, DONE], "exited", 1, False),
        ([TOLD, BAD, WORSE], "exited", 3, False),
        ([DONE, TOLD], "exited", 2, False),
        ([DONE, LATE], "exited", 2, False),
        ([RUNNING, LOST], "lost", 1, False),
        ([LOST, BAD], "exited", 2, False),
    ],
)
def test_what_runs_say_together(runs, state, host, failing):
    found = together(runs)
    assert (found.run.state, found.failing) == (state, failing)
    if found.failing or state == "exited":
        assert found.host == host
    if state == "exited":
        assert found.run is runs[host - 1]


def test_a_channel_for_some_groups_only():
    channel = {"DataSource": {"S3DataSource": {"InstanceGroupNames": ["big"]}}}
    assert is_for(channel, Host(1, "", "big")) and not is_for(channel, Host(2, "", "small"))
    assert is_for({"DataSource": {"S3DataSource": {}}}, Host(2, "", "small"))
