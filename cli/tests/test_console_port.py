"""Where `darkroom up` serves its pages."""

from __future__ import annotations

import socket

from darkroom_cli.embedded.stack import port_of_console
from servicekit.listen import HOST, free_port


def test_port_that_is_wanted_is_taken_if_it_is_free() -> None:
    wanted = free_port()

    assert port_of_console(wanted) == wanted


def test_port_that_is_in_use_is_replaced() -> None:
    with socket.create_server((HOST, 0)) as other:
        wanted = other.getsockname()[1]

        assert port_of_console(wanted) not in {0, wanted}


def test_any_port_will_do() -> None:
    assert port_of_console(0) > 0
