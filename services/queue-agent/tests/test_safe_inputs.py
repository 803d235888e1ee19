"""Every row of docs/safe-inputs.md, asked of the real fetcher, and what holds for all URLs."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import example, given, settings
from hypothesis import strategies as st
from input_servers import FakeResolver, fetch

from egress.addresses import Address, AddressRules, special_kind
from egress.urls import RefusedUrlError, checked, literal_address, redirected
from queue_agent.domain import InputUnavailableError
from queue_agent.settings import Settings

PAGE = Path("docs/safe-inputs.md")
_CODE = re.compile(r"`([^`]*)`")


def rows(heading: str) -> list[tuple[str, ...]]:
    """The cells of the table under a heading of the page."""
    section = PAGE.read_text().split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[2:]]


def written(cell: str) -> str:
    """What a cell shows as code, with its escapes read."""
    text = "".join(_CODE.findall(cell))
    return text.encode().decode("unicode_escape") if "\\" in text else text


REFUSED = rows("What is refused")
REDIRECTS = rows("Redirects that are not followed")
ALLOWING = rows("How to allow more")


def test_page_has_many_examples() -> None:
    assert len(REFUSED) >= 40
    assert len(REDIRECTS) >= 10


@pytest.mark.parametrize(("url", "leads_to", "told"), REFUSED, ids=[row[0] for row in REFUSED])
async def test_refused_url_is_told_with_its_reason_and_never_reached(
    url: str, leads_to: str, told: str
) -> None:
    resolver = FakeResolver(answers=[_CODE.findall(leads_to)])

    with pytest.raises(InputUnavailableError) as caught:
        await fetch(written(url), AddressRules(), resolver)

    assert told in str(caught.value)
    assert "secret" not in str(caught.value)
    assert not set(_CODE.findall(leads_to)) & set(str(caught.value).split())


@pytest.mark.parametrize(("location", "told"), REDIRECTS, ids=[row[0] for row in REDIRECTS])
async def test_redirect_is_checked_like_a_first_url(location: str, told: str) -> None:
    async def redirect(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": written(location)})

    app = web.Application()
    app.router.add_get("/itself", redirect)
    rules = AddressRules.read(["127.0.0.1/32"])
    async with TestServer(app, host="127.0.0.1") as server:
        with pytest.raises(InputUnavailableError) as caught:
            await fetch(str(server.make_url("/itself")), rules)

    assert told in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("/my photo.png?a= b#c d", "http://a.example/my%20photo.png?a=%20b#c%20d"),
        ("/\u00e4%20%2F", "http://a.example/%C3%A4%20%2F"),
        ("/\udce4", "http://a.example/%E4"),  # a byte that is no UTF-8
        (" //b.example/\u00e4 ", "http://b.example/%C3%A4"),
        ("https://b.example?a b", "https://b.example/?a%20b"),
    ],
)
def test_redirect_is_encoded_as_browsers_do(location: str, leads_to: str) -> None:
    assert str(redirected(checked("http://a.example/"), location)) == leads_to


def test_redirect_from_https_to_http_is_not_followed() -> None:
    start = checked("https://public.example/a?sig=1")

    with pytest.raises(RefusedUrlError, match="from https to http"):
        redirected(start, "http://public.example/a")
    assert str(redirected(start, "/b?sig=a%2Fb")) == "https://public.example/b?sig=a%2Fb"
    assert redirected(checked("http://a.example/"), "https://b.example/").host == "b.example"


@pytest.mark.parametrize("row", ALLOWING, ids=[row[0] for row in ALLOWING])
def test_page_names_every_setting_with_its_default(row: tuple[str, ...]) -> None:
    name = written(row[0]).removeprefix("QUEUE_AGENT_").lower()
    default = Settings.model_fields[name].get_default()
    text = written(row[1])

    assert text in {str(list(default)) if isinstance(default, tuple) else str(default), "PT30S"}


def test_page_leaves_no_setting_of_inputs_out() -> None:
    named = {written(row[0]).removeprefix("QUEUE_AGENT_").lower() for row in ALLOWING}

    assert named == {name for name in Settings.model_fields if name.startswith("input_")}


PIECES = st.one_of(
    st.sampled_from(
        [
            *("http://", "https://", "HTTP://", "//", "/", "?", "#", "@", ":", "\\", "%", "."),
            *("localhost", "127.0.0.1", "0x7f.1", "2130706433", "[::1]", "[", "]", "::", "a"),
            *("example.com", "①", "。", "\t", "\n", "\x00", "\udcff", "ß", ":80", ":0", "xn--"),
        ]
    ),
    st.text(max_size=4),
)


@settings(max_examples=2000, deadline=None)
@given(st.lists(PIECES, max_size=8).map(lambda parts: "http://" + "".join(parts)))
@example("http://a@b@c/")
@example("http://[::ffff:127.0.0.1]:80")
def test_url_that_is_let_through_means_one_thing(text: str) -> None:
    try:
        url = checked(text)
    except RefusedUrlError:
        return
    assert url.scheme in {"http", "https"}
    assert url.raw_user is None
    assert url.raw_password is None
    assert 0 < (url.port or 0) <= 65535
    host = url.raw_host or ""
    if literal_address(url) is None:
        assert re.fullmatch(r"[A-Za-z0-9_.-]{1,254}", host)
        # No resolver may read it as a number: the system's own parser does not.
        with pytest.raises(OSError, match="illegal IP address"):
            socket.inet_aton(host)
    if text.isascii():
        assert url.raw_query_string in text


def _addresses() -> st.SearchStrategy[Address]:
    special = [
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3"),
        *("::/8", "100::/64", "2001::/23", "2002::/16", "fc00::/7", "fe80::/9", "ff00::/8"),
        *("64:ff9b::/96", "2001:db8::/32", "::ffff:0:0/96"),
    ]
    inside = [st.ip_addresses(network=network) for network in special]
    return st.one_of(st.ip_addresses(), *inside)


_NAT64 = ip_network("64:ff9b::/96")


@settings(max_examples=2000, deadline=None)
@given(_addresses())
def test_no_address_that_is_not_global_is_let_through(address: Address) -> None:
    complaint = AddressRules().complaint("a.example", 80, [address])

    if address in _NAT64:
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
        assert (complaint is None) == (special_kind(inner) is None)
    elif complaint is None:
        assert address.is_global
        assert not address.is_multicast
        assert not (isinstance(address, IPv6Address) and address.ipv4_mapped)


@settings(max_examples=2000, deadline=None)
@given(st.lists(_addresses(), min_size=1, max_size=4))
def test_one_bad_address_refuses_the_host(addresses: list[Address]) -> None:
    complaint = AddressRules().complaint("a.example", 443, addresses)

    assert (complaint is None) == all(special_kind(one) is None for one in addresses)


def _judged(rules: AddressRules) -> Iterator[tuple[str, bool]]:
    for host, address in (
        ("minio.internal", "10.0.0.1"),
        ("MINIO.internal.", "127.0.0.1"),
        ("minio.internal", "169.254.169.254"),
        ("other.internal", "10.0.0.1"),
        ("other.internal", "10.1.2.3"),
        ("other.internal", "::ffff:10.1.2.3"),
    ):
        allowed = rules.complaint(host, 9000, [ip_address(address)]) is None
        yield f"{host} {address}", allowed


def test_listed_hosts_and_networks_are_allowed_at_any_port_and_nothing_beside_them() -> None:
    rules = AddressRules.read(["minio.internal", "10.1.0.0/16"])

    assert [name for name, allowed in _judged(rules) if allowed] == [
        "minio.internal 10.0.0.1",
        "MINIO.internal. 127.0.0.1",
        "other.internal 10.1.2.3",
    ]


@pytest.mark.parametrize("text", ["10.0.0.0/33", "10.0.0.1/8", "http://a", "", "1.2.3", "*.a"])
def test_what_is_neither_host_nor_network_is_refused_as_a_setting(text: str) -> None:
    with pytest.raises(ValueError, match="must be host names"):
        AddressRules.read([text])
