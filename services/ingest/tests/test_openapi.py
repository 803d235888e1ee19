from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.openapi.models import OpenAPI
from ingest_fakes import UID, World, encode, golden, rest
from pydantic_core import from_json

from ingest import translate_v1alpha1, translate_v1alpha2
from ingest.http import examples, views
from ingest.http.problems import Problem

OPERATIONS = {
    ("/v1alpha2", "post"),
    ("/v1alpha1", "post"),
    ("/v1/tasks", "get"),
    ("/v1/tasks/{id}", "get"),
    ("/v1/tasks/{id}", "delete"),
    ("/v1/tasks/{id}/events", "get"),
    ("/v1/tasks/{id}/request", "get"),
    ("/v1/runtimes", "get"),
    ("/v1/models", "get"),
    ("/v1/usage", "get"),
    ("/v1/overview", "get"),
    ("/v1/dead-letters", "get"),
    ("/v1/dead-letters/redrive", "post"),
    ("/v1/dead-letters/purge", "post"),
    ("/v1/webhooks", "get"),
    ("/v1/webhooks", "post"),
    ("/v1/webhooks/{id}", "delete"),
    ("/v1/webhooks/{id}/rotate", "post"),
    ("/v1/webhooks/{id}/test", "post"),
    ("/v1/webhooks/{id}/replay", "post"),
    ("/v1/webhooks/{id}/deliveries", "get"),
}
READ = {"200", "400", "401", "404", "405", "429", "500", "503"}
SUBMIT = READ | {"403", "409", "413", "415"}
ALSO = {
    ("/v1/tasks", "get"): {"403"},
    ("/v1/tasks/{id}", "delete"): {"403", "409"},
    ("/v1/tasks/{id}/events", "get"): {"204"},
    ("/v1/dead-letters", "get"): {"403"},
    ("/v1/webhooks", "get"): {"403"},
    ("/v1/webhooks/{id}", "delete"): {"403"},
    ("/v1/webhooks/{id}/deliveries", "get"): {"403"},
}
SUCCESS = {
    ("/v1/webhooks", "post"): "201",
    ("/v1/webhooks/{id}/test", "post"): "202",
    ("/v1/webhooks/{id}/replay", "post"): "202",
}


async def document(world: World) -> dict[str, Any]:
    async with rest(world, None) as client:
        answer: dict[str, Any] = (await client.get("/openapi.json")).json()
        return answer


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for inner in node.values():
            yield from references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from references(inner)


async def test_document_is_valid_and_whole(world: World) -> None:
    found = await document(world)

    OpenAPI.model_validate(found)
    assert found["openapi"].startswith("3.1")
    assert {(p, m) for p, item in found["paths"].items() for m in item} == OPERATIONS
    schemas = found["components"]["schemas"]
    prefix = "#/components/schemas/"
    for reference in references(found):
        assert reference.removeprefix(prefix) in schemas
    used = {reference.removeprefix(prefix) for reference in references(found)}
    assert used == set(schemas)
    ids = [op["operationId"] for item in found["paths"].values() for op in item.values()]
    assert len(set(ids)) == len(OPERATIONS)


async def test_each_operation_tells_its_refusals(world: World) -> None:
    for path, item in (await document(world))["paths"].items():
        for method, operation in item.items():
            expected = SUBMIT if method == "post" else READ | ALSO.get((path, method), set())
            expected = expected - {"200"} | {SUCCESS.get((path, method), "200")}
            assert set(operation["responses"]) == expected
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    schema = response["content"]["application/problem+json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/Problem"}
                assert ("Retry-After" in response.get("headers", {})) is (
                    status in {"429", "503"}
                )


@pytest.mark.parametrize("form", ["v1alpha1", "v1alpha2"])
async def test_examples_are_the_golden_files(world: World, form: str) -> None:
    operation = (await document(world))["paths"][f"/{form}"]["post"]

    shown = operation["requestBody"]["content"]["application/json"]["examples"]
    answer = operation["responses"]["200"]["content"]["application/json"]
    for name, example in shown.items():
        file = golden(f"{form}-{name}.request.json")
        assert encode(example["value"]) == encode(from_json(file))
    assert encode(answer["example"]) == encode(from_json(golden(f"{form}.response.json")))
    assert answer["schema"]["$ref"].endswith("Answer")


def test_examples_are_accepted() -> None:
    for example in examples.V1ALPHA2_REQUESTS.values():
        translate_v1alpha2.translate(encode(example), UID)
    for example in examples.V1ALPHA1_REQUESTS.values():
        translate_v1alpha1.translate(encode(example), UID)
    views.V1Alpha2Answer.model_validate(examples.V1ALPHA2_ANSWER)
    views.V1Alpha1Answer.model_validate(examples.V1ALPHA1_ANSWER)


async def test_schemas_say_what_is_required(world: World) -> None:
    schemas = (await document(world))["components"]["schemas"]

    assert schemas["V1Alpha2Request"]["required"] == ["task"]
    assert schemas["Metadata"]["required"] == ["id", "runtime", "tasktype"]
    assert set(schemas["LegacyScripts"]["required"]) == {
        "task",
        "sd_model_checkpoint",
        "id_task",
    }
    quota = {"quota", "limit", "used", "resets_at"}
    assert set(schemas["Problem"]["required"]) == set(Problem.model_fields) - quota


async def test_documentation_needs_nothing_from_elsewhere(world: World) -> None:
    async with rest(world, None) as client:
        response = await client.get("/docs")

    assert response.headers["content-type"].startswith("text/html")
    assert "POST /v1alpha2" in response.text
    assert "<script" not in response.text
    assert "//" not in response.text
