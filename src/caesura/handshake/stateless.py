"""HelloRetryRequest, and how a server sends one without keeping anything (RFC 9846 sections 4.2.4 and 4.3.2).

What the server must know when the second hello comes is small, and goes into the cookie: the suite and the group it
asked for, the first hello's hash for the transcript, and a digest of all that may not change. The request itself can be
made again from that. Who seals cookies, for whom and for how long, is not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from caesura.context import Settings
from caesura.crypto.hkdf import SHA256
from caesura.crypto.suites import SUITES, Suite
from caesura.errors import DecodeError
from caesura.handshake.negotiate import check_client_hello, choose_group, choose_suite, psk_identities, unchanging
from caesura.handshake.transport import Profile
from caesura.wire.codec import U8, U16, Fixed, Opaque, Struct
from caesura.wire.extensions import (
    COOKIE,
    KEY_SHARE_CLIENT,
    KEY_SHARE_RETRY,
    SUPPORTED_GROUPS,
    SUPPORTED_VERSIONS_SERVER,
    Extensions,
)
from caesura.wire.messages import HELLO_RETRY_REQUEST_RANDOM, ClientHello, ServerHello
from caesura.wire.registries import ExtensionType, NamedGroup

_FORMAT: Final = 2
_DIGEST: Final = 16  # bytes of the digest of what may not change


@dataclass(slots=True)
class _State:
    """What a cookie holds. Group 0: the share that came was good."""

    format: int
    suite: int
    group: int
    hello_hash: bytes
    unchanging: bytes
    identities: int  # of pre-shared keys


_STATE: Final = Struct(
    _State,
    format=U8,
    suite=U16,
    group=U16,
    hello_hash=Opaque(32, 64),
    unchanging=Fixed(_DIGEST),
    identities=U16,
)


@dataclass(frozen=True, slots=True)
class Retried:
    """What a cookie has brought back."""

    suite: Suite
    group: NamedGroup | None  # for which a share was asked
    hello_hash: bytes  # of the first ClientHello
    unchanging: bytes
    identities: int  # of pre-shared keys, which may only be fewer
    request: bytes  # the HelloRetryRequest that was sent

    def continued_by(self, hello: ClientHello) -> bool:
        """Whether this hello has left unchanged what may not change."""
        return (
            self.unchanging == _digest(hello, with_shares=self.group is None)
            and len(psk_identities(hello)) <= self.identities
        )


def ask_again(settings: Settings, profile: Profile, hello: ClientHello, seal: Callable[[bytes], bytes]) -> ServerHello:
    """A HelloRetryRequest that answers a first hello; nothing of it need be kept.

    The round trip is paid for in any case, so it also asks for a share of the group we like best. `seal` makes the
    cookie. Raises the alert that a hello deserves with which no handshake can begin.
    """
    check_client_hello(hello, settings, profile)
    suite = choose_suite(settings, hello.cipher_suites, profile.version13)
    groups = hello.extensions.get(SUPPORTED_GROUPS) or ()
    group, _ = choose_group(settings, groups, ())
    shares = hello.extensions.get(KEY_SHARE_CLIENT) or ()
    wanted = None if any(share.group == group.code for share in shares) else group.code
    state = _State(
        _FORMAT,
        suite.code,
        wanted or 0,
        suite.hash.digest(hello.raw),
        _digest(hello, with_shares=wanted is None),
        len(psk_identities(hello)),
    )
    return hello_retry_request(profile, hello.legacy_session_id, suite, wanted, seal(_STATE.encode(state)))


def reopen(settings: Settings, profile: Profile, hello: ClientHello, state: bytes) -> Retried | None:
    """What the state in the second hello's cookie says; None if it was made under other settings."""
    cookie = hello.extensions.get(COOKIE)
    try:
        found = _STATE.decode(state)
    except DecodeError:
        return None
    suite = SUITES.get(found.suite)
    if cookie is None or found.format != _FORMAT or suite is None or suite.code not in settings.cipher_suites:
        return None
    if found.group and found.group not in settings.groups:
        return None
    group = NamedGroup(found.group) if found.group else None
    request = hello_retry_request(profile, hello.legacy_session_id, suite, group, cookie)
    return Retried(suite, group, found.hello_hash, found.unchanging, found.identities, request.encode())


def hello_retry_request(
    profile: Profile, session_id: bytes, suite: Suite, group: NamedGroup | None, cookie: bytes | None
) -> ServerHello:
    """The message (RFC 9846 section 4.2.4)."""
    extensions = Extensions()
    extensions.put(SUPPORTED_VERSIONS_SERVER, profile.version13)
    if group is not None:
        extensions.put(KEY_SHARE_RETRY, group)
    if cookie is not None:
        extensions.put(COOKIE, cookie)
    echo = session_id if profile.echoes_session_id else b""
    return ServerHello(profile.legacy_version, HELLO_RETRY_REQUEST_RANDOM, echo, suite.code, 0, extensions)


def _digest(hello: ClientHello, *, with_shares: bool) -> bytes:
    shares = hello.extensions.get_data(ExtensionType.key_share) if with_shares else None
    return SHA256.digest(unchanging(hello) + (shares or b""))[:_DIGEST]
