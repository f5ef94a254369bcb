"""The QUIC connection: datagrams in, datagrams out, events. No sockets, no clock of its own (RFC 9000, 9001, 9002).

It is a switchboard over its `parts`. The receiver opens packets; each of their frames goes to its owner
(`frame_handling`): streams, loss detection, paths, connection ids, the handshake, which sees all this as its
`message_transport`. The sender asks the same owners what there is to send. What the application asks for is in
`application`. An exception that ends the connection becomes a CONNECTION_CLOSE in one place, `_fail`.

What nobody has authenticated is not believed: what does not open is dropped, and so is every packet before the
handshake that is not what the peer would send. While work of the handshake is paused all of this goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from caesura.context import QUIC_EARLY_DATA
from caesura.errors import AlertDescription, Error, NoViablePath, ProtocolViolation, StatelessReset
from caesura.errors import IdleTimeout as IdleTimeoutError
from caesura.events import EarlyDataReason
from caesura.handshake.endpoint import Part
from caesura.quic import stateless_reset
from caesura.quic.application import Application
from caesura.quic.closing import close_for
from caesura.quic.early_data import remember
from caesura.quic.frames import ACK_ELICITING, NOT_PROBING, dispatch_untrusted
from caesura.quic.handshake import PROFILES
from caesura.quic.levels import APPLICATION_SPACE, HANDSHAKE, INITIAL, INITIAL_SPACE, ONE_RTT
from caesura.quic.outbox import LastingFrame
from caesura.quic.packets import (
    LONG_HEADER,
    MIN_DESTINATION_LENGTH,
    MIN_INITIAL_DATAGRAM,
    SPIN_BIT,
    LongHeader,
    read_long,
    read_version_negotiation,
    retry_is_genuine,
)
from caesura.quic.path import Address
from caesura.quic.receiver import Opened
from caesura.quic.sender import Datagram
from caesura.quic.space import PacketSpace
from caesura.quic.streams import is_bulk
from caesura.quic.version_negotiation import choose
from caesura.quic.versions import RETRY, VERSIONS, VersionParameters
from caesura.wire.data import Data
from caesura.wire.extensions import EARLY_DATA_TICKET
from caesura.wire.messages import NewSessionTicket

_PING: Final = b"\x01"
_BLACK_HOLE: Final = 3  # probe timeouts in a row without an answer


class QUICConnection(Application):
    """One QUIC connection without I/O.

    Give it the datagrams that came (`receive_datagram`, with the two ECN bits of their IP header) and send those that
    `datagrams_to_send` returns. After every call that takes `now` (seconds, monotonic), and after writing, send them,
    read `next_event()` until it gives None, and ask `timeout()` anew: when that time has come, call
    `handle_timeout(now)`. What the peer does is never raised: it is in `error`, and the last event says so.

    `addr` is the server's address on a client, and `token` what an earlier connection's `new_token` was: with it the
    server need not ask for the client's address. A server learns its client's from the first datagram. `validated`:
    what a token has proved to whoever makes the connection (a listener); without it a server sends at most
    `quic.max_amplification` times what has come, until the client has proved its address. `on_connection_ids` is told
    all ids that lead here whenever they change. `next_token` makes the token that a client is given for its next
    connection, from the version and the address.

    `roams` says that datagrams of a client can go to, and come from, other addresses than `addr`: it follows its server
    to the one that this prefers (section 9.6). A server says so with `quic.preferred_address`, and what comes there is
    the connection's too, and is answered from there.

    `turn` says whether handshakes go on, or only what the application has no part in: see `turn`. Whoever gives one
    waits for paused work, also within a job.

    `early_data` lets a client open streams before the handshake is complete, if its session permits that (0-RTT): what
    it sends so may be read twice, by anybody's doing. If the server takes none, all these streams are gone, the event
    EarlyDataRejected says so, and whoever calls by their ids gets ZeroRTTRejected: when the handshake is complete the
    first stream is opened anew, by the same id, and it is for the application to say what is sent again. A server takes
    some when `max_early_data` says so.

    Raises ConfigError for settings that cannot make a connection of this role. A connection belongs to one thread at a
    time; calling it from within its own callback is a UsageError, except for `close()`, which then takes effect when
    the callback has returned.
    """

    __slots__ = ()

    # --- driving --------------------------------------------------------------------------------------------------

    def receive_datagram(self, data: Data, addr: Address, now: float, ecn: int = 0) -> None:
        """One datagram, where it came from, and the two ECN bits of its IP header."""
        if self._closed:
            return
        if self._ending is not None:
            self._ending.received(len(data), addr)
            return
        self._take([data if type(data) is bytes else bytes(data)], addr, now, ecn)

    def receive_datagrams(self, datagrams: Sequence[Data], addr: Address, now: float, ecn: int = 0) -> None:
        """Several from one address, as one read of a socket gives them: the same as one by one, and cheaper."""
        if self._closed or self._ending is not None or not self.handshake_confirmed:
            for each in datagrams:
                self.receive_datagram(each, addr, now, ecn)
            return
        self._take(list(map(bytes, datagrams)), addr, now, ecn, perhaps_bulk=True)

    def _take(self, datagrams: list[bytes], addr: Address, now: float, ecn: int, *, perhaps_bulk: bool = False) -> None:
        self._enter()
        try:
            self._now = now
            if not (perhaps_bulk and self._receive_bulk(datagrams, addr, ecn)):
                for datagram in datagrams:
                    self._receive(datagram, addr, ecn)
                    if self._ending is not None:
                        break
            if self._driver is not None or self._post or self._reread or not self._inbox.empty:
                self._go_on(now)
        except BaseException as error:  # noqa: BLE001 - sorted there
            self._stopped_by(error)
        finally:
            self._leave()

    def _receive_bulk(self, datagrams: list[bytes], addr: Address, ecn: int) -> bool:
        """Take datagrams that are all one 1-RTT packet on the path in use; whether they are."""
        path = self._path = self._paths.active
        if addr != path.address or self._qlog is not None:
            return False
        found = self._reader.open_bulk(datagrams, self._used, self._now)
        if found is None:
            return False
        self._to = self._used
        acks, now = self._spaces[APPLICATION_SPACE].acks, self._now
        run: list[bytes] = []  # frames of packets whose numbers follow each other, and which are taken together
        following = acks.following
        for datagram, opened in zip(datagrams, found, strict=True):
            if opened is None:
                self._unopened(datagram)
                continue
            number, payload = opened
            path.received += len(datagram)
            if number == following and is_bulk(payload):
                run.append(payload)
                following += 1
                continue
            if run:
                self._take_run(run, ecn)
                run = []
            if acks.seen(number):
                continue
            flags = dispatch_untrusted(payload, ONE_RTT, self._permitted[ONE_RTT], self)
            acks.received(number, flags & ACK_ELICITING != 0, now, ecn)
            if self._ending is not None:
                return True
            following = acks.following
        if run:
            self._take_run(run, ecn)
        if any(found):
            self._idle.received(now)
            last = found[-1]
            if last is not None and last[0] == acks.largest:
                self._spun(datagrams[-1][0])
        return True

    def _spun(self, first: int) -> None:
        """The newest packet's first byte: a server gives its spin bit back, a client turns it (RFC 9000 section 17.4).

        So it changes once in a round trip, for whoever watches.
        """
        if self._spins:
            self._writer.spin = first & SPIN_BIT ^ (0 if self.server_side else SPIN_BIT)

    def _take_run(self, run: list[bytes], ecn: int) -> None:
        self._streams.on_bulk(run)
        self._spaces[APPLICATION_SPACE].acks.received_run(len(run), self._now, ecn)

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """Every datagram that may be sent now, with the address it goes to; handed over once."""
        ending = self._ending
        if ending is not None:
            return [] if self._closed else ending.take()
        if self._closed or not self._begun:
            return []
        needs_job = self.needs_job
        self._enter()
        self.needs_job = needs_job  # sending does not change that
        try:
            self._now = now
            self._update_keys()
            self._writer.fill(now)
            self._sent(now)
        except BaseException as error:  # noqa: BLE001 - sorted there
            self._stopped_by(error)
            return self.datagrams_to_send(now)
        finally:
            self._leave()
        out, self._writer.out = self._writer.out, []
        return out

    def _sent(self, now: float) -> None:
        """What follows from what was sent."""
        writer = self._writer
        if writer.elicited:
            writer.elicited = False
            self._idle.sent(now)
        if writer.handshake_sent and not self.server_side and not self._spaces[INITIAL_SPACE].discarded:
            self._abandon(INITIAL_SPACE)  # RFC 9001 section 4.9.1

    def timeout(self) -> float | None:
        """When `handle_timeout` is due, on the clock of `now`: a timer, or paused work that is overdue. None: never."""
        if self._ending is not None:
            return None if self._closed else self._ending.until
        if self._closed or self.error is not None:
            return None
        found: float | None = None
        for each in self._timers():
            if each is not None and (found is None or each < found):
                found = each
        if self._driver is not None or self._post:  # nothing else can have work under way
            for part in self._parts():
                if part.deadline is not None and (found is None or part.deadline < found):
                    found = part.deadline
        return found

    def handle_timeout(self, now: float) -> None:
        """Serve every timer that has expired, and fail paused work that is overdue. Too early a call does nothing."""
        self._now = now
        if self._ending is not None:
            if self._ending.until <= now:
                self.close()
            return
        needs_job = self.needs_job
        super().handle_timeout(now)
        self.needs_job |= needs_job and self.error is None

    def _timers(self) -> Iterable[float | None]:
        if not self._begun:
            return ()
        phases = self._reader.phases
        return (
            self._loss.timeout(),
            *[each.acks.deadline for each in self._spaces if each.acks.deadline is not None and self._can_send(each)],
            self._idle.deadline(self._probe_timeout()),
            self._keep_alive_at(),
            self._paths.deadline,
            None if phases is None else phases.previous_until,
            self._send_time(),
        )

    def _keep_alive_at(self) -> float | None:
        """When to send something for the connection to stay; None while something waits to be sent anyway."""
        wanted = self.keep_alive and self.handshake_confirmed and not self._outbox
        return self._idle.keep_alive_at() if wanted else None

    def _can_send(self, space: PacketSpace) -> bool:
        """Whether a packet of this space could go out: a timer for what cannot would ring for ever."""
        return space.write is not None and not self._loss.amplification_limited

    def _send_time(self) -> float | None:
        """When pacing lets something go out that waits; None when nothing waits for that."""
        return self._pacer.next_time() if self._writer.held_back else None

    def _serve_timers(self, now: float) -> None:
        idle = self._idle.deadline(self._probe_timeout())
        if idle is not None and idle <= now:
            raise IdleTimeoutError(f"nothing has come for {self._idle.duration:g} s")
        alive = self._keep_alive_at()
        if alive is not None and alive <= now:
            LastingFrame(self._outbox, _PING)
        for _ in range(2):  # losses in one space, and a probe in another
            due = self._loss.timeout()
            if due is None or due > now:
                break
            self._loss.handle_timeout(now)
            if self._loss.pto_count == _BLACK_HOLE:
                self._writer.mtu.black_hole()
                self._datagrams.fit(self._writer.room)
        if not self._paths.expire(now):
            raise NoViablePath("the peer cannot be reached where it seems to be", section="RFC 9000 section 9.3.2")
        self._look_for_new_path()
        if self._reader.phases is not None:
            self._reader.phases.expire(now)

    def advance(self, now: float) -> None:
        """See `Endpoint`; in another turn than the application's it does nothing."""
        if not self.turn.handshakes:
            return
        if self.deserted:
            self._enter()
            try:
                self._drop()
            finally:
                self._leave()
        super().advance(now)

    def close(self) -> None:
        """See `Endpoint`; what could not be unwound in another turn is now."""
        super().close()
        if self.deserted and self.turn.handshakes and not self._busy:
            self._drop()

    def _parts(self) -> list[Part]:
        return super()._parts() if self.turn.handshakes else []

    def _go_on(self, now: float) -> None:
        self._now = now
        if not self.turn.handshakes:
            return
        try:
            self._run_handshake(now)
            while self._post:
                self._post[0].advance(now)
                if not self._post[0].done:
                    break
                self._post.pop(0)
        except BaseException as error:  # noqa: BLE001 - sorted there
            self._stopped_by(error)

    def _run_handshake(self, now: float) -> None:
        driver = self._driver
        if driver is not None:
            driver.advance(now)
            if driver.done:
                self._driver = None
        if self._driver is None and self._established is not None:
            expected = () if self.server_side else (NewSessionTicket,)
            while (message := self._inbox.take(expected)) is not None:  # a KeyUpdate too is unexpected (RFC 9001 6)
                assert isinstance(message, NewSessionTicket)
                if message.extensions.get(EARLY_DATA_TICKET) not in (None, 0, QUIC_EARLY_DATA):
                    raise ProtocolViolation("a ticket with a limit of its own", section="RFC 9001 section 4.6.1")
                if self._parameters is self._chosen:  # else it would lie where those of the other version do
                    assert self._peer is not None
                    self._established.transport_state = remember(self._peer)
                    self._ticket_received(message)
        if self._reread:
            self._reread = False
            for packet, address, ecn in self._reader.take_kept():
                self._packets(packet, address, ecn)

    # --- beginning ------------------------------------------------------------------------------------------------

    def _first_packet(self, header: LongHeader, size: int, addr: Address) -> bool:
        """A server's first packet: whether it may begin a connection (RFC 9000 sections 14.1 and 7.2)."""
        acceptable = header.kind == INITIAL and header.parameters.version in self._settings.quic.versions
        if not acceptable or size < MIN_INITIAL_DATAGRAM or len(header.destination) < MIN_DESTINATION_LENGTH:
            return False
        proved = self._validated
        original = header.destination
        if proved is not None and proved.original_id is not None:
            original = proved.original_id
            self._ids.retry = proved.retry_id
        self._ids.original = original
        self._reader.original = header.destination
        self._reader.early_expected = self._settings.max_early_data > 0
        self._parameters = self._chosen = header.parameters
        self._peer_ids.first.value = header.source
        self._paths.active.address = addr
        self._begin(header.destination)
        return True

    def _forget(self) -> None:
        """What looked like a client's first packet was none: the next one that does may be."""
        self._begun = False
        self._reader.initial = None
        self._paths.active.received = 0

    # --- datagrams in ---------------------------------------------------------------------------------------------

    def _receive(self, datagram: bytes, addr: Address, ecn: int) -> None:
        if not datagram:
            return
        if datagram[0] & LONG_HEADER and self._reader.source is None:
            header = read_long(datagram, 0)
            if header is None or header.kind == RETRY:
                if not self.server_side:
                    self._unprotected(header, datagram)
                return
            if not self._begun and not (self.server_side and self._first_packet(header, len(datagram), addr)):
                return
        if not self._begun or not (self._paths.find(addr) or self._may_move):
            return
        path = self._paths.active
        if datagram[0] & LONG_HEADER and addr == path.address:  # counted here, as a packet that is kept is read again
            path.received += len(datagram)
        kept = self._reader.kept
        if not self._packets(datagram, addr, ecn):
            if self._qlog is not None and self._reader.kept == kept:
                self._qlog.packet_dropped(len(datagram), self._now)
            self._unopened(datagram)

    def _unopened(self, datagram: bytes) -> None:
        """Nothing in it is the peer's, or it cannot be read yet; it may be a reset."""
        if self.server_side and self._reader.source is None:
            self._forget()
        elif self._is_reset(datagram):
            raise StatelessReset

    @property
    def _may_move(self) -> bool:
        """Whether the peer may come from somewhere else: a client, and not before the handshake is confirmed."""
        return self.server_side and self.handshake_confirmed

    def _packets(self, datagram: bytes, addr: Address, ecn: int) -> bool:
        """The packets of a datagram; whether one was opened."""
        if not datagram[0] & LONG_HEADER:  # nearly always, once the handshake is done
            opened = self._reader.open_short(datagram, addr, self._now, ecn)
            if opened is not None:
                self._short_packet(opened, addr, ecn, len(datagram))
                if opened[1] == opened[0].acks.largest:
                    self._spun(datagram[0])
            return opened is not None
        found = False
        for opened in self._reader.packets(datagram, addr, self._now, ecn):
            found = True
            if opened[3] is not None:
                self._long_packet(opened, opened[3], ecn)
            else:
                self._short_packet(opened, addr, ecn, 0)
            if self._ending is not None:
                break
            if not self.handshake_complete and self.turn.handshakes:
                self._run_handshake(self._now)
        return found

    def _short_packet(self, opened: Opened, addr: Address, ecn: int, size: int) -> None:
        """A 1-RTT packet, and what it says of where the peer is (RFC 9000 section 9)."""
        space, number, payload, _, used = opened
        acks, paths = space.acks, self._paths
        if acks.seen(number):
            return
        if self._qlog is not None:
            self._qlog.packet_received(ONE_RTT, number, size or len(payload), payload, self._now)
        newest = number > acks.largest
        path = paths.active if addr == paths.active.address else paths.find(addr)
        if path is None:
            path = paths.add(addr, same_id=used == self._used)
        path.received += size
        if is_bulk(payload):
            self._streams.on_bulk([payload])
            flags = ACK_ELICITING | NOT_PROBING
        else:
            self._path, self._to = path, used
            flags = dispatch_untrusted(payload, ONE_RTT, self._permitted[ONE_RTT], self)
        acks.received(number, flags & ACK_ELICITING != 0, self._now, ecn)
        self._idle.received(self._now)
        if path is paths.active:
            self._used = used
        elif newest and flags & NOT_PROBING and self._may_move:
            paths.migrate(path, self._now, self._probe_timeout())
            self._look_for_new_path()
            self._used = used

    def _long_packet(self, opened: Opened, header: LongHeader, ecn: int) -> None:
        """A packet of the handshake."""
        space, number, payload, _, _ = opened
        if space.acks.seen(number):
            return
        if self._qlog is not None:
            self._qlog.packet_received(header.kind, number, header.stop - header.start, payload, self._now)
        if header.parameters is not self._parameters and not self.server_side:
            if self._version_settled:
                return
            self._version_settled = True
            self._go_on_in(header.parameters)
        if self._reader.source is None:
            self._reader.source = header.source
            self._peer_ids.first.value = header.source
        if header.kind == HANDSHAKE and self.server_side:
            self._paths.active.validated = True  # RFC 9000 section 8.1
            if not self._spaces[INITIAL_SPACE].discarded:
                self._abandon(INITIAL_SPACE)
        flags = dispatch_untrusted(payload, header.kind, self._permitted[header.kind], self)
        space.acks.received(number, flags & ACK_ELICITING != 0, self._now, ecn)
        self._idle.received(self._now)

    def _unprotected(self, header: LongHeader | None, datagram: bytes) -> None:
        """Retry and Version Negotiation: what a server says in the clear to a client that has heard nothing yet."""
        if self._reader.source is not None or self._ids.retry is not None or not self._begun:
            return
        if header is not None:
            self._retry(header, datagram)
            return
        found = read_version_negotiation(datagram)
        if found is None or found[:2] != (self._local_ids.first, self._ids.original) or self._reacted:
            return
        version = choose(int(self._chosen.version), found[2], tuple(map(int, self._settings.quic.versions)))
        if version is not None:
            self._begin_anew(VERSIONS[version])

    def _begin_anew(self, parameters: VersionParameters) -> None:
        """Another attempt, in a version that the server speaks (RFC 9368 section 2.1). No session is offered again."""
        driver = self._driver
        assert driver is not None
        if driver.parked and not self.turn.handshakes:
            return  # what is paused is not ours to unwind; the server says it again
        driver.close()
        if self._early.told(False, EarlyDataReason.SESSION_NOT_RESUMED):
            self._reject_early_data(EarlyDataReason.SESSION_NOT_RESUMED)
        self._reacted = True
        self._begun = False
        self._profile = PROFILES[parameters.version]
        self._set_up(parameters, self._paths.active.address, b"")
        self._driver = self._new_handshake(None)

    def _retry(self, header: LongHeader, datagram: bytes) -> None:
        """Begin again, with the server's token (RFC 9000 section 17.2.5)."""
        if (
            header.parameters is not self._chosen
            or header.destination != self._local_ids.first
            or header.source == self._ids.original
            or not 0 < len(header.token) <= self._settings.quic.token_length
            or not retry_is_genuine(header, datagram, self._ids.original)
        ):
            return
        self._ids.retry = header.source
        self._peer_ids.first.value = header.source
        self._writer.token = header.token
        self._reader.initial = self._initial_keys(header.source)
        self._go_on_in(self._chosen)
        self._loss.requeue(INITIAL_SPACE)
        self._loss.requeue(APPLICATION_SPACE)

    def _is_reset(self, datagram: bytes) -> bool:
        token = stateless_reset.token_of(datagram)
        return token is not None and self._peer_ids.is_reset(token)

    # --- what else may happen -------------------------------------------------------------------------------------

    def _update_keys(self) -> None:
        phases, space = self._reader.phases, self._spaces[APPLICATION_SPACE]
        if phases is None or space.write is None or not self.handshake_confirmed:
            return
        due = self._key_update_wanted or space.write.sealed >= self._settings.quic.key_update_packets
        if due and phases.may_update(space.sent.largest_acked):
            self._key_update_wanted = False
            phases.update()
            if self._qlog is not None:
                self._qlog.key_updated(self.server_side, space.write.generation, self._now)

    # --- the end --------------------------------------------------------------------------------------------------

    def _fail(self, error: Error) -> None:
        """End the connection: the peer is told, if there is anything it could be told."""
        if self._ending is not None:
            return
        self.error = error
        self._end(close_for(error))

    def _send_close_notify(self) -> None:
        """See `shutdown`."""

    def _send_fatal_alert(self, description: AlertDescription) -> bool:  # noqa: ARG002
        """See `_fail`."""
        return False

    def _drop(self) -> None:
        self.deserted = not self.turn.handshakes
        if not self.deserted:
            super()._drop()
        for space in self._spaces:
            space.discard()

    def _discard(self) -> None:
        """Forget what was to be sent."""
