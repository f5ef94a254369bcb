"""Taking datagrams apart: which packets are in them, and which of those are the peer's (RFC 9000 sections 5.2, 12.2).

A packet that is not ours, of another version, malformed, or that does not open is dropped, and the next one in its
datagram is looked at. One whose keys are not there yet is kept, so many of them, and read when they are. Hot: once per
packet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from caesura.errors import AEADLimitReached
from caesura.handshake.performer import Working
from caesura.quic.connection_ids import LocalConnectionIds
from caesura.quic.key_update import KeyPhases, Numbered
from caesura.quic.levels import APPLICATION_SPACE, HANDSHAKE, INITIAL, ONE_RTT, SPACES, ZERO_RTT
from caesura.quic.packets import FIXED_BIT, LONG_HEADER, LongHeader, read_long
from caesura.quic.path import Address
from caesura.quic.protection import InitialKeys, ReadKey
from caesura.quic.qlog import Qlog
from caesura.quic.space import PacketSpace
from caesura.quic.versions import RETRY

Opened = tuple[PacketSpace, int, bytes, LongHeader | None, bytes]
"""Its space, its number, its frames, its header if that is long, and the id that it was sent to."""

Kept = tuple[bytes, Address, int]
"""A packet for later: its bytes, where it came from, its ECN marks."""


class Receiver(Working):
    """Opens the packets of one connection.

    `initial` are the keys of Initial packets, of any version while it is being agreed on; `version` is that of
    Handshake packets. `early` opens 0-RTT packets, which may come while they are `early_expected`, `phases` 1-RTT
    packets. `original` is where a client's first packets went; `source` the Source Connection ID that the peer has
    chosen, None before that. `fixed_bit`: whether it has to be set (RFC 9287). `kept` counts the packets that were
    kept, each once.
    """

    __slots__ = (
        "_again",
        "_failures",
        "_ids",
        "_kept",
        "_limit",
        "_spaces",
        "early",
        "early_expected",
        "fixed_bit",
        "initial",
        "kept",
        "original",
        "phases",
        "qlog",
        "source",
        "version",
    )

    def __init__(
        self,
        spaces: tuple[PacketSpace, PacketSpace, PacketSpace],
        ids: LocalConnectionIds,
        limit: int,
        *,
        fixed_bit: bool,
    ) -> None:
        self._spaces = spaces
        self._ids = ids
        self._limit = limit
        self._kept: list[Kept] = []
        self._again = False  # what is read was kept before
        self.kept = 0
        self.qlog: Qlog | None = None
        self._failures = 0
        self.initial: InitialKeys | None = None
        self.version = 0
        self.phases: KeyPhases | None = None
        self.original = b""
        self.source: bytes | None = None
        self.fixed_bit = fixed_bit
        self.early: ReadKey | None = None
        self.early_expected = False
        self._ongoing = None  # packets are opened at once

    def packets(self, datagram: bytes, address: Address, now: float, ecn: int) -> Iterator[Opened]:
        """The packets of a datagram that open, one after the other: what one says may bring the next one's keys.

        Raises what a genuine packet deserves, and AEADLimitReached when too many were none (RFC 9001 section 6.6).
        """
        pos, size = 0, len(datagram)
        while pos < size:
            if not datagram[pos] & LONG_HEADER:
                opened = self.open_short(datagram[pos:], address, now, ecn)
                if opened is not None:
                    yield opened
                return
            header = read_long(datagram, pos)
            if header is None:
                return
            opened = self._long(datagram, header, address, now, ecn)
            if opened is not None:
                yield opened
            pos = header.stop

    def take_kept(self) -> Iterator[Kept]:
        """What was kept and may open now, to be read again; it is kept no more, unless it does not open."""
        kept, self._kept = self._kept, []
        before, self._again = self._again, True
        try:
            yield from kept
        finally:
            self._again = before

    def close(self) -> None:
        """Forget keys and packets."""
        self._kept.clear()
        self.initial = self.phases = self.early = None

    # --- one packet -----------------------------------------------------------------------------------------------

    def open_short(self, packet: bytes, address: Address, now: float, ecn: int) -> Opened | None:
        """A packet with a short header, which is a whole datagram or the last part of one; None if it does not open."""
        if self.fixed_bit and not packet[0] & FIXED_BIT:
            return None
        number_at = 1 + self._ids.length
        used = packet[1:number_at]
        if used not in self._ids.ids.values():
            return None
        space, phases = self._spaces[APPLICATION_SPACE], self.phases
        if phases is None:
            self._keep(ONE_RTT, packet, address, now, ecn)
            return None
        opened = phases.open_untrusted(packet, number_at, space.acks.largest, now)
        if opened is None:
            self._failed(phases.integrity_limit)
            return None
        return space, opened[0], opened[1], None, used

    def open_bulk(self, datagrams: Sequence[bytes], used: bytes, now: float) -> list[Numbered | None] | None:
        """Many 1-RTT packets to the id `used`, each None that does not open; None when they are not all such."""
        phases, stop = self.phases, 1 + len(used)
        if phases is None or used not in self._ids.ids.values():
            return None
        bits, wanted = (LONG_HEADER | FIXED_BIT, FIXED_BIT) if self.fixed_bit else (LONG_HEADER, 0)
        for datagram in datagrams:
            if datagram[1:stop] != used or not datagram or datagram[0] & bits != wanted:
                return None
        found = phases.open_bulk(datagrams, used, self._spaces[APPLICATION_SPACE].acks.largest, now)
        for opened in found:
            if opened is None:
                self._failed(phases.integrity_limit)
        return found

    def _long(self, datagram: bytes, header: LongHeader, address: Address, now: float, ecn: int) -> Opened | None:
        kind, version = header.kind, int(header.parameters.version)
        if kind == RETRY or not self._is_ours(datagram, header):
            return None
        space = self._spaces[SPACES[kind]]
        if space.discarded or (kind == HANDSHAKE and version != self.version):
            return None
        if kind == INITIAL:
            key = None if self.initial is None else self.initial.read(version)
        else:
            key = space.read if kind == HANDSHAKE else self.early
        if key is None:
            if kind == HANDSHAKE or (kind == ZERO_RTT and self.early_expected):
                self._keep(kind, datagram[header.start : header.stop], address, now, ecn)
            return None
        opened = key.open_untrusted(datagram, header.start, header.number_at, header.stop, space.acks.largest)
        if opened is None:
            self._failed(key.integrity_limit)
            return None
        return space, opened[0], opened[1], header, header.destination

    def _is_ours(self, datagram: bytes, header: LongHeader) -> bool:
        if self.fixed_bit and not datagram[header.start] & FIXED_BIT:
            return False
        if self.source is not None and header.source != self.source:  # RFC 9000 section 7.2
            return False
        if header.token and not self.original:  # a server's packet (RFC 9000 section 17.2.2)
            return False
        if header.destination == self._ids.first:
            return True
        return header.kind in (INITIAL, ZERO_RTT) and header.destination == self.original != b""

    def _keep(self, level: int, packet: bytes, address: Address, now: float, ecn: int) -> None:
        if len(self._kept) >= self._limit:
            return
        self._kept.append((packet, address, ecn))
        if not self._again:
            self.kept += 1
            if self.qlog is not None:
                self.qlog.packet_buffered(level, len(packet), now)

    def _failed(self, limit: int) -> None:
        self._failures += 1
        if self._failures > limit:
            raise AEADLimitReached("more packets failed to open than may", section="RFC 9001 section 6.6")
