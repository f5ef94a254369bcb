"""What an application may ask of a QUIC connection: streams, datagrams, other keys and ids, the end, and facts."""

from __future__ import annotations

from caesura.errors import Error, UsageError, ZeroRTTRejected
from caesura.events import EarlyDataRejected, EarlyDataStatus
from caesura.quic.closing import Close
from caesura.quic.frame_handling import FrameHandling
from caesura.quic.levels import APPLICATION_SPACE
from caesura.quic.path import Address
from caesura.quic.transport_parameters import TransportParameters
from caesura.wire.data import Data
from caesura.wire.registries import Version


class Application(FrameHandling):
    """A connection, as far as its application has to do with it; what moves it is in `connection`."""

    __slots__ = ()

    # --- streams ----------------------------------------------------------------------------------------------------

    def open_stream(self, *, unidirectional: bool = False) -> int | None:
        """The id of a new stream; None when the peer does not permit one more now (StreamsPermitted tells when).

        Raises ZeroRTTRejected until that event was read, as ids begin anew with it.
        """
        self._require_open()
        if self._early.status is EarlyDataStatus.REJECTED and any(
            isinstance(event, EarlyDataRejected) for event in self._events
        ):
            raise ZeroRTTRejected(self._early.reason.value)
        return self._streams.open(unidirectional=unidirectional)

    def next_stream(self, *, unidirectional: bool = False) -> int:
        """The id that the next stream we open will have."""
        return self._streams.next_id(unidirectional=unidirectional)

    def write_stream(self, stream_id: int, data: Data, *, fin: bool = False) -> None:
        """Send bytes on a stream, and with `fin` nothing after them.

        All of it is taken; `stream_backlog` tells how much waits. Raises StreamStopped when the peer wants no more.
        """
        self._require_open()
        stream = self._streams.writer(stream_id)
        if data:
            stream.write(data if type(data) is bytes else bytes(data))
        if fin:
            stream.conclude()

    def _cannot_write(self) -> Error:
        """See `Endpoint`; what was open and is so no more was 0-RTT."""
        rejected = self._early.status is EarlyDataStatus.REJECTED and not self.handshake_complete
        if rejected and self.error is None and not self.close_notify_sent and not self._closed:
            return ZeroRTTRejected(self._early.reason.value)
        return super()._cannot_write()

    def stream_backlog(self, stream_id: int) -> int:
        """Bytes written to a stream and not sent yet; 0 for one that is over."""
        stream = self._streams.sending.get(stream_id)
        return 0 if stream is None else stream.backlog

    def may_reset(self, stream_id: int) -> bool:
        """Whether there is anything to give up: not all of the stream has arrived yet."""
        return stream_id in self._streams.sending

    def stream_pending(self, stream_id: int) -> int:
        """Bytes of a stream that can be read now."""
        stream = self._streams.receiving.get(stream_id)
        return 0 if stream is None else stream.ready

    def stream_readable(self, stream_id: int) -> bool:
        """Whether reading a stream would give something: bytes, its end, the news of a reset."""
        stream = self._streams.receiving.get(stream_id)
        return stream is not None and stream.readable

    def stream_reset_code(self, stream_id: int) -> int | None:
        """With what the peer has given a stream up, when that was not read yet; None if it has not."""
        stream = self._streams.receiving.get(stream_id)
        return None if stream is None else stream.error_code

    def stream_ends(self, stream_id: int) -> bool:
        """Whether the peer has said where a stream ends, and has not given it up; what is before may be unread."""
        stream = self._streams.receiving.get(stream_id)
        return stream is not None and stream.final_size is not None and stream.error_code is None

    def streams_available(self, *, unidirectional: bool, local: bool) -> int:
        """How many more streams of this kind we may open, or the peer may."""
        return self._streams.available(unidirectional=unidirectional, local=local)

    @property
    def owes(self) -> bool:
        """Whether frames wait to be sent that a call has brought about: credit, for one."""
        return bool(self._outbox)

    @property
    def unacknowledged(self) -> bool:
        """Whether something that was written to a stream may not have arrived."""
        return any(not stream.delivered for stream in self._streams.sending.values())

    def read_stream(self, stream_id: int, size: int = -1) -> tuple[bytes, bool]:
        """At most `size` bytes of a stream (all there are by default), and whether it ends behind them.

        Raises StreamReset when the peer has given it up, UsageError when it is not there to be read from.
        """
        return self._streams.read(stream_id, size)

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        """Send nothing more on a stream, not even what is lost (RFC 9000 section 3.3)."""
        self._require_open()
        self._streams.writer(stream_id).reset(error_code)

    def stop_sending(self, stream_id: int, error_code: int) -> None:
        """Read no more from a stream, and ask the peer to send no more on it (RFC 9000 section 3.5)."""
        self._require_open()
        self._streams.stop_sending(stream_id, error_code)

    # --- datagrams --------------------------------------------------------------------------------------------------

    def send_datagram(self, data: Data) -> bool:
        """Send a datagram, which may be lost (RFC 9221); False when too many wait already. UsageError if too long."""
        self._require_open()
        return self._datagrams.send(data if type(data) is bytes else bytes(data), self._writer.room)

    def read_datagram(self) -> bytes | None:
        """The oldest datagram that has come; None when there is none now."""
        return self._datagrams.read()

    # --- the verbs of every connection ------------------------------------------------------------------------------

    def read(self, size: int = -1) -> bytes:  # noqa: ARG002 - the verb of other connections
        """Nothing: what there is to be read is in streams and datagrams."""
        return b""

    def pending(self) -> int:
        """Nothing: see `read`."""
        return 0

    def shutdown(self, error_code: int = 0, reason: str = "") -> None:
        """Close both directions at once (RFC 9000 section 10.2), with what the application protocol says by it.

        Legal twice, and at any moment: before the handshake is complete the peer learns that there was an end alone.
        """
        if self.close_notify_sent or self._ending is not None or self._closed:
            return
        self.close_notify_sent = True
        self._end(Close(error_code, None, reason))

    # --- keys, ids, addresses ---------------------------------------------------------------------------------------

    def key_update(self) -> None:
        """Change keys as soon as that may be (RFC 9001 section 6)."""
        self._require_open()
        self._key_update_wanted = True

    def change_connection_id(self) -> None:
        """Write another of the peer's ids from now on, and give the present one back (RFC 9000 section 5.1.2).

        UsageError when the peer has given none to change to.
        """
        self._require_open()
        path = self._paths.active
        another = self._peer_ids.take()
        if another is None or another is path.peer_id:
            raise UsageError("change_connection_id: the peer has given no spare one")
        before, path.peer_id = path.peer_id, another
        self._peer_ids.retire(before)
        self._begin_to_spin()

    def migrate(self) -> None:
        """Tell a client's connection that it will send from another address of ours from now on (RFC 9000 section 9.2).

        Another of the server's ids is written, so that nobody can link the two, and what was learnt of the old path is
        forgotten. UsageError when the server does not want it, has given no id to change to, or the handshake is not
        confirmed.
        """
        self._require_open()
        if self.server_side or not self.handshake_confirmed:
            raise UsageError("migrate: only clients do, when the handshake is confirmed")
        if self._peer is not None and self._peer.disable_active_migration:
            raise UsageError("migrate: the server does not want it (disable_active_migration)")
        if self._paths.active.peer_id.value:
            self.change_connection_id()
        self._on_new_path()

    # --- facts ------------------------------------------------------------------------------------------------------

    @property
    def heard(self) -> bool:
        """Whether a genuine packet of the peer's has come."""
        return self._reader.source is not None

    @property
    def terminated(self) -> bool:
        """Whether nothing is left to do: the connection is over, and late packets need not be told so."""
        return self._closed

    @property
    def version(self) -> Version | None:
        """The version of QUIC, once it is agreed."""
        return self._parameters.version if self._established is not None else None

    @property
    def ecn(self) -> int:
        """The two bits of the IP header for what `datagrams_to_send` gave the last time (RFC 9000 section 13.4).

        Whoever cannot set them does no harm by sending without.
        """
        return self._writer.ecn if self._ending is None else 0

    @property
    def addr(self) -> Address:
        """Where the peer is: the address of the path in use."""
        return self._paths.active.address

    @property
    def address_validated(self) -> bool:
        """Whether the peer is known to be there (RFC 9000 section 8)."""
        return self._paths.active.validated

    @property
    def key_updates(self) -> int:
        """How many times our keys have changed (RFC 9001 section 6)."""
        key = self._spaces[APPLICATION_SPACE].write
        return 0 if key is None else key.generation

    @property
    def peer_parameters(self) -> TransportParameters | None:
        """The peer's transport parameters, once they have come."""
        return self._peer

    @property
    def peer_connection_id(self) -> bytes:
        """The id that we write."""
        return self._paths.active.peer_id.value

    @property
    def connection_ids(self) -> tuple[bytes, ...]:
        """The ids that lead here, and, while the handshake goes on, where the client's first packets went."""
        ids = tuple(self._local_ids.ids.values())
        first = self._reader.original
        return ids if self.handshake_confirmed or not first else (*ids, first)

    @property
    def wants_data(self) -> bool:
        """Whether the adapter should read on from the transport: until the connection is over."""
        return not self._closed
