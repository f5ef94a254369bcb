"""The early data of one connection (RFC 9846 section 2.3): what has come, how much more may go or come, and what became
of it. Whether there is any is for the handshake to say (`handshake.early_data`).
"""

from __future__ import annotations

from caesura.events import EarlyDataReason, EarlyDataStatus
from caesura.handshake.early_state import EarlyBytes
from caesura.handshake.transport import Epoch
from caesura.tls.reader import RecordReader
from caesura.tls.records import RecordKey
from caesura.tls.writer import RecordWriter
from caesura.wire.data import Data
from caesura.wire.records import MAX_INNER_PLAINTEXT


class EarlyData(EarlyBytes):
    """A client sends it, beginning with `to_send` (None: it has not asked for any); a server receives it.

    `into` is where a server's goes, instead of what `read` gives.
    """

    __slots__ = (
        "_into", "_max_inner", "_reader", "_received", "_records", "_to_send", "_writer", "may_answer",
    )  # fmt: skip

    def __init__(
        self,
        reader: RecordReader,
        writer: RecordWriter,
        *,
        server_side: bool,
        to_send: bytes | None = None,
        into: list[bytes] | None = None,
    ) -> None:
        super().__init__(wanted=to_send is not None, server_side=server_side)
        self._reader = reader
        self._writer = writer
        self._to_send = to_send or b""
        self._records = 0  # that may still be sent under the one key there is
        self._max_inner = 0  # of the records that follow
        self._received: list[bytes] = []
        self._into = self._received if into is None else into
        self.may_answer = False  # a server may write before the client's Finished has come

    # --- what the application does --------------------------------------------------------------------------------

    def write(self, data: Data) -> int:
        """Send as far as there is room: how many bytes were taken."""
        if self.ended or self.status is EarlyDataStatus.NOT_SENT:
            return 0
        fragment = self._writer.max_fragment
        taken = min(len(data), self._left, self._records * fragment)
        if taken:
            self._left -= taken
            self._records -= -(-taken // fragment)
            self._writer.write(bytes(memoryview(data)[:taken]))
        return taken

    @property
    def unread(self) -> bool:
        """Whether something has come that was not read."""
        return bool(self._received)

    def read(self, size: int) -> bytes:
        """Up to `size` bytes of what has come, all of it if `size` is negative."""
        data = b"".join(self._received)
        self._received.clear()
        if 0 <= size < len(data):
            self._received.append(data[size:])
            data = data[:size]
        return data

    # --- what the handshake says ----------------------------------------------------------------------------------

    def told(self, accepted: bool, limit: int, reason: EarlyDataReason) -> bool:
        """How it stands now (see MessageTransport); whether a client's has come to nothing.

        What is refused a server passes over, and a client drops what it has not sent yet.
        """
        offered = super().told(accepted, limit, reason)
        to_send, self._to_send = self._to_send, b""
        if accepted:
            self.write(to_send)
            return False
        if self._server_side:
            self._reader.skip(limit)
        elif offered:
            self._writer.abandon()
        return not self._server_side

    def written_under(self, epoch: Epoch, key: RecordKey) -> None:
        """What is written from now on is of this epoch."""
        if epoch is Epoch.EARLY_DATA:
            self._records = key.limit
        elif not self._server_side:
            self.ended = True
        elif epoch is Epoch.APPLICATION:
            self.may_answer = self.status is EarlyDataStatus.ACCEPTED

    # --- what comes -----------------------------------------------------------------------------------------------

    def begin_reading(self) -> None:
        """Early data comes. A limit of ours on records holds once the client has heard of it (RFC 8449 section 4)."""
        self._max_inner = self._reader.max_inner
        self._reader.max_inner = MAX_INNER_PLAINTEXT

    def end_reading(self) -> None:
        """The client has said that no more comes."""
        self._reader.max_inner = self._max_inner
        self.ended = True

    def receive_untrusted(self, content: bytes) -> None:
        """What a record has brought; UnexpectedMessage beyond what the ticket allows."""
        super().receive_untrusted(content)
        self._into.append(content)
