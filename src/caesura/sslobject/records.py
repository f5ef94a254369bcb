"""The SSL of TLS and DTLS, protocols of records: a connection over two BIOs (SSL_do_handshake(3) and neighbours).

What the calls have in common is in `record_base`. A write is *taken* when it is first accepted. If it then raises
`WantAsync` or `WantWrite` it is finished by writing the same bytes again, or `b""`; other bytes before that are a
`UsageError`, because they would overtake nothing and surprise everybody.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from caesura.context import Method
from caesura.dtls.connection import DTLSConnection
from caesura.errors import UsageError, ZeroReturn
from caesura.sslobject.base import NO_ROLE, NO_TYPE
from caesura.sslobject.ends import Want
from caesura.sslobject.record_base import RecordBase
from caesura.transfer import CHUNK, Connection
from caesura.wire.data import Data

_NOTHING = Want.NOTHING


class RecordSSL(RecordBase):
    """A TLS or DTLS connection. What a write is that did not finish is said above."""

    __slots__ = ("_held", "_held_early", "_shutdown_told")

    def _reset(self) -> None:
        super()._reset()
        self._held: bytes | None = None  # a write that was taken and has not returned its count
        self._held_early: tuple[bytes, int] | None = None  # one of early data, with the count
        self._shutdown_told = False  # a shutdown() has returned that close_notify is sent

    def do_handshake(self) -> None:
        """Perform the handshake; return when it is done, at once when it is done already (SSL_do_handshake(3)).

        Raises a Want… exception when it must be called again, `ZeroReturn` when the peer closed instead, `UsageError`
        naming what is missing, and the handshake's failure, then and at every later call.
        """
        connection = self._begin(NO_TYPE)
        try:
            if not self._finished or connection.error is not None:
                self._handshake(connection)
        finally:
            self._leave()

    # --- data -------------------------------------------------------------------------------------------------------

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes of data, at least one; all that is there when `size` is negative (SSL_read(3)).

        Performs the handshake if it is not done. Raises `ZeroReturn` after the peer's close_notify, `UnexpectedEOF`
        when the transport ended without one, a Want… exception when there is nothing now.
        """
        short = self._short
        if short is not None and not self._busy:
            self._busy = True
            try:
                connection = short.connection
                if not connection.plaintext and (chunk := self._rbio.read(CHUNK)):  # type: ignore[union-attr]
                    key = connection.open_key
                    data = key.open_data(chunk) if key is not None and type(chunk) is bytes else None
                    if data is None:
                        connection.receive_data(chunk, self._monotonic())
                        if connection.error is not None:
                            self._short = None  # its alert goes out by the long path
                        elif connection.out:  # a KeyUpdate, a warning: the next read may wait for long
                            with suppress(OSError):
                                self._flush(connection)
                    elif 0 <= size < len(data):
                        connection.plaintext.append(data)
                    else:
                        self.want = _NOTHING
                        return data
                if data := connection.read(size):
                    self.want = _NOTHING
                    return data
            finally:  # _leave(), without the call
                self._busy = False
                if self._closing:
                    self._close()
        return self._read(size)

    def _read(self, size: int) -> bytes:
        connection = self._begin()
        try:
            if size == 0:
                return b""
            if connection.handshake_complete:
                self._advance(connection)
            else:
                self._handshake(connection)
            while True:
                if data := connection.read(size):
                    if self._held is not None:
                        with suppress(OSError):  # the data came first; who writes will hear of it
                            self._flush(connection)
                    return data
                flushed = self._flush(connection)
                if connection.error is not None:
                    self._fail(connection.error)
                if connection.close_notify_received:
                    raise ZeroReturn("the peer has closed its direction")
                if connection.read_paused or connection.needs_job:
                    self._want_async(connection)
                # What a write of the application's left behind is the writer's to wait for; what this side owes the
                # peer by itself (a KeyUpdate, an alert) has nobody else to push it out.
                self._fill(connection, Want.READING if flushed or self._held is not None else Want.WRITING)
        finally:
            self._leave()

    def write(self, data: Data) -> int:
        """Send all of `data`; its length (SSL_write(3)).

        Performs the handshake if it is not done. When it raises `WantAsync` or `WantWrite` after that, the bytes have
        been taken: write the same ones again, or b"", to finish; the count is that of the original.
        """
        short = self._short
        if short is not None and not short.out and self._held is None and not self._busy and type(data) is bytes:
            self._busy = True
            try:
                connection = short.connection
                key = connection.seal_key
                out = key.seal_data(data) if key is not None and not connection.out else None
                if out is None:
                    connection.write(data)
                    out = connection.data_to_send(0.0)  # of interest to paused seals, of which there are none
                try:
                    taken = self._wbio.write(out)  # type: ignore[union-attr]
                except BaseException:  # a timeout, perhaps: the record has its number and must not be lost
                    self._held, short.out, short.position = data, out, 0
                    raise
                if taken == len(out):
                    self.want = _NOTHING
                    return len(data)
                self._held, short.out, short.position = data, out, taken
            finally:  # _leave(), without the call
                self._busy = False
                if self._closing:
                    self._close()
        return self._write(bytes(memoryview(data)))

    def _write(self, data: bytes) -> int:
        connection = self._begin()
        try:
            if connection.handshake_complete:
                self._advance(connection)
            else:
                self._handshake(connection)
            if connection.error is not None:
                self._flush(connection)
                self._fail(connection.error)
            if self._held is None:
                if not data:
                    return 0
                connection.write(data)
                self._held = data
            elif data and data != self._held:
                raise UsageError(
                    f"a write of {len(self._held)} bytes is not finished: call write with the same bytes or with b''"
                )
            try:
                flushed = self._flush(connection)
            except OSError:
                if not self._transfer.unsent:  # it was a datagram, and is lost
                    self._held = None
                raise
            self._gone(connection, flushed=flushed)
            count = len(self._held)
            self._held = None
            return count
        finally:
            self._leave()

    def pending(self) -> int:
        """Bytes of data that have been opened and not been read (SSL_pending(3))."""
        return self._connection.pending() if self._connection is not None else 0

    # --- early data -------------------------------------------------------------------------------------------------

    def write_early_data(self, data: Data) -> int:
        """Send data before the handshake is complete; how many bytes were taken (SSL_write_early_data(3)).

        On a client it has to be the first call, as early data travels behind the first message (RFC 9846 section 2.3).
        It needs a session that allows it, and its bytes can be copied and sent again by anybody: use it where twice is
        no worse than once. 0 says that none may go, or no more; `early_data_reason` says why. What was taken may be
        rejected yet: `early_data_status` knows once `do_handshake` has returned, and nothing sends it again but you.

        On a server it sends before the client's Finished has come, to a client whose early data was accepted; else it
        takes nothing. When it raises a Want… exception, repeat it with the same bytes.
        """
        data = bytes(memoryview(data))
        connection = self._begin_early(NO_ROLE)
        try:
            self._advance(connection)
            if self._held_early is None:
                if self._early and not connection.server_side and not connection.early_data_decided:
                    self._await_hello(connection)
                if connection.error is not None:
                    self._flush(connection)
                    self._fail(connection.error)
                self._held_early = (data, self._take_early(connection, data))
            elif self._held_early[0] != data:
                raise UsageError("a write of early data is not finished: repeat it with the same bytes")
            self._see_out(connection)
            count = self._held_early[1]
            self._held_early = None
            return count
        finally:
            self._leave()

    def read_early_data(self, size: int = -1) -> bytes:
        """Up to `size` bytes of early data, at least one; b"" when there is none, or no more (SSL_read_early_data(3)).

        A server that wants any calls this before anything else, with `max_early_data` set: if another call begins the
        handshake, early data is rejected. What is read here may be a copy, made by anybody, of what was sent before
        (RFC 9846 section 8). Raises `UsageError` on a client, a Want… exception when there is nothing now, and the
        handshake's failure.
        """
        if self._server_side is False:
            raise UsageError("read_early_data: a client receives none")
        connection = self._begin_early("uninitialized: set_accept_state was not called")
        try:
            self._advance(connection)
            while True:
                data = connection.read_early_data(size)
                if data or size == 0:
                    with suppress(OSError):  # the data came first; who goes on with the handshake will hear of it
                        self._flush(connection)
                    return data
                flushed = self._flush(connection)
                if connection.error is not None:
                    self._fail(connection.error)
                if connection.early_data_ended:
                    return b""
                if connection.waiting_for_async or connection.needs_job:
                    self._want_async(connection)
                # A client that is still writing may not read our flight before it has done so.
                self._fill(connection, Want.READING if flushed else Want.WRITING)
        finally:
            self._leave()

    def _begin_early(self, no_role: str) -> Connection:
        if self._connection is None and self._server_side is not None:
            self._early = True
        return self._begin(no_role)

    def _await_hello(self, connection: Connection) -> None:
        """A client's work before its hello is paused."""
        self._flush(connection)
        if connection.waiting_for_async or connection.needs_job:
            self._want_async(connection)

    def _take_early(self, connection: Connection, data: bytes) -> int:
        if not connection.server_side:
            return connection.write_early_data(data)
        if connection.handshake_complete or not connection.may_write:
            return 0
        connection.write(data)
        return len(data)

    # --- messages after the handshake -------------------------------------------------------------------------------

    def key_update(self, request_peer: bool = False) -> None:
        """Change the keys this side writes with, and ask the peer to do so too (SSL_key_update(3)).

        The message goes out with this call, or with the next if the write BIO is full.
        """
        connection = self._begin()
        try:
            connection.key_update(request_peer=request_peer)
            self._flush(connection)
        finally:
            self._leave()

    def verify_client_post_handshake(self) -> None:
        """Ask the client for its certificate, on a connection that is open (SSL_verify_client_post_handshake(3)).

        The request goes out with this call, or with the next if the write BIO is full. The answer comes while this side
        reads; until then `authentication_pending` is true, from then on `peer_certificates` is what the client showed,
        if anything. A certificate that is not good ends the connection, and so does none at all if the context's
        `verify` is REQUIRED. Raises `UsageError` for a client that has not offered it, `ConfigError` without `trust`.
        """
        connection = self._begin()
        try:
            connection.verify_client_post_handshake()
            self._flush(connection)
        finally:
            self._leave()

    @property
    def authentication_pending(self) -> bool:
        """Whether the client has still to answer a `verify_client_post_handshake`."""
        return self._connection is not None and self._connection.authentication_pending

    # --- datagrams --------------------------------------------------------------------------------------------------

    @property
    def mtu(self) -> int:
        """Bytes that a datagram of ours may have; what is sent from now on heeds a change. Raises UsageError on TLS."""
        if self.context.settings.method is not Method.DTLS:
            raise UsageError("mtu: a stream has none")
        if isinstance(self._connection, DTLSConnection):
            return self._connection.mtu
        return self.context.settings.dtls.mtu

    @mtu.setter
    def mtu(self, value: int) -> None:
        self.context.dtls = replace(self.context.settings.dtls, mtu=value)
        if isinstance(self._connection, DTLSConnection):
            self._connection.mtu = value

    @property
    def max_datagram(self) -> int:
        """How many bytes a `write` on DTLS takes; 0 before the handshake is complete."""
        connection = self._connection
        if not isinstance(connection, DTLSConnection) or not connection.handshake_complete:
            return 0
        return connection.max_datagram

    # --- the end ----------------------------------------------------------------------------------------------------

    def shutdown(self) -> bool:
        """Close this side's direction with close_notify; whether the peer has closed its own too (SSL_shutdown(3)).

        The first call sends and, if the peer's close_notify has not come, returns False. A further call waits for it.
        Data that comes instead is a `UsageError` and stays to be read.
        """
        connection = self._begin()
        try:
            if connection.error is not None:
                self._fail(connection.error)
            if not connection.handshake_complete:
                raise UsageError("shutdown while in init: the handshake is not done")
            self._advance(connection)
            if not connection.close_notify_sent:
                connection.shutdown()
            while True:
                self._see_out(connection)
                if connection.close_notify_received:
                    return True
                if not self._shutdown_told:
                    self._shutdown_told = True
                    return False
                if connection.pending():
                    raise UsageError("application data after close notify: read it first")
                if connection.read_paused:
                    self._want_async(connection)
                self._fill(connection)
        finally:
            self._leave()

    def close(self) -> None:
        """Give everything up, as every SSL does; the short paths are closed first."""
        self._short = None
        super().close()
