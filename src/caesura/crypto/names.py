"""Names of servers: host names and IP addresses in canonical form, and which of a certificate's names answer to them.

Proving a peer's name is `trust`'s affair, which leaves it to the path validator. The matching here serves to choose
one of our own identities, and the few host names the validator cannot take.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from caesura.errors import ConfigError

_LABELS: Final = re.compile(
    r"(?!.{254})(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
)


Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class ServerName:
    """A server's name. `text` is its canonical form: a host name in lower-case A-labels, or an address."""

    text: str
    address: Address | None = None

    @property
    def sni(self) -> str | None:
        """What goes into the server_name extension: addresses do not (RFC 6066 section 3)."""
        return None if self.address else self.text


@lru_cache(maxsize=1024)
def server_name(name: str) -> ServerName:
    """The canonical form of a host name or address as people write it; ConfigError if it is neither.

    A final dot is dropped, as is the zone of an IPv6 address; other alphabets become A-labels (IDNA 2003, as in `ssl`).
    """
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
        return ServerName(str(address), address)
    except ValueError:
        pass
    try:
        text = (name if name.isascii() else name.encode("idna").decode("ascii")).lower().removesuffix(".")
    except UnicodeError:
        text = ""
    # A last label of digits would be an address to some readers and a name to others (WHATWG URL, section 3.5).
    if not _LABELS.fullmatch(text) or text.rpartition(".")[2].isdigit():
        raise ConfigError(f"server_hostname: {name!r} is neither a host name nor an IP address")
    return ServerName(text)


def matches(host_name: str, presented: Iterable[str]) -> bool:
    """Whether one of a certificate's host names answers to a host name in canonical form (RFC 9525 section 6.3).

    A wildcard stands for exactly one whole label, the first, above at least two others.
    """
    _, _, parent = host_name.partition(".")
    wildcard = f"*.{parent}" if "." in parent else None
    return any(each.lower().removesuffix(".") in (host_name, wildcard) for each in presented)
