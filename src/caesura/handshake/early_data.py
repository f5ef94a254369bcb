"""Early data, or 0-RTT: whether it is offered, taken or refused (RFC 9846 sections 2.3, 4.3.10 and 8).

Only a session brings any, and only under the conditions it was made with. A refusal never ends a handshake: whoever
offered hears of it, with the reason, and nothing is sent a second time. What carries the data, within which bounds, is
the transport's affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from caesura.crypto.hkdf import SHA256
from caesura.crypto.secrets import TrafficSecret
from caesura.crypto.suites import SUITES, Suite
from caesura.engines import Operation
from caesura.errors import IllegalParameter, UnsupportedExtension, UsageError
from caesura.events import EarlyDataReason
from caesura.handshake.psk import External, OfferedKey, Resumed
from caesura.handshake.requests import Steps, perform
from caesura.handshake.state import Handshake
from caesura.handshake.transport import Epoch
from caesura.wire.extensions import EARLY_DATA, PRE_SHARED_KEY_CLIENT, Extensions
from caesura.wire.messages import ClientHello, EndOfEarlyData
from caesura.wire.registries import ExtensionType

_SECTION: Final = "RFC 9846 section 4.3.10"

Key = Resumed | External | None
"""What a server has found among the keys of a client's."""


# --- the client ---------------------------------------------------------------------------------------------------


def offer(hs: Handshake, hello: ClientHello, keys: Sequence[OfferedKey]) -> bool:
    """Offer early data with the first hello, if the application has some and there is a session for it."""
    if hs.early_data is None:
        return False
    reason = obstacle(hs, hs.early_data, keys)
    if reason is None:
        hello.extensions.put(EARLY_DATA, True)
        return True
    hs.transport.early_data(False, 0, reason)
    return False


def obstacle(hs: Handshake, size: int, keys: Sequence[OfferedKey]) -> EarlyDataReason | None:
    """Why `size` bytes cannot be sent early; None if they can."""
    session = keys[0].session if keys else None
    if hs.profile.version13 not in hs.settings.offered_versions:
        return EarlyDataReason.PROTOCOL_VERSION
    if session is None:
        return EarlyDataReason.NO_SESSION_OFFERED
    if not session.max_early_data:
        return EarlyDataReason.UNSUPPORTED_FOR_SESSION
    if session.cipher_suite not in hs.settings.offered_suites:  # to resume, another one with the same hash would do
        return EarlyDataReason.CIPHER_SUITE_MISMATCH
    if session.alpn is not None and session.alpn not in hs.settings.alpn:
        return EarlyDataReason.ALPN_MISMATCH
    if not hs.transport.accepts_early_data(session.transport_state):
        return EarlyDataReason.TRANSPORT_MISMATCH
    return EarlyDataReason.LIMIT if size > session.max_early_data else None


def begin(hs: Handshake, key: OfferedKey) -> None:
    """The hello is sent: from now on early data may be written."""
    assert key.session is not None
    secret = key.early.client_traffic(SUITES[key.session.cipher_suite], hs.transcript.digest_with(key.hash, b""))
    hs.log_secrets(CLIENT_EARLY_TRAFFIC_SECRET=secret)
    hs.install_write(Epoch.EARLY_DATA, secret)
    hs.transport.early_data(True, key.session.max_early_data, EarlyDataReason.UNKNOWN)


def refused(hs: Handshake, reason: EarlyDataReason) -> None:
    """The server takes none of what was offered: its keys are dropped."""
    hs.transport.early_data(False, 0, reason)
    hs.epoch = Epoch.INITIAL


def answered(
    hs: Handshake,
    keys: Sequence[OfferedKey],
    accepted: OfferedKey | None,
    suite: Suite,
    alpn: str | None,
    answers: Extensions,
) -> bool:
    """Whether the server takes the early data, which it may only under the conditions of the session."""
    if ExtensionType.early_data not in answers:
        resumed = accepted is not None and accepted.session is not None
        refused(hs, EarlyDataReason.PEER_DECLINED if resumed else EarlyDataReason.SESSION_NOT_RESUMED)
        return False
    session = keys[0].session
    assert session is not None
    if accepted is None:
        raise UnsupportedExtension("early_data without the session that it belongs to", section=_SECTION)
    if accepted is not keys[0]:
        raise IllegalParameter("early_data with another key than the first", section="RFC 9846 section 4.3.11")
    if suite.code != session.cipher_suite:
        raise IllegalParameter("early_data with another suite than that of the session", section=_SECTION)
    if alpn != session.alpn:
        raise IllegalParameter("early_data with another protocol than that of the session", section=_SECTION)
    hs.transport.early_data(True, session.max_early_data, EarlyDataReason.ACCEPT)
    return True


def end(hs: Handshake, secret: TrafficSecret) -> None:
    """No more early data follows; the handshake goes on under its own keys (RFC 9846 section 4.6)."""
    hs.send(EndOfEarlyData())
    hs.install_write(Epoch.HANDSHAKE, secret)


# --- the server ---------------------------------------------------------------------------------------------------


def judge(
    hs: Handshake, first: ClientHello, hello: ClientHello, suite: Suite, alpn: str | None, key: Key
) -> Steps[bool]:
    """Take or refuse what the client has offered with its `first` hello; `hello` is another one after a retry.

    The reason is told in either case, and also if nothing was offered.
    """
    reason = objection(hs, first, hello, suite, alpn, key)
    if reason is None:
        assert isinstance(key, Resumed)
        if (yield from first_use(hs, hello, key)):
            take(hs, hello, suite, key)
            return True
        reason = EarlyDataReason.REPLAY
    if hello is first and ExtensionType.early_data in first.extensions:
        pass_over(hs, reason)
    else:
        hs.transport.early_data(False, 0, reason)
    return False


def objection(
    hs: Handshake, first: ClientHello, hello: ClientHello, suite: Suite, alpn: str | None, key: Key
) -> EarlyDataReason | None:
    """Why early data is not taken; None if nothing speaks against it but that it may have come before."""
    settings = hs.settings
    if hs.early_data is None or not settings.max_early_data:
        return EarlyDataReason.DISABLED
    if ExtensionType.pre_shared_key not in hello.extensions:
        return EarlyDataReason.NO_SESSION_OFFERED
    if not isinstance(key, Resumed) or key.index != 0:  # early data is that of the first session
        return EarlyDataReason.SESSION_NOT_RESUMED
    state = key.state
    if not 0 < state.max_early_data <= settings.max_early_data or state.replay_zone != settings.replay_store.zone:
        return EarlyDataReason.UNSUPPORTED_FOR_SESSION
    if ExtensionType.early_data not in first.extensions:
        return EarlyDataReason.PEER_DECLINED
    if suite.code != state.cipher_suite:
        return EarlyDataReason.CIPHER_SUITE_MISMATCH
    if (alpn or "").encode("latin-1") != state.alpn:
        return EarlyDataReason.ALPN_MISMATCH
    if abs(key.age_skew) > settings.early_data_window:
        return EarlyDataReason.TICKET_AGE_SKEW
    if not hs.transport.accepts_early_data(state.transport_state):
        return EarlyDataReason.TRANSPORT_MISMATCH
    return None if hello is first else EarlyDataReason.HELLO_RETRY_REQUEST


def first_use(hs: Handshake, hello: ClientHello, key: Resumed) -> Steps[bool]:
    """Whether no early data came with this ticket before (RFC 9846 section 8.2).

    It is remembered for as long as a copy of this hello, whose age nobody can change, would pass for fresh.
    """
    offered = hello.extensions.get(PRE_SHARED_KEY_CLIENT)
    assert offered is not None
    settings = hs.settings
    digest = SHA256.digest(offered.identities[key.index].identity)
    until = (key.state.created + key.age) / 1000 + settings.early_data_window
    first = yield from perform(
        Operation.CHECK_REPLAY, settings.replay_store.first_use, digest, settings.clock.wall(), until
    )
    if type(first) is not bool:
        raise UsageError(f"replay_store: first_use returned {type(first).__name__}, not True or False")
    return first


def take(hs: Handshake, hello: ClientHello, suite: Suite, key: Resumed) -> None:
    """From now on early data is read, until its end (RFC 9846 section 4.6)."""
    secret = key.early.client_traffic(suite, hs.transcript.digest_with(suite.hash, hello.raw))
    hs.log_secrets(CLIENT_EARLY_TRAFFIC_SECRET=secret)
    hs.transport.early_data(True, key.state.max_early_data, EarlyDataReason.ACCEPT)
    hs.install_read(Epoch.EARLY_DATA, secret)


def pass_over(hs: Handshake, reason: EarlyDataReason) -> None:
    """Refuse what was offered: as much of it may come as our tickets allow, and what stands around it."""
    hs.transport.early_data(False, hs.settings.limits.early_data_skipped + hs.settings.max_early_data, reason)
