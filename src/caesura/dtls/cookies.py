"""Clients prove their address before anything is kept of them (RFC 9147 section 5.1, RFC 6347 section 4.2.1).

A first hello is answered with a HelloRetryRequest whose cookie holds all that will be needed later, or, where DTLS 1.2
is agreed on, with a HelloVerifyRequest, behind which all begins anew. A hello that brings the cookie back comes from
where it says it comes from, and a connection begins with it. In between there is nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from caesura.context import Settings
from caesura.crypto.hkdf import SHA256
from caesura.dtls.plaintext import plaintext_record
from caesura.errors import AlertDescription, DecodeError, IllegalParameter, LocalAlert
from caesura.handshake import stateless
from caesura.handshake.negotiate import check_client_hello
from caesura.handshake.stateless import Retried
from caesura.handshake.transport import Profile
from caesura.wire import alerts
from caesura.wire.dtls import DTLSClientHello, HelloVerifyRequest, numbered
from caesura.wire.extensions import COOKIE, Extensions
from caesura.wire.messages import ClientHello, HandshakeMessage, decode_message
from caesura.wire.registries import ContentType, ExtensionType, Version

PROFILE: Final = Profile(
    name=b"dtls",
    version13=Version.DTLS13,
    version12=Version.DTLS12,
    legacy_version=0xFEFD,
    legacy_versions=range(0x8000, 0xFEFE),  # they count downwards
    label_prefix=b"dtls13",
    client_hello=DTLSClientHello,
    compatibility_session_id=False,
    echoes_session_id=False,
    end_of_early_data=False,
    hybrid_share_first=False,
    verify_request=HelloVerifyRequest,
    numbered12=True,
)

_HANDSHAKE: Final = int(ContentType.handshake)
_ALERT: Final = int(ContentType.alert)
_VERIFY_VERSION: Final = 0xFEFF  # DTLS 1.0, whatever will be agreed on (RFC 6347 section 4.2.1)

Address = object
"""Where a datagram comes from: whatever the socket says, of a kind that `repr` tells apart."""


@dataclass(frozen=True, slots=True)
class Proven:
    """What a second hello with a good cookie has brought: a connection begins with it."""

    retried: Retried | None  # None behind a HelloVerifyRequest
    record_sequence: int  # of the record the hello came in: ours go on from there, as RFC 6347 section 4.2.1 has it
    message_seq: int  # of the hello, and of our next message


def answer(settings: Settings, raw: bytes, address: Address, sequence: int, message_seq: int) -> bytes:
    """The record that answers a whole hello without a good cookie: a request for one, or the alert it deserves.

    Nothing is kept. Both requests have the hello's own numbers, so a client that comes with a cookie of long ago
    understands the next one too.
    """
    keys, wall = settings.dtls.cookie_keys, settings.clock.wall()
    request: HandshakeMessage
    try:
        hello = decode_message(DTLSClientHello, raw)
        if check_client_hello(hello, settings, PROFILE) is PROFILE.version12:
            request = HelloVerifyRequest(_VERIFY_VERSION, keys.seal(b"", _bound(hello, address), wall))
        elif message_seq:
            raise IllegalParameter("a second ClientHello without a good cookie", section="RFC 9147 section 5.1")
        else:
            request = stateless.ask_again(
                settings, PROFILE, hello, lambda state: keys.seal(state, _text(address), wall)
            )
    except LocalAlert as error:
        return alert(error.description, sequence)
    return plaintext_record(_HANDSHAKE, sequence, numbered(request.encode(), message_seq))


def prove(settings: Settings, hello: ClientHello, address: Address, sequence: int, message_seq: int) -> Proven | None:
    """What the hello's cookie proves; None when it proves nothing. Of the hello only the beginning need be there."""
    keys, wall = settings.dtls.cookie_keys, settings.clock.wall()
    if hello.legacy_cookie:
        if keys.open_untrusted(hello.legacy_cookie, _bound(hello, address), wall) is None:
            return None
        return Proven(None, sequence, message_seq)
    cookie = hello.extensions.get(COOKIE)
    if cookie is None or message_seq != 1:
        return None
    state = keys.open_untrusted(cookie, _text(address), wall)
    retried = stateless.reopen(settings, PROFILE, hello, state) if state is not None else None
    return Proven(retried, sequence, message_seq) if retried is not None else None


def alert(description: AlertDescription, sequence: int) -> bytes:
    """A fatal alert to somebody we keep nothing of."""
    return plaintext_record(_ALERT, sequence, alerts.fatal(description))


def read_beginning(body: bytes) -> DTLSClientHello | None:
    """A ClientHello of which perhaps only the beginning is there, as far as its cookie; None if that is not there.

    What the cookie proves needs nothing behind it: a long hello from a proven address is known by its first fragment.
    """
    try:
        fields = body[:34]
        pos = 34
        session_id, pos = _opaque(body, pos, 1)
        legacy_cookie, pos = _opaque(body, pos, 1)
        extensions = Extensions()
        if not legacy_cookie:
            for width in (2, 1):  # cipher_suites, legacy_compression_methods
                _, pos = _opaque(body, pos, width)
            pos += 2
        while not (legacy_cookie or ExtensionType.cookie in extensions):
            code = int.from_bytes(body[pos : pos + 2], "big")
            data, pos = _opaque(body, pos + 2, 2)
            extensions.put_data(code, data)
        extensions.get(COOKIE)
    except (DecodeError, IllegalParameter):
        return None
    hello = DTLSClientHello(int.from_bytes(fields[:2], "big"), fields[2:], session_id, (), b"", extensions)
    hello.legacy_cookie = legacy_cookie
    return hello


def _opaque(data: bytes, pos: int, width: int) -> tuple[bytes, int]:
    start = pos + width
    stop = start + int.from_bytes(data[pos:start], "big")
    if stop > len(data):
        raise DecodeError("cut short")
    return data[start:stop], stop


def _text(address: Address) -> bytes:
    """An address as bytes of a bounded length."""
    return SHA256.digest(repr(address).encode())[:16]


def _bound(hello: ClientHello, address: Address) -> bytes:
    """What a cookie of a HelloVerifyRequest is good for: this client's hello, as far as it stands before the cookie."""
    fields = hello.legacy_version.to_bytes(2, "big") + hello.random + hello.legacy_session_id
    return b"DTLS 1.2" + _text(address) + SHA256.digest(fields)
