"""What a QUIC connection is to its handshake: CRYPTO frames, keys of levels, transport parameters, 0-RTT.

RFC 9001 sections 4 and 8, RFC 9000 section 7. The version is agreed on here, too, since it is the handshake that
protects what both sides say of it (RFC 9368).
"""

from __future__ import annotations

from typing import Final

from caesura.crypto.secrets import TrafficSecret
from caesura.errors import MissingExtension, NoApplicationProtocol, ProtocolViolation, UnexpectedMessage
from caesura.events import EarlyDataReason, EarlyDataRejected
from caesura.handshake.state import Established
from caesura.handshake.transport import Epoch, Keys
from caesura.quic.connection_ids import PREFERRED
from caesura.quic.early_data import nothing_lowered, recall, remember
from caesura.quic.frames import new_token
from caesura.quic.handshake import check_ids, own_parameters
from caesura.quic.key_update import KeyPhases
from caesura.quic.levels import APPLICATION_SPACE, HANDSHAKE_SPACE, SPACES
from caesura.quic.outbox import LastingFrame
from caesura.quic.parts import Parts
from caesura.quic.preferred_address import choose
from caesura.quic.protection import ReadKey, WriteKey
from caesura.quic.transport_parameters import TransportParameters, VersionInformation, decode_untrusted
from caesura.quic.version_negotiation import check_server, select
from caesura.quic.versions import VERSIONS
from caesura.wire.extensions import ALPN, QUIC_TRANSPORT_PARAMETERS, Extensions
from caesura.wire.registries import HandshakeType, Version

_HANDSHAKE_DONE: Final = b"\x1e"


class HandshakeTransport(Parts):
    """A connection, as far as its handshake sees it (`handshake.transport.MessageTransport`)."""

    __slots__ = ()

    def send(self, epoch: Epoch, message: bytes) -> bytes:
        """One handshake message, in CRYPTO frames, as it is; a client's first one begins the connection."""
        if not self._begun:
            self._begin(self._ids.original)
        self._spaces[SPACES[epoch]].crypto.write(message)
        return message

    def install_write(self, epoch: Epoch, keys: Keys) -> None:
        """Packets of this level can be sent."""
        assert isinstance(keys, TrafficSecret)
        space = self._spaces[SPACES[epoch]]
        space.level = int(epoch)
        space.write = WriteKey(keys, (self._chosen if epoch is Epoch.EARLY_DATA else self._parameters).label)
        if epoch is Epoch.HANDSHAKE:
            self._loss.handshake_keys = True

    def install_read(self, epoch: Epoch, keys: Keys) -> None:
        """Packets of this level can be read; 1-RTT packets when the handshake is complete (RFC 9001 section 5.7)."""
        assert isinstance(keys, TrafficSecret)
        self._reread = True
        if epoch is Epoch.EARLY_DATA:
            self._reader.early = ReadKey(keys, self._chosen.label)
            return
        if not self._inbox.empty or self._spaces[SPACES[self._inbox.epoch]].crypto.ahead:
            raise UnexpectedMessage("handshake bytes behind the last message of a level", section="RFC 9001 4.1.3")
        self._inbox.epoch = epoch
        if epoch is Epoch.HANDSHAKE:
            self._spaces[HANDSHAKE_SPACE].read = ReadKey(keys, self._parameters.label)
        else:
            self._read_secret = keys

    def version_chosen(self, version: Version) -> None:
        """The handshake's version, of which there is one."""

    def own_extensions(self, message: HandshakeType, peer: Extensions | None) -> Extensions:  # noqa: ARG002
        """Our transport parameters, in ClientHello and EncryptedExtensions."""
        extensions = Extensions()
        if message is not HandshakeType.server_hello:
            parameters = self._own_parameters()
            extensions.put(QUIC_TRANSPORT_PARAMETERS, parameters.encode())
            if self._qlog is not None:
                self._qlog.parameters_set(parameters, self._now, local=True)
        return extensions

    def _own_parameters(self) -> TransportParameters:
        options, noise = self._settings.quic, self._settings.random(4)
        information = VersionInformation(int(self._parameters.version), tuple(map(int, options.versions)))
        return own_parameters(options, self._ids, self._local_ids, information, noise, server_side=self.server_side)

    def peer_extensions(self, extensions: Extensions) -> None:
        """The peer's transport parameters; its ServerHello has none."""
        data = extensions.get(QUIC_TRANSPORT_PARAMETERS)
        if data is None:
            if self.server_side:
                raise MissingExtension("quic_transport_parameters", section="RFC 9001 section 8.2")
            return
        if ALPN.code not in extensions:
            raise NoApplicationProtocol("none was offered, or chosen", section="RFC 9001 section 8.1")
        peer = decode_untrusted(data, from_server=not self.server_side)
        if self._qlog is not None:
            self._qlog.parameters_set(peer, self._now, local=False)
        check_ids(peer, self._ids, self._peer_ids.first.value, server_side=self.server_side)
        if self.server_side:
            self._agree_on_version(peer.version_information)
        else:
            ours = tuple(map(int, self._settings.quic.versions))
            negotiated, chosen = int(self._parameters.version), int(self._chosen.version)
            check_server(peer.version_information, negotiated, ours, chosen=chosen, reacted=self._reacted)
        self._peer = peer
        self._apply(peer)

    def _agree_on_version(self, information: VersionInformation | None) -> None:
        """Go on in the version that is preferred here, if the client knows it (RFC 9368 section 2.3)."""
        ours = tuple(map(int, self._settings.quic.versions))
        version = select(int(self._chosen.version), information, ours)
        if version != self._chosen.version:
            self._go_on_in(VERSIONS[version])

    def _apply(self, peer: TransportParameters) -> None:
        """What the peer's parameters change."""
        options = self._settings.quic
        self._loss.round_trip.max_ack_delay = peer.max_ack_delay
        self._idle.peer_declares(peer.max_idle_timeout)
        self._datagrams.peer_limit = peer.max_datagram_frame_size
        if peer.grease_quic_bit and options.grease_quic_bit:
            self._writer.grease = self._settings.random
        self._writer.mtu.maximum = min(options.mtu, peer.max_udp_payload_size)
        self._peer_ids.first.reset_token = peer.stateless_reset_token
        preferred = peer.preferred_address
        if preferred is not None:  # its id is good for any path
            self._peer_ids.received(PREFERRED, 0, preferred.connection_id, preferred.stateless_reset_token)

    def ticket_state(self) -> bytes:
        """The version, as a ticket is good in no other (RFC 9369 section 5), and what 0-RTT may rely on."""
        return int(self._parameters.version).to_bytes(4, "big") + remember(self._own_parameters())

    def accepts(self, ticket_state: bytes) -> bool:
        """Whether the ticket is of this version."""
        return ticket_state[:4] == int(self._parameters.version).to_bytes(4, "big")

    def accepts_early_data(self, ticket_state: bytes) -> bool:
        """Whether 0-RTT may be sent, or taken, by what is remembered: a server that permits less now takes none."""
        remembered = recall(ticket_state[4:] if self.server_side else ticket_state)
        if remembered is None:
            return False
        self._early.remembered = remembered
        return not self.server_side or nothing_lowered(remembered, self._own_parameters())

    def early_data(self, accepted: bool, limit: int, reason: EarlyDataReason) -> None:  # noqa: ARG002
        """0-RTT: streams may be opened by it, or are gone with it."""
        if self._early.told(accepted, reason):
            self._reject_early_data(reason)
        elif accepted:
            permitted_by = self._peer if self.server_side else self._early.remembered
            assert permitted_by is not None
            self._streams.permit(permitted_by)
            self._datagrams.peer_limit = permitted_by.max_datagram_frame_size
        elif self.server_side:
            self._reader.early_expected = False

    def _reject_early_data(self, reason: EarlyDataReason) -> None:
        """Nothing of what was sent counts, and nothing of it is sent again (RFC 9001 section 4.6.2)."""
        self._spaces[APPLICATION_SPACE].write = None
        self._loss.forget(APPLICATION_SPACE)
        self._streams.early_data_rejected(reason.value)
        self._datagrams.forget()
        self._events.append(EarlyDataRejected(reason))

    @property
    def may_write(self) -> bool:
        """Whether streams may be opened: the handshake is complete, or 0-RTT is under way."""
        return self.handshake_complete or self._early.open

    def completed(self, established: Established) -> None:
        """The handshake is done: 1-RTT packets are read, streams may be opened; to a server it is confirmed too."""
        if established.alpn is None:
            raise NoApplicationProtocol(section="RFC 9001 section 8.1")
        if self._peer is None:
            raise MissingExtension("quic_transport_parameters", section="RFC 9001 section 8.2")
        write, read = self._spaces[APPLICATION_SPACE].write, self._read_secret
        assert write is not None
        assert read is not None
        probe_timeout = self._loss.round_trip.longest_probe_timeout
        self._reader.phases = KeyPhases(write, read, self._parameters.label, probe_timeout)
        self._read_secret = None
        self._reread = True
        before = self._early.remembered
        if not self.server_side and before is not None and self._early.open and not nothing_lowered(before, self._peer):
            raise ProtocolViolation("less permitted than 0-RTT could rely on", section="RFC 9000 section 7.4.1")
        super().completed(established)
        if self._qlog is not None:
            self._qlog.version_information(
                map(int, self._settings.quic.versions),
                int(self._parameters.version),
                self._now,
                client=not self.server_side,
            )
            self._qlog.alpn_information(established.alpn, self._now)
        self._streams.permit(self._peer)
        self._local_ids.issue(self._peer.active_connection_id_limit)
        if self.server_side:
            LastingFrame(self._outbox, _HANDSHAKE_DONE)
            if self._next_token is not None:
                token = self._next_token(int(self._parameters.version), self._paths.active.address)
                LastingFrame(self._outbox, new_token(token))
            self._confirm()

    def _confirm(self) -> None:
        """Both sides have completed the handshake (RFC 9001 section 4.1.2)."""
        self.handshake_confirmed = self._loss.handshake_confirmed = True
        self._reader.early, self._reader.early_expected = None, False
        self._paths.active.validated = True
        if not self._spaces[HANDSHAKE_SPACE].discarded:
            self._abandon(HANDSHAKE_SPACE)
        if self._roams and self._peer is not None and self._peer.preferred_address is not None:
            address = choose(self._peer.preferred_address, self._paths.active.address)
            if address is not None:
                self._paths.try_out(address, self._now, self._probe_timeout())
