"""What becomes of each frame that comes (RFC 9000 section 19): it is handed to its owner."""

from __future__ import annotations

from caesura.errors import CryptoBufferExceeded, PeerAlert, PeerClose, ProtocolViolation, TransportErrorCode
from caesura.events import DatagramReadable
from caesura.handshake.transport import Epoch
from caesura.quic.closing import CloseInfo
from caesura.quic.frames import AckRanges, EcnCounts
from caesura.quic.levels import ONE_RTT, SPACES
from caesura.quic.message_transport import HandshakeTransport


class FrameHandling(HandshakeTransport):
    """A connection, as far as its peer's frames reach it (`frames.FrameReceiver`)."""

    __slots__ = ()

    def on_ack(self, level: int, ranges: AckRanges, delay: int, ecn: EcnCounts | None) -> None:
        """ACK."""
        if level != ONE_RTT:
            self._trace("received", "ack")
        exponent = self._peer.ack_delay_exponent if self._peer is not None else 3
        if level == ONE_RTT and self._reader.phases is not None:
            self._reader.phases.acknowledged(ranges[0][1] - 1)
        self._loss.ack_received(SPACES[level], ranges, (delay << exponent) / 1_000_000, self._now, ecn)
        if self._qlog is not None:
            self._qlog.peer_exponent = exponent
            self._qlog.recovery_metrics(self._loss, self._now)

    def on_crypto(self, level: int, offset: int, data: bytes) -> None:
        """CRYPTO: bytes of the handshake, in order to its inbox."""
        stream = self._spaces[SPACES[level]].crypto
        stream.receive(offset, data)
        ready = stream.read()
        if ready:
            self._version_settled = True
            if level < self._inbox.epoch:
                raise ProtocolViolation("more handshake bytes of an old level", section="RFC 9001 section 4.1.3")
            if self._inbox.size > self._settings.quic.crypto_buffer + self._settings.limits.handshake_message:
                raise CryptoBufferExceeded("handshake messages that nobody takes", section="RFC 9000 section 7.5")
            self._inbox.receive_untrusted(Epoch(level), ready)

    def on_handshake_done(self) -> None:
        """HANDSHAKE_DONE: the handshake is confirmed (RFC 9001 section 4.1.2)."""
        if not self.handshake_confirmed:
            self._confirm()

    def on_new_token(self, token: bytes) -> None:
        """NEW_TOKEN: the latest is kept, for the application to give to its next connection (`token`)."""
        if len(token) <= self._settings.quic.token_length:
            self.new_token = token

    def on_stream(self, stream_id: int, offset: int, data: bytes, fin: bool) -> None:
        """STREAM."""
        self._streams.on_stream(stream_id, offset, data, fin)

    def on_reset_stream(self, stream_id: int, error_code: int, final_size: int) -> None:
        """RESET_STREAM."""
        self._streams.on_reset_stream(stream_id, error_code, final_size)

    def on_stop_sending(self, stream_id: int, error_code: int) -> None:
        """STOP_SENDING."""
        self._streams.on_stop_sending(stream_id, error_code)

    def on_max_data(self, maximum: int) -> None:
        """MAX_DATA."""
        self._streams.on_max_data(maximum)

    def on_max_stream_data(self, stream_id: int, maximum: int) -> None:
        """MAX_STREAM_DATA."""
        self._streams.on_max_stream_data(stream_id, maximum)

    def on_max_streams(self, maximum: int, unidirectional: bool) -> None:
        """MAX_STREAMS."""
        self._streams.on_max_streams(maximum, unidirectional)

    def on_data_blocked(self, limit: int) -> None:
        """DATA_BLOCKED: windows grow by how fast they are used up, not by this."""

    def on_stream_data_blocked(self, stream_id: int, limit: int) -> None:  # noqa: ARG002
        """STREAM_DATA_BLOCKED."""
        self._streams.on_stream_data_blocked(stream_id)

    def on_streams_blocked(self, limit: int, unidirectional: bool) -> None:
        """STREAMS_BLOCKED: the limit moves up as streams end, not by this."""

    def on_new_connection_id(
        self, sequence_number: int, retire_prior_to: int, connection_id: bytes, reset_token: bytes
    ) -> None:
        """NEW_CONNECTION_ID."""
        self._peer_ids.received(sequence_number, retire_prior_to, connection_id, reset_token)
        if not self._paths.replace_retired():
            raise ProtocolViolation("every connection id is wanted back", section="RFC 9000 section 5.1.2")

    def on_retire_connection_id(self, sequence_number: int) -> None:
        """RETIRE_CONNECTION_ID."""
        self._local_ids.retired(sequence_number, self._to)

    def on_path_challenge(self, data: bytes) -> None:
        """PATH_CHALLENGE: answered on the path it came by."""
        self._path.respond(data, self._settings.quic.path_responses)

    def on_path_response(self, data: bytes) -> None:
        """PATH_RESPONSE."""
        self._paths.answered(data)
        self._look_for_new_path()

    def on_connection_close(self, error_code: int, frame_type: int | None, reason: bytes) -> None:
        """CONNECTION_CLOSE: it is over, and nothing more is said (RFC 9000 section 10.2.2)."""
        application = frame_type is None
        text = reason.decode(errors="replace")
        self.close_info = CloseInfo(error_code, frame_type or 0, text, local=False, transport=not application)
        if error_code == TransportErrorCode.NO_ERROR:
            self.close_notify_received = True
        elif not application and error_code & ~0xFF == TransportErrorCode.CRYPTO_ERROR:
            self.error = PeerAlert(error_code & 0xFF)
        else:
            self.error = PeerClose(error_code, text, application=application, frame_type=frame_type or None)
        self._end(None)

    def on_datagram(self, data: bytes, size: int) -> None:
        """DATAGRAM."""
        self._datagrams.receive(data, size)
        if not self._datagrams.announced:
            self._datagrams.announced = True
            self._events.append(DatagramReadable())
