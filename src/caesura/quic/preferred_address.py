"""Where a server would rather be reached once the handshake is over (RFC 9000 sections 9.6 and 18.2).

It says so in its transport parameters, with a connection id to be written there. A client that can send to other
addresses finds out whether the server is there, by path validation, and goes on there if it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from caesura.quic.path import Address
from caesura.quic.transport_parameters import PreferredAddress

_IPV4, _IPV6 = 4, 16  # bytes of an address
_INET, _INET6 = 2, 4  # items of the addresses that the socket module gives


def announce(addresses: Iterable[tuple[str, int]], connection_id: bytes, reset_token: bytes) -> PreferredAddress:
    """The parameter for these addresses, at most one of each family."""
    found = PreferredAddress(bytes(_IPV4), 0, bytes(_IPV6), 0, connection_id, reset_token)
    for host, port in addresses:
        packed = ip_address(host).packed
        if len(packed) == _IPV4:
            found.ipv4_address, found.ipv4_port = packed, port
        else:
            found.ipv6_address, found.ipv6_port = packed, port
    return found


def choose(preferred: PreferredAddress, present: Address) -> Address | None:
    """The preferred address of the same family as the present one; None if there is none, or it is the same.

    Addresses are those of the socket module: of other objects nothing is known.
    """
    shape = len(present) if isinstance(present, tuple) else 0
    if shape == _INET and preferred.ipv4_port:
        found: Address = (str(ip_address(preferred.ipv4_address)), preferred.ipv4_port)
    elif shape == _INET6 and preferred.ipv6_port:
        found = (str(ip_address(preferred.ipv6_address)), preferred.ipv6_port, 0, 0)
    else:
        return None
    return None if found == present else found
