"""Addresses for processes that are told where to listen before they start."""

from __future__ import annotations

import socket
import sys
from typing import Final

HOST: Final = "127.0.0.1"


def address(host: str, port: int) -> str:
    """Host:port as URLs and gRPC want it: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def free_port() -> int:
    """A port of the loopback address that nobody else is given while this process lives.

    A port that was only looked up can be taken before its server starts, or while it is started
    again: by another process that looks for one, or by the kernel for an outgoing connection.
    So on Linux the port stays bound here, without listening: a server that sets SO_REUSEADDR,
    as servers do, can listen on it, and the kernel gives it to nobody else. Elsewhere it is
    free when it is given, no more.
    """
    holder = socket.socket()
    holder.bind((HOST, 0))
    port: int = holder.getsockname()[1]
    if sys.platform == "linux":
        # After bind: before it, it would also let in a port that another process holds.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.detach()  # kept until the process ends
    else:
        holder.close()
    return port
