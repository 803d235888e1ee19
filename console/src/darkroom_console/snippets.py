"""One request in the words of programs."""

from __future__ import annotations

import json
from pprint import pformat
from typing import Any, Final

from darkroom_client import TaskRequest

LONGEST: Final = 2000  # characters of one value; an image is longer
PLACE: Final = "<base64 of your image>"


def snippets(endpoint: str, request: TaskRequest) -> dict[str, str]:
    """The request for curl, Python and the command, without the key and without images."""
    body = _short(request.body())
    text = json.dumps(body, indent=2, ensure_ascii=False)
    given = {
        "runtime": request.runtime,
        "tasktype": request.tasktype,
        "content": body["task"]["content"],
    }
    arguments = ",\n".join(
        f"    {name}={pformat(value, indent=1, width=88, sort_dicts=False)}"
        for name, value in given.items()
    )
    return {
        "curl": f"""cat > task.json <<'JSON'
{text}
JSON
curl -H "x-api-key: $DARKROOM_API_KEY" -H 'content-type: application/json' \\
  {endpoint}/v1alpha2 -d @task.json""",
        "Python": f"""import os

from darkroom_client import Darkroom, TaskRequest

request = TaskRequest(
{arguments},
)
with Darkroom({endpoint!r}, os.environ["DARKROOM_API_KEY"]) as darkroom:
    for image in darkroom.generate(request).images:
        print(image.save(image.name))""",
        "Command": f"""cat > task.json <<'JSON'
{text}
JSON
darkroom submit --endpoint {endpoint} --body task.json --wait""",
    }


def _short(value: Any) -> Any:
    """The same with a placeholder for what nobody reads."""
    if isinstance(value, dict):
        return {name: _short(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_short(each) for each in value]
    if isinstance(value, str) and len(value) > LONGEST:
        return PLACE
    return value
