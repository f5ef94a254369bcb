"""What `quic=` of a Context takes: the transport parameters we announce, and bounds on what a peer may make us hold.

Here because the context needs it, which lies below everything that speaks QUIC. The names are the RFCs' where they have
one. Nothing here is sent or counted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from os import PathLike
from typing import Any, Final

from caesura.crypto.quic import ResetKey
from caesura.crypto.tickets import TicketKeys
from caesura.errors import ConfigError
from caesura.wire.registries import Version

QlogSink = Callable[[str], Callable[[str], object]]
"""Takes a connection's name, gives what takes its records: whole, with separators."""

_VARINT: Final = 2**62 - 1
_PORTS: Final = 2**16
_SPOKEN: Final = frozenset({Version.QUIC1, Version.QUIC2})
_KINDS: Final[dict[str, type]] = {
    "token_keys": TicketKeys,
    "reset_key": ResetKey,
}  # of what is neither number nor switch


def _whole(default: int, low: int, high: int = _VARINT) -> int:
    """A field: a whole number between these bounds."""
    found: int = field(default=default, metadata={"low": low, "high": high, "whole": True})
    return found


def _number(default: float, low: float, high: float) -> float:
    """A field: a number between these bounds."""
    found: float = field(default=default, metadata={"low": low, "high": high})
    return found


def _one_of(*names: str) -> str:
    """A field: one of these names, the first of them if nothing is said."""
    found: str = field(default=names[0], metadata={"names": names})
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class QUICSettings:
    """Seconds and bytes. Each bound is checked when it is given: ConfigError names the one that is out of range.

    First what is announced to the peer (RFC 9000 section 18.2), then how we behave, then the bounds. Beyond one of
    those something is dropped, or the connection ends with the code its comment names.
    """

    # announced
    max_idle_timeout: float = _number(30.0, 0, 86_400.0)  # 0: none
    max_udp_payload_size: int = _whole(65_527, 1200, 65_527)  # that we take
    initial_max_data: int = _whole(1_048_576, 0)
    initial_max_stream_data_bidi_local: int = _whole(262_144, 0)
    initial_max_stream_data_bidi_remote: int = _whole(262_144, 0)
    initial_max_stream_data_uni: int = _whole(262_144, 0)
    initial_max_streams_bidi: int = _whole(100, 0, 2**60)
    initial_max_streams_uni: int = _whole(100, 0, 2**60)
    ack_delay_exponent: int = _whole(3, 0, 20)
    max_ack_delay: float = _number(0.025, 0, 16.383)
    active_connection_id_limit: int = _whole(4, 2, 64)  # CONNECTION_ID_LIMIT_ERROR
    max_datagram_frame_size: int = _whole(0, 0, 65_535)  # RFC 9221; 0: no DATAGRAM frames
    disable_active_migration: bool = False
    grease_quic_bit: bool = True  # RFC 9287

    # how we behave
    versions: tuple[Version, ...] = (Version.QUIC1, Version.QUIC2)  # that are spoken, the preferred one first
    connection_id_length: int = _whole(8, 0, 20)  # of the ids we want to receive
    keep_alive: bool | None = None  # send something half-way to the idle timeout (section 10.1.2); None: SSL alone does
    retry: bool = False  # a server has clients prove their address before it keeps anything of them
    new_token: bool = True  # a server gives clients a token for the next time (section 8.1.3)
    token_keys: TicketKeys = field(default_factory=TicketKeys, repr=False)
    retry_lifetime: float = _number(15.0, 0.1, 600.0)
    token_lifetime: float = _number(86_400.0, 1.0, 604_800.0)  # of a token for the next time
    reset_key: ResetKey = field(default_factory=ResetKey, repr=False)
    mtu: int = _whole(1472, 1200, 65_527)  # bytes of payload that are tried at most (RFC 8899)
    key_update_packets: int = _whole(2**22, 1, 2**23)  # sealed with one key, before the next one (RFC 9001 section 6.6)
    initial_rtt: float = _number(0.333, 0.001, 10.0)  # RFC 9002 section 6.2.2
    max_data_window: int = _whole(16_777_216, 0)  # bytes to which the windows grow that were announced …
    max_stream_data_window: int = _whole(8_388_608, 0)  # … with initial_max_data and _stream_data, when they hold back
    congestion: str = _one_of("cubic", "newreno")  # RFC 9002 section 7, RFC 9438
    preferred_address: tuple[tuple[str, int], ...] = ()  # of a server: one IPv4 and one IPv6 at most (section 9.6)
    spin_bit: bool = True  # one bit of each packet shows the round-trip time to the network (section 17.4)
    ecn: bool = True  # what is sent is marked ECT(0), as long as the path lets that through (section 13.4)
    thread_assisted: bool = False  # a thread keeps connections of `caesura.SSL` alive between calls; see `assist`

    qlog: QlogSink | str | PathLike[str] | None = None  # a log of each connection: where to, or a directory

    # bounds
    issued_connection_ids: int = _whole(4096, 2)  # of ours, over one connection; then there are no new ones
    paths: int = _whole(4, 1, 64)  # besides the active one; the oldest is given up for another
    path_responses: int = _whole(4, 1, 64)  # that wait to be sent on one path; the latest are
    used_tokens: int = _whole(65_536, 1)  # that are remembered, so that they are used once
    token_length: int = _whole(1024, 0, 1024)  # bytes of one that a client takes: a longer one leaves its hello no room
    max_amplification: int = _whole(3, 1, 3)  # times what came from an address that has proved nothing (section 8)
    crypto_buffer: int = _whole(65_536, 4096, 2**24)  # per level, ahead of its turn: CRYPTO_BUFFER_EXCEEDED
    undecryptable_packets: int = _whole(16, 0, 1024)  # whose keys are not there yet; the rest is dropped
    datagram_queue: int = _whole(256, 1, 2**20)  # DATAGRAM frames that wait, in each direction
    ack_ranges: int = _whole(64, 2, 1024)  # of packet numbers that have come; what lies below is taken for known
    stream_write_buffer: int = _whole(524_288, 1)  # bytes that an SSL's stream has yet to send before a write waits
    stream_pieces: int = _whole(1024, 16, 2**20)  # small ones ahead of their turn, in all streams: INTERNAL_ERROR

    def __post_init__(self) -> None:
        for each in fields(self):
            wanted = _wanted(each.name, getattr(self, each.name), each.metadata)
            if wanted:
                raise ConfigError(f"quic.{each.name}: expected {wanted}")
        if self.preferred_address and not self.connection_id_length:
            raise ConfigError("quic.preferred_address: needs connection ids (connection_id_length)")
        if self.thread_assisted and callable(self.qlog):
            raise ConfigError("quic.qlog: a directory, as the thread of thread_assisted calls no function")

    def qlog_writer(self, name: str) -> Callable[[str], object] | None:
        """What takes the records of one connection's log; None when there is none. `name` tells it from others."""
        if self.qlog is None:
            return None
        if callable(self.qlog):
            return self.qlog(name)
        path = os.path.join(self.qlog, f"{name}.sqlog")

        def append(record: str) -> None:
            with open(path, "a", encoding="ascii") as stream:
                stream.write(record)

        return append


def _wanted(name: str, value: object, metadata: Mapping[str, Any]) -> str:
    """What should stand there instead of this value; nothing if it is good."""
    if name == "versions":
        good = type(value) is tuple and value and set(value) <= _SPOKEN and len(set(value)) == len(value)
        return "" if good else "a tuple of QUIC1 and QUIC2, each once"
    if name == "preferred_address":
        return "" if _reachable(value) else "a tuple of (address, port), at most one for IPv4 and one for IPv6"
    if name == "qlog":
        good = value is None or callable(value) or _writable(value)
        return "" if good else f"a directory to write to, or a function, not {value!r}"
    if "names" in metadata:
        return "" if value in metadata["names"] else f"one of {', '.join(metadata['names'])}"
    if value is None and name == "keep_alive":
        return ""
    if "low" not in metadata:
        kind = _KINDS.get(name, bool)
        return "" if isinstance(value, kind) else f"{kind.__name__}, not {type(value).__name__}"
    low, high, whole = metadata["low"], metadata["high"], "whole" in metadata
    kinds = int if whole else int | float
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        return f"a {'whole number' if whole else 'number'} from {low:g} to {high:g}"
    return ""


def _reachable(value: object) -> bool:
    """Whether these are addresses, none of them like another."""
    if type(value) is not tuple:
        return False
    try:
        versions = [ip_address(host).version for host, port in value if type(port) is int and 0 < port < _PORTS]
    except (TypeError, ValueError):
        return False
    return len(versions) == len(value) == len(set(versions))


def _writable(path: object) -> bool:
    return isinstance(path, str | PathLike) and os.path.isdir(path) and os.access(path, os.W_OK)
