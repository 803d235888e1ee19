"""Files of the model hub, and tokens that redirects do not carry elsewhere."""

from __future__ import annotations

import httpx
import pytest
from model_fetching import CONTENT, PATH, SUM, TOKEN, WHOLE, Fetching, fetching
from model_server import Served

from darkroom_cli.errors import CommandError
from darkroom_cli.models.files import model
from darkroom_cli.models.server import redirected

__all__ = ["fetching"]


async def test_token_goes_to_no_other_host(fetching: Fetching) -> None:
    fetching.serve(location=f"{fetching.server.other_host}/cdn", token=TOKEN)
    fetching.server.files["/cdn"] = Served(content=CONTENT)
    headers = {"Authorization": f"Bearer {TOKEN}", "X-Key": TOKEN}

    assert await fetching.fetch(fetching.wanted(headers=headers))

    (_, first), (_, second) = fetching.server.asked
    assert first["X-Key"] == TOKEN
    assert TOKEN not in str(second)
    assert fetching.files() == WHOLE


async def test_redirects_have_an_end(fetching: Fetching) -> None:
    fetching.serve(location=PATH)

    assert await fetching.refused() == "it redirects more than 10 times"


@pytest.mark.parametrize("location", ["http://models.example/a", "ftp://models.example/a"])
def test_redirect_to_what_is_not_encrypted_is_refused(location: str) -> None:
    url = httpx.URL(f"https://user:{TOKEN}@models.example/a?token={TOKEN}")

    assert redirected(url, "/b").path == "/b"
    with pytest.raises(CommandError, match="which is not safe") as caught:
        redirected(url, location)
    assert TOKEN not in str(caught.value)


async def test_file_of_the_hub_comes_with_the_token_and_the_sum_of_the_hub(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = fetching.server
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    cdn = f"{server.other_host}/cdn"
    server.files["/art/one/resolve/main/sub/a.safetensors"] = Served(
        location=cdn, token=TOKEN, linked_sum=SUM
    )
    server.files["/art/one/resolve/v2/a.safetensors"] = Served(
        location=cdn, linked_sum="0" * 64
    )
    server.files["/cdn"] = Served(content=CONTENT, breaks=[1000])

    assert await fetching.fetch(model("hf:art/one/sub/a.safetensors"))
    assert fetching.files() == WHOLE
    other = model("hf:art/one@v2/a.safetensors", filename="b.safetensors")
    assert f"its sha256 is {SUM}, not {'0' * 64}" in await fetching.refused(other)
    assert all(TOKEN not in str(headers) for path, headers in server.asked if path == "/cdn")


@pytest.mark.parametrize(
    ("source", "given", "sent"),
    [
        ("hf:art/one/a.pth", {}, {"authorization": f"Bearer {TOKEN}"}),
        ("https://hub.example/art/a.pth", {}, {"authorization": f"Bearer {TOKEN}"}),
        ("https://hub.example/art/a.pth", {"Authorization": "own"}, {"Authorization": "own"}),
        ("https://hub.example.org/art/a.pth", {}, {}),
        ("http://hub.example/art/a.pth", {}, {}),
        ("https://models.example/hub.example/a.pth", {}, {}),
        ("a.pth", {}, {}),
    ],
)
def test_token_of_the_hub_is_for_its_host_only(
    source: str, given: dict[str, str], sent: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example")
    monkeypatch.setenv("HF_TOKEN", TOKEN)

    assert model(source, headers=given).headers == sent


async def test_model_with_terms_names_its_page_and_the_variable(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", fetching.server.url)
    fetching.server.files["/art/one/resolve/main/a.safetensors"] = Served(token=TOKEN)

    told = await fetching.refused(model("hf:art/one/a.safetensors"))

    page = f"{fetching.server.url}/art/one"
    assert told.endswith(f"401 Unauthorized; accept its terms at {page} and set HF_TOKEN")


@pytest.mark.parametrize("reference", ["hf:one/a.safetensors", "hf:", "hf:art/one@/a.pth"])
def test_reference_that_is_none_is_refused(reference: str) -> None:
    with pytest.raises(CommandError, match="must look like hf:OWNER/NAME/FILE"):
        model(reference)
