"""What tells that something is wrong, as the stacks have it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rendered_stacks import ACCOUNT, CONFIGURATIONS, Templates, render

from ansible_runs import Ansible

STACK = "trio"


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    name = "three-runtimes"
    ansible = Ansible(tmp_path_factory.mktemp("templates"), endpoint="")
    return render(ansible, {name: CONFIGURATIONS[name]})[name]


@pytest.fixture(scope="module")
def alarms(templates: Templates) -> dict[str, dict[str, Any]]:
    made = [
        resource["Properties"]
        for template in templates.values()
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    ]
    return {alarm["AlarmName"]: alarm for alarm in made}


@pytest.fixture(scope="module")
def widgets(templates: Templates) -> list[dict[str, Any]]:
    dashboard = templates["TrioStack"]["Resources"]["Dashboard"]["Properties"]
    assert dashboard["DashboardName"] == STACK
    found: list[dict[str, Any]] = json.loads(dashboard["DashboardBody"])["widgets"]
    return found


def test_every_runtime_has_its_four_alarms_and_webhooks_one(
    alarms: dict[str, dict[str, Any]],
) -> None:
    assert set(alarms) == {f"{STACK}/_webhooks-dlq"} | {
        f"{STACK}/{runtime}-{what}"
        for runtime in ("sdruntime", "anymodel", "comfy")
        for what in ("dlq", "oldest-task", "no-results", "failed-share")
    }
    topic = [f"arn:aws:sns:us-east-1:{ACCOUNT}:alarms"]
    for alarm in alarms.values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == topic
        assert [query for query in alarm["Metrics"] if query["ReturnData"]] == [
            alarm["Metrics"][0]
        ]


def test_stuck_alarm_outlasts_the_start_of_a_node(alarms: dict[str, dict[str, Any]]) -> None:
    stuck = alarms[f"{STACK}/comfy-no-results"]

    queries = {query["Id"]: query for query in stuck["Metrics"]}
    assert stuck["EvaluationPeriods"] * queries["waiting"]["MetricStat"]["Period"] == 45 * 60
    assert queries["ended"]["MetricStat"]["Metric"] == {
        "Namespace": f"Darkroom/{STACK}",
        "MetricName": "darkroom.tasks.ended",
        "Dimensions": [{"Name": "runtime", "Value": "comfy"}],
    }


def test_dashboard_has_a_graph_of_every_metric_that_the_services_count(
    widgets: list[dict[str, Any]],
) -> None:
    places = {(widget["x"], widget["y"]) for widget in widgets}

    assert len(places) == len(widgets)
    for name in ("tasks.ended", "agent.queue_wait", "agent.generation", "ingest.requests"):
        assert f"darkroom.{name}" in json.dumps(widgets)
    assert "DCGM_FI_DEV_GPU_UTIL" in json.dumps(widgets)


def test_dashboard_searches_a_namespace_with_a_slash_in_quotes(
    widgets: list[dict[str, Any]],
) -> None:
    """CloudWatch wants quotes around what has other than letters and digits."""
    searches = [
        metric[0]["expression"]
        for widget in widgets
        for metric in widget["properties"]["metrics"]
        if isinstance(metric[0], dict)
    ]

    assert searches
    assert [each for each in searches if not each.startswith("SEARCH('{\"Darkroom/")] == []
