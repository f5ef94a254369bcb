"""Whoever has not proved its address gets an answer, and nothing of it is kept (RFC 9147 section 5.1, RFC 6347 4.2.1).

Hellos come whole or in pieces; what brings a good cookie back leads to a handshake, anything else to a cookie or an
alert. The same for a listener and for one connection that is to find out who its peer is.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from caesura.context import Settings
from caesura.dtls import cookies
from caesura.dtls.cookies import Address, Proven
from caesura.dtls.hellos import HELLOS, ForeignHellos
from caesura.dtls.plaintext import split_plaintext
from caesura.errors import DecodeError, IllegalParameter
from caesura.wire.dtls import Fragment, decode_fragments
from caesura.wire.registries import ContentType, HandshakeType

RANDOM: Final = slice(2, 34)
"""Where a ClientHello has its random."""

_HANDSHAKE: Final = int(ContentType.handshake)


class Hello(NamedTuple):
    """A piece of a ClientHello with which an association could begin, and the number of its record."""

    fragment: Fragment
    sequence: int


class Greeted(NamedTuple):
    """A client that has proved its address: how, the datagrams its hello came in, and the hello's random."""

    proven: Proven
    datagrams: list[bytes]
    random: bytes


def hello_in(datagram: bytes) -> Hello | None:
    """The hello that a datagram begins with, if it does."""
    record = split_plaintext(datagram, 0) if datagram[:1] == _TYPE else None
    if record is None or record[1]:
        return None
    _, _, sequence, start, stop = record
    try:
        fragment = decode_fragments(datagram[start:stop])[0]
    except (DecodeError, IllegalParameter):
        return None
    if fragment.msg_type != HandshakeType.client_hello or fragment.message_seq > HELLOS:
        return None
    return Hello(fragment, sequence)


_TYPE: Final = bytes((_HANDSHAKE,))


class Greeter:
    """Answers hellos. What it keeps are the pieces of long ones, within `limits.hello_bytes`."""

    __slots__ = ("_settings", "hellos")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.hellos = ForeignHellos(settings.limits.hello_bytes)

    def greet(self, datagram: bytes, addr: Address, hello: Hello) -> Greeted | bytes | None:
        """What a hello, or a piece of one, has proved; or the answer to it; None when there is neither."""
        settings, (fragment, sequence) = self._settings, hello
        if fragment.length > settings.limits.handshake_message:
            return None
        seq, whole = fragment.message_seq, len(fragment.data) == fragment.length
        gathered = None if whole else self.hellos.add(addr, fragment, datagram)
        body = fragment.data if gathered is None else gathered.message.beginning()
        beginning = cookies.read_beginning(body) if seq else None
        proven = cookies.prove(settings, beginning, addr, sequence, seq) if beginning is not None else None
        if beginning is not None and proven is not None:
            self.hellos.forget_all(addr)
            return Greeted(proven, gathered.datagrams if gathered is not None else [datagram], beginning.random)
        if len(body) < fragment.length:
            return None
        self.hellos.forget(addr, seq)
        return cookies.answer(settings, fragment.header + body, addr, sequence, seq)
