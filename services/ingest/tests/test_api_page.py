"""The examples and tables of docs/api.md, compared with what ingest takes and answers."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ingest_fakes import UID
from pydantic import BaseModel

from contracts.callback import Callback
from contracts.scripts import ROUTING_KEYS
from ingest import translate_v1alpha1, translate_v1alpha2
from ingest.http import problems, views
from ingest.http.operator_views import DeadLettersView, OverviewView
from servicekit.status import REFUSALS

PAGE = Path("docs/api.md").read_text()
BODIES = re.findall(r" -d '\s*(\{.*?\})'", PAGE, re.DOTALL)
ANSWERS = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]


def test_requests_are_accepted() -> None:
    kinds = []
    for body in BODIES:
        older = "alwayson_scripts" in json.loads(body)
        form = translate_v1alpha1 if older else translate_v1alpha2
        kinds.append((older, form.translate(body.encode(), UID).tasktype))

    assert kinds == [(False, "text-to-image"), (True, "text-to-image"), (False, "pipeline")]


def test_answers_have_the_fields_that_are_sent() -> None:
    models: tuple[tuple[type[BaseModel], set[str]], ...] = (
        (views.V1Alpha2Answer, {"task"}),
        (views.V1Alpha1Answer, {"task"}),
        (views.TaskView, {"links", "warnings"}),
        (OverviewView, set()),
        (DeadLettersView, set()),
        (problems.Problem, {"quota", "limit", "used", "resets_at"}),
        (Callback, {"warnings", "cost"}),
    )
    for answer, (model, asked_for) in zip(ANSWERS, models, strict=True):
        model.model_validate(answer)
        assert list(answer) == [name for name in model.model_fields if name not in asked_for]


def test_every_code_is_listed_with_its_statuses() -> None:
    listed = re.findall(r"^\| `(\w+)` \| (\d{3}) \| `(\w+)` \|", PAGE, re.MULTILINE)

    assert {code: (int(http), grpc) for code, http, grpc in listed} == {
        code: (refusal.http, refusal.grpc.name) for code, refusal in REFUSALS.items()
    }


def test_every_field_of_a_submission_is_listed() -> None:
    fields = re.findall(r"^\| `metadata\.(\w+)` \|", PAGE, re.MULTILINE)
    table = PAGE.partition("| key of `alwayson_scripts` | |")[2].partition("\n\n")[0]

    assert fields == list(translate_v1alpha2.Metadata.model_fields)
    assert set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\|(.*?)\|", table, re.M)))) == (
        ROUTING_KEYS
    )
