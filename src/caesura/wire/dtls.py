"""What DTLS writes differently from TLS: record headers, fragments, ACKs, and a few messages (RFC 9147, RFC 6347).

A handshake message itself is the same on all transports: what the transcript takes has the header of four bytes that
TLS gives it. On the wire each of its pieces has twelve, which say where the piece belongs (RFC 9147 section 5.2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from caesura.errors import DecodeError, IllegalParameter
from caesura.wire.codec import U8, U16, ClosedEnumerated, Codec, Opaque, Struct, Vector
from caesura.wire.messages import CLIENT_HELLO, ClientHello, HandshakeMessage
from caesura.wire.registries import ConnectionIdUsage, HandshakeType

# --- records (RFC 9147 section 4, RFC 6347 section 4.1) -------------------------------------------------------------

PLAINTEXT_HEADER: Final = struct.Struct(">BHQH")
"""DTLSPlaintext: type, legacy_record_version, epoch and sequence_number as one number of 16 and 48 bits, length. The
records of DTLS 1.2 have it whether they are protected or not."""

PLAINTEXT_HEADER_LENGTH: Final = PLAINTEXT_HEADER.size
RECORD_VERSION: Final = 0xFEFD
"""legacy_record_version: that of DTLS 1.2, which DTLS 1.3 has frozen."""

FIRST_RECORD_VERSION: Final = 0xFEFF
"""The same in the records of a first ClientHello: that of DTLS 1.0, for servers that look at it (RFC 9147 4)."""

MAX_PLAINTEXT_SEQUENCE: Final = 2**48 - 1

UNIFIED_HEADER: Final = 0b0010_0000
"""The three bits with which a DTLSCiphertext begins; `UNIFIED_HEADER_MASK` covers them."""

UNIFIED_HEADER_MASK: Final = 0b1110_0000
CONNECTION_ID_PRESENT: Final = 0b0001_0000
SEQUENCE_16_BITS: Final = 0b0000_1000
LENGTH_PRESENT: Final = 0b0000_0100
EPOCH_BITS: Final = 0b0000_0011

# --- fragments (RFC 9147 section 5.2) -------------------------------------------------------------------------------

FRAGMENT_HEADER_LENGTH: Final = 12
"""Bytes of msg_type, length, message_seq, fragment_offset and fragment_length."""

NUMBER_LENGTH: Final = 8
"""By how many bytes that is longer than the header that TLS gives a message."""

_FRAGMENT_HEADER: Final = struct.Struct(">IHHBBH")  # numbers of 24 bits are taken apart
_MESSAGE_SEQ: Final = struct.Struct(">H")

unpack_whole = struct.Struct(">IQ").unpack_from
"""The same header as two numbers: msg_type and length; the rest, which is `message_seq << 48 | length` in one piece."""


@dataclass(slots=True)
class Fragment:
    """One piece of a handshake message; `length` is that of the whole message, without a header."""

    msg_type: int
    length: int
    message_seq: int
    offset: int
    data: bytes

    @property
    def header(self) -> bytes:
        """What TLS has before the whole message: its type and its length."""
        return (self.msg_type << 24 | self.length).to_bytes(4, "big")

    @property
    def stop(self) -> int:
        """Where the piece ends in the message."""
        return self.offset + len(self.data)

    def encode(self) -> bytes:
        """The piece with its header."""
        size, offset = len(self.data), self.offset
        header: bytes = _FRAGMENT_HEADER.pack(
            self.msg_type << 24 | self.length, self.message_seq, offset >> 8, offset & 0xFF, size >> 16, size & 0xFFFF
        )
        return header + self.data


def piece(whole: bytes, start: int, stop: int) -> bytes:
    """These bytes of a message's body with their header, cut out of the message in one piece."""
    position = start.to_bytes(3, "big") + (stop - start).to_bytes(3, "big")
    return whole[:6] + position + whole[FRAGMENT_HEADER_LENGTH + start : FRAGMENT_HEADER_LENGTH + stop]


def decode_fragments(content: bytes) -> list[Fragment]:
    """The pieces in a handshake record, of which there is at least one.

    Raises DecodeError for one that is cut short, IllegalParameter for one that reaches beyond its message.
    """
    fragments: list[Fragment] = []
    pos, size = 0, len(content)
    while pos < size or not fragments:
        start = pos + FRAGMENT_HEADER_LENGTH
        if start > size:
            raise DecodeError("a handshake fragment's header is cut short", section="RFC 9147 section 5.2")
        type_and_length, message_seq, high, low, size_high, size_low = _FRAGMENT_HEADER.unpack_from(content, pos)
        length, offset, stop = type_and_length & 0xFFFFFF, high << 8 | low, start + (size_high << 16 | size_low)
        if stop > size:
            raise DecodeError("a handshake fragment is cut short", section="RFC 9147 section 5.2")
        if offset + stop - start > length:
            raise IllegalParameter("a fragment beyond the end of its message", section="RFC 9147 section 5.5")
        fragments.append(Fragment(type_and_length >> 24, length, message_seq, offset, content[start:stop]))
        pos = stop
    return fragments


def numbered(raw: bytes, message_seq: int) -> bytes:
    """A message with the header that it has in one piece: what the transcript of DTLS 1.2 takes (RFC 6347 4.2.6)."""
    return b"".join((raw[:4], _MESSAGE_SEQ.pack(message_seq), b"\0\0\0", raw[1:]))


# --- ACK (RFC 9147 section 7) ---------------------------------------------------------------------------------------

RecordNumber = tuple[int, int]
"""Epoch and sequence number of a record."""

RECORD_NUMBER: Final = struct.Struct(">QQ")
_RECORD_NUMBERS: Final = Opaque(0, 2**16 - 1)


def encode_ack(numbers: Iterable[RecordNumber]) -> bytes:
    """The content of an ACK record, for numbers in increasing order."""
    return _RECORD_NUMBERS.encode(b"".join(RECORD_NUMBER.pack(*number) for number in numbers))


def decode_ack(content: bytes) -> list[RecordNumber]:
    """The record numbers in an ACK. Raises DecodeError."""
    numbers = _RECORD_NUMBERS.decode(content)
    if len(numbers) % RECORD_NUMBER.size:
        raise DecodeError("an ACK holds no whole number of record numbers", section="RFC 9147 section 7")
    return [(epoch, sequence) for epoch, sequence in RECORD_NUMBER.iter_unpack(numbers)]


# --- messages -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class DTLSClientHello(ClientHello):
    """RFC 9147 section 5.3: a ClientHello with `legacy_cookie` behind its session id."""


class _DTLSClientHelloCodec(Codec[DTLSClientHello]):
    """The ClientHello of TLS with one field more in its middle."""

    __slots__ = ("_hello",)

    _ID_AT: Final = 34  # bytes: legacy_version and random
    _SESSION_ID: Final = Opaque(0, 32)
    _COOKIE: Final = Opaque(0, 2**8 - 1)

    def __init__(self) -> None:
        self._hello = Struct(DTLSClientHello, **dict(CLIENT_HELLO.fields))

    def read(self, data: bytes, pos: int) -> tuple[DTLSClientHello, int]:
        _, at = self._SESSION_ID.read(data, pos + self._ID_AT)
        try:
            cookie, rest = self._COOKIE.read(data, at)
        except DecodeError as error:
            raise DecodeError(f"DTLSClientHello.legacy_cookie: {error.strerror}") from None
        hello, stop = self._hello.read(data[pos:at] + data[rest:], 0)
        hello.legacy_cookie = cookie
        return hello, stop + pos + rest - at

    def encode(self, value: DTLSClientHello) -> bytes:
        hello = self._hello.encode(value)
        at = self._ID_AT + 1 + len(value.legacy_session_id)
        return hello[:at] + self._COOKIE.encode(value.legacy_cookie) + hello[at:]


DTLSClientHello.codec = _DTLSClientHelloCodec()


@dataclass(slots=True)
class HelloVerifyRequest(HandshakeMessage):
    """RFC 6347 section 4.2.1: the hello shall come again with this cookie. Its version decides nothing."""

    msg_type = HandshakeType.hello_verify_request

    server_version: int
    cookie: bytes


HelloVerifyRequest.codec = Struct(
    HelloVerifyRequest,
    server_version=U16,
    cookie=Opaque(0, 2**8 - 1),
)


@dataclass(slots=True)
class RequestConnectionId(HandshakeMessage):
    """RFC 9147 section 9: a wish for `num_cids` connection ids more."""

    msg_type = HandshakeType.request_connection_id

    num_cids: int


RequestConnectionId.codec = Struct(
    RequestConnectionId,
    num_cids=U8,
)


@dataclass(slots=True)
class NewConnectionId(HandshakeMessage):
    """RFC 9147 section 9: connection ids that the sender wants to receive from now on."""

    msg_type = HandshakeType.new_connection_id

    cids: tuple[bytes, ...]
    usage: ConnectionIdUsage


NewConnectionId.codec = Struct(
    NewConnectionId,
    cids=Vector(Opaque(0, 2**8 - 1), 0, 2**16 - 1),
    usage=ClosedEnumerated(ConnectionIdUsage, U8),
)
