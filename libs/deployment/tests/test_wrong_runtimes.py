"""Runtimes that are refused, each with its message."""

from __future__ import annotations

import pytest
from golden_config import FIRST, FIRST_AT, GONE, refused

LABEL = "a DNS label: 1 to 40 letters, digits and dashes, with no dash at either end"
SECOND = {"name": "second", "type": "sdwebui", "modelFilename": "second.safetensors"}

# where, what is put there, what is said
WRONG: list[tuple[str, object, str]] = [
    (
        "modelsRuntime",
        GONE,
        "modelsRuntime: found nothing; allowed: a list of 1 to 100 entries",
    ),
    (
        "modelsRuntime",
        [],
        "modelsRuntime: found a list with 0 entries; allowed: a list of 1 to 100 entries",
    ),
    (
        "modelsRuntime",
        {},
        "modelsRuntime: found a mapping with 0 keys; allowed: a list of 1 to 100 entries",
    ),
    (
        "modelsRuntime.1",
        "sdruntime",
        "modelsRuntime[1]: found 'sdruntime' (text); allowed: a mapping",
    ),
    (f"{FIRST_AT}.name", GONE, f"{FIRST}.name: found nothing; allowed: {LABEL}"),
    (f"{FIRST_AT}.name", "sd_runtime", f"{FIRST}.name: found 'sd_runtime'; allowed: {LABEL}"),
    (f"{FIRST_AT}.name", "-sd", f"{FIRST}.name: found '-sd'; allowed: {LABEL}"),
    (
        f"{FIRST_AT}.name",
        "x" * 41,
        f"{FIRST}.name: found 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'; allowed: {LABEL}",
    ),
    (f"{FIRST_AT}.name", 3, f"{FIRST}.name: found 3 (a number); allowed: {LABEL}, in quotes"),
    (
        f"{FIRST_AT}.name",
        "Webhooks",
        f"{FIRST}.name: found 'Webhooks'; allowed: another name: it stands for the queue of"
        " webhooks",
    ),
    (
        "modelsRuntime.1",
        {**SECOND, "name": "SDRuntime"},
        "modelsRuntime[1].name: found 'SDRuntime', the name of modelsRuntime[0]"
        " as well; allowed: "
        "a name of its own, whatever its case",
    ),
    (
        "modelsRuntime.1",
        {**SECOND, "name": "sdruntime-dlq"},
        "modelsRuntime[1].name: found 'sdruntime-dlq', whose queue is the "
        "dead-letter queue of 'sdruntime'; allowed: "
        "a name that does not end in -dlq",
    ),
    (
        "modelsRuntime.1",
        {**SECOND, "modelFilename": "v1-5-pruned-emaonly.safetensors"},
        "modelsRuntime[1].modelFilename: found "
        "'v1-5-pruned-emaonly.safetensors', the model of modelsRuntime[0] as "
        "well; allowed: "
        "a model of its own: a request that names it would run in both",
    ),
    (
        "modelsRuntime.1",
        {**SECOND, "name": "a-name-that-is-too-long-for-a-role-name"},
        "modelsRuntime[1].name: found "
        "'a-name-that-is-too-long-for-a-role-name', 39 characters; allowed: "
        "34 characters at most, since sdoneks-<region>-queue-agent-<name> is a "
        "role's name, of at most 64",
    ),
    (
        "modelsRuntime.1",
        {"name": "inv", "type": "invokeai"},
        "modelsRuntime[1].extraValues.runtime.inferenceApi.image.repository: "
        "found nothing; allowed: "
        "the image of invokeai: there is no example",
    ),
    (
        f"{FIRST_AT}.type",
        GONE,
        f"{FIRST}.type: found nothing; allowed: sdwebui, comfyui or invokeai",
    ),
    (
        f"{FIRST_AT}.type",
        "sdwebiu",
        f"{FIRST}.type: found 'sdwebiu'; allowed: "
        "sdwebui, comfyui or invokeai (did you mean sdwebui?)",
    ),
    (
        f"{FIRST_AT}.type",
        ["sdwebui"],
        f"{FIRST}.type: found a list with 1 entry; allowed: sdwebui, comfyui or invokeai",
    ),
    (
        f"{FIRST_AT}.modelFilename",
        "model.bin",
        f"{FIRST}.modelFilename: found 'model.bin'; allowed: "
        "a file name that ends in .safetensors, .ckpt or .gguf",
    ),
    (
        f"{FIRST_AT}.modelFilename",
        "model.sft",
        f"{FIRST}.modelFilename: found 'model.sft'; allowed: "
        "a file name that ends in .safetensors, .ckpt or .gguf",
    ),
    (
        f"{FIRST_AT}.modelFilename",
        "../x.ckpt",
        f"{FIRST}.modelFilename: found '../x.ckpt'; allowed: "
        "a file name that ends in .safetensors, .ckpt or .gguf",
    ),
    (
        f"{FIRST_AT}.modelFilename",
        "",
        f"{FIRST}.modelFilename: found nothing, and dynamicModel false; allowed:"
        " "
        "a file name that ends in .safetensors, .ckpt or .gguf, or dynamicModel: true",
    ),
    (
        f"{FIRST_AT}.modelfilename",
        "x",
        f"{FIRST}.modelfilename: found an unknown key; allowed: "
        "chartRepository, chartVersion, dynamicModel, extraValues, "
        "modelFilename, name, namespace, type (did you mean modelFilename?)",
    ),
    (
        f"{FIRST_AT}.namespace",
        "Default",
        f"{FIRST}.namespace: found 'Default'; allowed: "
        "a DNS label: 1 to 63 lower-case letters, digits and dashes, with no "
        "dash at either end",
    ),
    (
        f"{FIRST_AT}.namespace",
        "kube-system",
        f"{FIRST}.namespace: found 'kube-system'; allowed: a namespace of no cluster part",
    ),
    (
        f"{FIRST_AT}.dynamicModel",
        "yes",
        f"{FIRST}.dynamicModel: found 'yes' (text); allowed: true or false",
    ),
    (
        f"{FIRST_AT}.chartRepository",
        "example.com/charts",
        f"{FIRST}.chartRepository: found 'example.com/charts'; allowed: "
        "an address that begins with oci://, https:// or http://, or nothing",
    ),
    (
        f"{FIRST_AT}.chartVersion",
        1.1,
        f"{FIRST}.chartVersion: found 1.1 (a number); allowed: "
        "a version such as 1.2.3, or nothing, in quotes",
    ),
    (
        f"{FIRST_AT}.chartVersion",
        "latest",
        f"{FIRST}.chartVersion: found 'latest'; allowed: a version such as 1.2.3, or nothing",
    ),
]


@pytest.mark.parametrize(("where", "value", "message"), WRONG)
def test_wrong_value_is_one_sentence_with_its_key(
    where: str, value: object, message: str
) -> None:
    assert refused(where, value) == [message]
