"""The environment that the charts give is the one that the services read, both ways."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import pytest
import yaml

import ingest.settings
import model_sync.settings
import notifier.settings
import queue_agent.settings
import router.settings
from contracts.runtimes import RuntimesFile
from rendering import (
    VALUES,
    RefusedError,
    containers,
    environment,
    merged,
    objects,
    only,
    read_values,
    render,
)
from servicekit.settings import ServiceSettings
from toolbox import ROOT

Json = dict[str, Any]

# Name of a service -> its key among the values, its prefix, its settings.
SERVICES: dict[str, tuple[str, str, type[ServiceSettings]]] = {
    "ingest": ("ingest", "INGEST_", ingest.settings.Settings),
    "router": ("router", "ROUTER_", router.settings.Settings),
    "notifier": ("notifier", "NOTIFIER_", notifier.settings.Settings),
    "model-sync": ("modelSync", "MODEL_SYNC_", model_sync.settings.Settings),
}
WITHOUT_EFFECT = {
    "INGEST_OPS_PORT",  # ingest answers its operators on the port of REST
    "MODEL_SYNC_COPY_TO",  # set by the chart of a runtime, in whose pods model-sync copies
    "MODEL_SYNC_COPY_KEYS",
    "MODEL_SYNC_COPY_PARALLEL",
}


def _platform(name: str) -> list[Json]:
    return objects(render("platform", read_values(VALUES / "platform" / f"{name}.yaml")))


def _runtime(name: str, /, **above: Any) -> Json:
    values = merged(read_values(VALUES / "runtime" / f"{name}.yaml"), above)
    return only(objects(render("runtime", values)), "Deployment")


def _fields(settings: type[ServiceSettings], prefix: str) -> set[str]:
    return {f"{prefix}{name.upper()}" for name in settings.model_fields}


def _ours(variables: dict[str, str], prefix: str) -> set[str]:
    return {name for name in variables if name.startswith(prefix)}


@pytest.mark.parametrize("service", SERVICES)
def test_the_chart_sets_every_field_and_no_other(service: str) -> None:
    key, prefix, settings = SERVICES[service]
    deployment = only(_platform("everything"), "Deployment", service)

    variables = environment(containers(deployment)[service])

    assert _ours(variables, prefix) == _fields(settings, prefix) - WITHOUT_EFFECT
    facts = environment(containers(only(_platform("golden"), "Deployment", service))[service])
    schema = json.loads((ROOT / "charts/platform/values.schema.json").read_text())
    knobs = schema["$defs"][f"{key}Settings"]["properties"]
    assert {f"{prefix}{name.upper()}" for name in knobs} == _ours(variables, prefix) - set(
        facts
    )


@pytest.mark.parametrize("name", ["golden", "everything"])
@pytest.mark.parametrize("service", SERVICES)
def test_the_service_reads_what_the_chart_sets(
    service: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, _, settings = SERVICES[service]
    deployment = only(_platform(name), "Deployment", service)
    for variable, value in environment(containers(deployment)[service]).items():
        monkeypatch.setenv(variable, value)

    read = settings()

    assert read.host == "0.0.0.0"  # noqa: S104  # a pod's own addresses
    wanted = read_values(VALUES / "platform" / f"{name}.yaml")[key].get("settings", {})
    for field, value in wanted.items():
        if isinstance(value, int | float):  # `1000000` must not arrive as `1e+06`
            assert getattr(read, field) == value


def test_a_setting_among_the_further_variables_is_refused() -> None:
    values = read_values(VALUES / "platform" / "golden.yaml")
    values["router"]["extraEnv"] = [{"name": "ROUTER_TABLE", "value": "other"}]

    with pytest.raises(RefusedError, match="ROUTER_TABLE belongs into settings"):
        render("platform", values)


def test_the_router_reads_the_file_of_runtimes(tmp_path: Any) -> None:
    found = _platform("everything")
    container = containers(only(found, "Deployment", "router"))["router"]
    file = tmp_path / "runtimes.json"
    file.write_text(only(found, "ConfigMap", "router-runtimes")["data"]["runtimes.json"])

    runtimes = RuntimesFile.read(file).runtimes

    assert [(r.name, r.model_filename, r.dynamic_model) for r in runtimes] == [
        ("one", "one.safetensors", True),
        ("two", None, False),
        ("three", None, False),
    ]
    (mount,) = (m for m in container["volumeMounts"] if m["name"] == "runtimes")
    path = environment(container)["ROUTER_RUNTIMES_FILE"]
    assert path == f"{mount['mountPath']}/runtimes.json"


def test_every_field_of_the_agent_is_set_or_may_be() -> None:
    template = (ROOT / "charts/runtime/templates/_env.tpl").read_text()
    (knobs,) = re.findall(r'define "runtime.agentKnobs" -}}\n(.*?){{- end', template, re.S)
    extra = {f"QUEUE_AGENT_{knob.upper()}": "1" for knob in knobs.split()}
    above = {"queueAgent": {"extraEnv": extra}}

    variables = environment(containers(_runtime("comfyui", runtime=above))["queue-agent"])

    fields = _fields(queue_agent.settings.Settings, "QUEUE_AGENT_")
    assert _ours(variables, "QUEUE_AGENT_") == fields


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in (VALUES / "runtime").glob("*.yaml"))
)
def test_the_agent_reads_what_the_chart_sets(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = _runtime(name)
    for variable, value in environment(containers(deployment)["queue-agent"]).items():
        monkeypatch.setenv(variable, value)

    read = queue_agent.settings.Settings()

    pod = deployment["spec"]["template"]["spec"]
    assert read.termination_grace.total_seconds() == pod["terminationGracePeriodSeconds"]
    port = containers(deployment)["runtime"]["ports"][0]["containerPort"]
    assert read.runtime_url == f"http://127.0.0.1:{port}"
    assert read.pod_namespace == "art"
    values = read_values(VALUES / "runtime" / f"{name}.yaml")
    assert list(read.input_buckets) == values["deployment"].get("inputBuckets", [])


@pytest.mark.parametrize(
    ("name", "enabled", "folder"),
    [("invokeai", True, "/models"), ("invokeai", False, None), ("comfyui", True, None)],
)
def test_invokeai_is_told_where_its_models_are(
    name: str, enabled: bool, folder: str | None
) -> None:
    above = {
        "inferenceApi": {"modelMountPath": "/models"},
        "persistence": {"enabled": enabled},
    }

    variables = environment(containers(_runtime(name, runtime=above))["queue-agent"])

    assert variables.get("QUEUE_AGENT_INVOKEAI_MODELS_FOLDER") == folder


def test_model_sync_reads_what_the_chart_of_a_runtime_sets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pod = _runtime("nvme-soci")["spec"]["template"]["spec"]
    (copier,) = [each for each in pod["initContainers"] if each["name"] == "copy-models"]
    for variable, value in environment(copier).items():
        monkeypatch.setenv(variable, value)

    read = model_sync.settings.Settings()

    assert _ours(environment(copier), "MODEL_SYNC_") < _fields(type(read), "MODEL_SYNC_")
    (mount,) = [each for each in copier["volumeMounts"] if each["name"] == "models"]
    assert str(read.copy_to) == mount["mountPath"]


def test_an_unknown_setting_of_the_agent_is_refused() -> None:
    above = {"queueAgent": {"extraEnv": {"QUEUE_AGENT_DEPHT": "0"}}}

    with pytest.raises(RefusedError, match="QUEUE_AGENT_DEPHT is no setting"):
        _runtime("golden", runtime=above)


def test_a_drain_that_outlasts_the_pod_is_refused() -> None:
    with pytest.raises(RefusedError, match="110 is not shorter than 110"):
        _runtime("golden", runtime={"drainSeconds": 100})


def test_the_golden_configuration_keeps_its_keys() -> None:
    file = yaml.safe_load((VALUES / "runtime" / "golden.yaml").read_text())

    variables = environment(containers(_runtime("golden"))["runtime"])

    assert variables["SD_MODEL_CHECKPOINT"] == file["modelFilename"]
    assert variables["CONFIG_FILE"] == "/tmp/config.json"  # noqa: S108  # as the original


def test_the_agent_reads_the_prices_and_its_part_of_a_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resources = {"limits": {"nvidia.com/gpu": 2}}
    above = {"runtime": {"inferenceApi": {"resources": resources}}}
    agent = containers(_runtime("everything", **above))["queue-agent"]
    for variable, value in environment(agent).items():
        monkeypatch.setenv(variable, value)

    read = queue_agent.settings.Settings()

    (node,) = (each for each in agent["env"] if each["name"] == "NODE_NAME")
    assert node["valueFrom"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}
    assert (read.price_currency, read.gpus) == ("CNY", 2)
    prices = {"on-demand": Decimal("40.7"), "spot": Decimal(12)}
    assert read.node_prices == {"g5.12xlarge": prices}
