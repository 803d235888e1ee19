"""Which addresses that strangers name may be connected to. Pure: nothing is resolved here.

What is not public follows the special-purpose registries of IANA for IPv4 and IPv6, read
strictly: an IPv6 form that carries an IPv4 address is refused as such, except that of NAT64,
which DNS64 gives for ordinary names and which is judged by the address inside.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
)
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

USUAL_PORTS: Final = frozenset({80, 443})
LOOPBACK: Final = ("127.0.0.0/8", "::1/128")

# The first match counts, so a part comes before the whole.
_KINDS: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(network), kind)
    for kind, networks in (
        ("unspecified", ("0.0.0.0/8", "::/128")),
        ("loopback", LOOPBACK),
        ("cloud metadata", ("169.254.169.254/32", "169.254.170.0/24", "fd00:ec2::/32")),
        ("cloud metadata", ("168.63.129.16/32", "100.100.100.200/32")),
        ("link-local", ("169.254.0.0/16", "fe80::/10")),
        ("private", ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")),
        ("private", ("fec0::/10",)),  # site-local, as it was called
        ("shared", ("100.64.0.0/10",)),  # carrier-grade NAT
        ("multicast", ("224.0.0.0/4", "ff00::/8")),
        ("IPv4 in IPv6", ("::ffff:0:0/96", "::ffff:0:0:0/96", "::/96", "64:ff9b:1::/48")),
        ("IPv4 in IPv6", ("2002::/16", "2001::/32")),  # 6to4 and Teredo
        ("documentation", ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")),
        ("documentation", ("2001:db8::/32", "3fff::/20")),
        ("reserved", ("192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4")),
        ("reserved", ("2001::/23",)),
    )
    for network in networks
)
_GLOBAL_IPV6: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")

# A name that the operator lists may lead to these, and to nothing stranger.
_BY_NAME: Final = frozenset({None, "loopback", "private", "shared"})
_HOST_NAME: Final = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")


def special_kind(address: Address) -> str | None:
    """What kind of address it is if it is not public; None for a public one."""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return "link-local"
        if address in _NAT64:
            return special_kind(IPv4Address(int(address) & 0xFFFFFFFF))
    for network, kind in _KINDS:
        if address in network:
            return kind
    if isinstance(address, IPv6Address) and address not in _GLOBAL_IPV6:
        return "reserved"
    return None if address.is_global else "reserved"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRules:
    """What the operator allows besides public addresses at usual ports."""

    networks: tuple[Network, ...] = ()
    names: frozenset[str] = frozenset()
    ports: frozenset[int] = USUAL_PORTS

    @classmethod
    def read(
        cls, private_hosts: Iterable[str] = (), ports: Iterable[int] = USUAL_PORTS
    ) -> AddressRules:
        """The rules as set; raises `ValueError` for what is no host name, address or CIDR."""
        networks, names = [], set()
        for text in private_hosts:
            try:
                networks.append(ip_network(text))
            except ValueError:
                names.add(_host_name(text))
        return cls(networks=tuple(networks), names=frozenset(names), ports=frozenset(ports))

    def complaint(self, host: str, port: int, addresses: Iterable[Address]) -> str | None:
        """Why a host must not be connected to; None if all its addresses are allowed.

        One bad address refuses the host: which of them is used would be left to chance, and a
        name with public and private addresses is no accident on the public internet.
        """
        for address in addresses:
            if not self._is_listed(host, address):
                kind = special_kind(address)
                if kind is not None:
                    return f"the host has an address that is not public ({kind})"
                if port not in self.ports:
                    return f"port {port} is not one that is allowed"
        return None

    def _is_listed(self, host: str, address: Address) -> bool:
        if any(address in network for network in self.networks):
            return True
        return _bare(host) in self.names and special_kind(address) in _BY_NAME


def _bare(host: str) -> str:
    return host.lower().removesuffix(".")


def _host_name(text: str) -> str:
    name = _bare(text)
    # What looks like a number is a mistyped network, which must not become a name.
    if not _HOST_NAME.fullmatch(name) or name.replace(".", "").isdigit():
        raise ValueError("must be host names, addresses or CIDRs")
    return name
