"""Our QUIC over BoGo's stand-in for packets: records with a level, a suite and a secret in the clear, in order.

The connection is ours, with its handshake and its rules for CRYPTO frames; what it lacks here are packets, and so
loss, streams and flow control. Transport parameters are bytes that the runner makes up: what our connection reads in
their place are some that fit it, and that is all that is made up here. Application data goes beside the connection.

A record: type (as in TLS), level, cipher suite, length; then the traffic secret of its level and direction, and data.
"""

from __future__ import annotations

from typing import Any

from caesura.context import Context
from caesura.crypto.secrets import TrafficSecret
from caesura.errors import TransportErrorCode
from caesura.events import DataReceived, EarlyDataReceived
from caesura.handshake.transport import Epoch, Keys
from caesura.quic import varint
from caesura.quic.closing import Close
from caesura.quic.connection import QUICConnection
from caesura.quic.frames import dispatch_untrusted
from caesura.quic.levels import SPACES
from caesura.quic.sent_packets import Recall
from caesura.quic.transport_parameters import TransportParameters
from caesura.wire.extensions import QUIC_TRANSPORT_PARAMETERS, Extensions
from caesura.wire.registries import ContentType, HandshakeType
from tests.bogo.link import HEADER

_ROOM = 16_384  # bytes of a CRYPTO frame


class RecordConnection(QUICConnection):
    """A connection whose levels are carried by records.

    `parameters`: what stands for our transport parameters. `conditions`: what 0-RTT depends on beside them.
    """

    def __init__(self, context: Context, *, parameters: bytes | None, conditions: bytes, **options: Any) -> None:
        self.peer_bytes: bytes | None = None  # what stands for the peer's transport parameters
        self._own_bytes = parameters
        self._conditions = conditions
        self._out = b""
        self._offsets = [0] * len(Epoch)  # of the handshake bytes that came at each level
        self._writes: dict[Epoch, TrafficSecret] = {}
        self._reads: dict[Epoch, TrafficSecret] = {}
        super().__init__(context, **options)

    # --- records ---

    def receive_record(self, header: bytes, body: bytes, now: float) -> None:
        """One record."""
        kind, number, suite, _ = HEADER.unpack(header)
        level = Epoch(number)
        secret = self._reads.get(level)
        if secret is None and level is Epoch.EARLY_DATA and self.server_side:
            return  # as nobody can read 0-RTT packets that are not accepted
        assert secret is not None or level is Epoch.INITIAL, f"a record of level {level.name}, which has no keys"
        revealed = b"" if secret is None else secret.reveal()
        assert suite == (0 if secret is None else secret.suite.code)
        assert body.startswith(revealed), f"another secret at level {level.name}"
        data = body[len(revealed) :]
        if kind == ContentType.application_data:
            early = level is Epoch.EARLY_DATA
            self._events.append(EarlyDataReceived(data) if early else DataReceived(data))
            return
        assert kind == ContentType.handshake
        frame = b"\x06" + varint.encode(self._offsets[level]) + varint.encode(len(data)) + data
        self._offsets[level] += len(data)
        self._enter()
        try:
            if not self._begun:
                self._begin(self._ids.original)
            dispatch_untrusted(frame, number, self._permitted[number], self)
            self._go_on(now)
        except BaseException as error:  # noqa: BLE001 - sorted there, as in receive_datagram
            self._stopped_by(error)
        finally:
            self._leave()

    def data_to_send(self, now: float) -> bytes:
        """The records that are ready."""
        out, self._out = self._out, b""
        return out

    def _record(self, kind: ContentType, level: Epoch, data: bytes) -> None:
        secret = self._writes.get(level)
        code, revealed = (0, b"") if secret is None else (secret.suite.code, secret.reveal())
        self._out += HEADER.pack(kind, level, code, len(revealed) + len(data)) + revealed + data

    # --- the application ---

    def write(self, data: bytes) -> None:
        """Send application data."""
        self._require_open()
        self._record(ContentType.application_data, Epoch.APPLICATION, data)

    def write_early_data(self, data: bytes) -> int:
        """Send it as 0-RTT, if that may be; how much was taken."""
        if not self._early.open or self.handshake_complete:
            return 0
        self._record(ContentType.application_data, Epoch.EARLY_DATA, data)
        return len(data)

    # --- the seam under the handshake ---

    def send(self, epoch: Epoch, message: bytes) -> bytes:
        """Out of the level's CRYPTO stream into records."""
        super().send(epoch, message)
        stream = self._spaces[SPACES[epoch]].crypto
        recalls: list[Recall] = []
        while stream:
            stream.write_frame(_ROOM, [], recalls)
        self._record(ContentType.handshake, epoch, b"".join(recall[3] for recall in recalls))
        return message

    def install_write(self, epoch: Epoch, keys: Keys) -> None:
        """Keep the secret, to be shown."""
        super().install_write(epoch, keys)
        assert isinstance(keys, TrafficSecret)
        self._writes[epoch] = keys

    def install_read(self, epoch: Epoch, keys: Keys) -> None:
        """Keep the secret, to be compared."""
        super().install_read(epoch, keys)
        assert isinstance(keys, TrafficSecret)
        self._reads[epoch] = keys

    def own_extensions(self, message: HandshakeType, peer: Extensions | None) -> Extensions:
        """What the runner expects to see in place of our transport parameters."""
        extensions = super().own_extensions(message, peer)
        if QUIC_TRANSPORT_PARAMETERS.code in extensions:
            extensions.remove(QUIC_TRANSPORT_PARAMETERS.code)
            if self._own_bytes is not None:
                extensions.put(QUIC_TRANSPORT_PARAMETERS, self._own_bytes)
        return extensions

    def peer_extensions(self, extensions: Extensions) -> None:
        """In place of what the runner says, what a peer would say that fits this connection."""
        found = extensions.get(QUIC_TRANSPORT_PARAMETERS)
        if found is not None:
            self.peer_bytes = found
            parameters = TransportParameters(
                initial_source_connection_id=self._peer_ids.first.value, initial_max_data=1
            )
            if not self.server_side:
                parameters.original_destination_connection_id = self._ids.original
            extensions = extensions.copy()
            extensions.remove(QUIC_TRANSPORT_PARAMETERS.code)
            extensions.put(QUIC_TRANSPORT_PARAMETERS, parameters.encode())
        super().peer_extensions(extensions)

    def ticket_state(self) -> bytes:
        """With what 0-RTT depends on."""
        return len(self._conditions).to_bytes(1, "big") + self._conditions + super().ticket_state()

    def accepts(self, ticket_state: bytes) -> bool:
        """As ever, behind that."""
        return super().accepts(ticket_state[1 + ticket_state[0] :])

    def accepts_early_data(self, ticket_state: bytes) -> bool:
        """Nor under other conditions, on a server; a client's session knows nothing of them."""
        if not self.server_side:
            return super().accepts_early_data(ticket_state)
        size = 1 + ticket_state[0]
        return ticket_state[1:size] == self._conditions and super().accepts_early_data(ticket_state[size:])

    def _end(self, close: Close | None) -> None:
        """An alert has a record of its own."""
        super()._end(close)
        if close is not None and close.error_code & ~0xFF == TransportErrorCode.CRYPTO_ERROR:
            level = max((each for each in self._writes if each is not Epoch.EARLY_DATA), default=Epoch.INITIAL)
            self._record(ContentType.alert, level, bytes((2, close.error_code & 0xFF)))
