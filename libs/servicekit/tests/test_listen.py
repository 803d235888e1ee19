from __future__ import annotations

import socket

import pytest

from servicekit.listen import HOST, address, free_port


def listening(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    listener.listen()
    return listener


def test_no_two_callers_are_given_the_same_port() -> None:
    ports = [free_port() for _ in range(100)]

    assert len(set(ports)) == len(ports)


def test_a_server_can_listen_on_the_port_again_and_again() -> None:
    port = free_port()

    for _ in range(3):
        with listening(port), socket.create_connection((HOST, port), timeout=60) as client:
            assert client.getpeername() == (HOST, port)


def test_nobody_else_finds_the_port_free_between_two_starts_of_its_server() -> None:
    port = free_port()
    listening(port).close()

    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((HOST, port))


def test_nobody_listens_on_the_port_until_its_server_does() -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, free_port()), timeout=60)


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1:80"), ("name", "name:80"), ("::1", "[::1]:80")]
)
def test_address_of_ipv6_is_in_brackets(host: str, shown: str) -> None:
    assert address(host, 80) == shown
