"""The first hellos: they come before any version is known, and end in the handshake of the one that was agreed.

`connect` sends a client's hello, `accept` reads it on a server; both deal with HelloRetryRequest and pre-shared keys
(RFC 9846 sections 4.2 and 4.3.11). This is where a ticket is opened and where an identity, which may bring another
Context, is chosen.
"""

from __future__ import annotations

from caesura.context import Context, Identity, Settings, Verify
from caesura.crypto.groups import BIG, GROUPS, GROUPS12, KeyPair
from caesura.crypto.names import server_name
from caesura.crypto.psk import PSK
from caesura.crypto.suites import SUITES, Suite
from caesura.engines import Operation
from caesura.errors import (
    HandshakeFailure,
    IllegalParameter,
    MissingExtension,
    ProtocolVersionAlert,
    UnexpectedMessage,
    UsageError,
)
from caesura.events import EarlyDataReason
from caesura.handshake import compression, early_data, psk, psk12, raw_keys, tickets
from caesura.handshake.authenticate import judge_again
from caesura.handshake.client12 import client12
from caesura.handshake.client13 import Offer, check_server_hello, client13
from caesura.handshake.hello12 import choose12, offer_session, put_extensions
from caesura.handshake.negotiate import (
    NULL_COMPRESSION,
    check_client_hello,
    check_second_hello,
    choose_alpn,
    choose_group,
    choose_identity,
    choose_suite,
    describe,
    no_early_data,
    only_share,
    put_authorities,
    put_schemes,
)
from caesura.handshake.requests import Steps, perform
from caesura.handshake.server12 import server12
from caesura.handshake.server13 import Choice, server13
from caesura.handshake.state import Handshake, remembered
from caesura.handshake.stateless import Retried, hello_retry_request
from caesura.handshake.transport import Profile
from caesura.sessions import Session
from caesura.wire.extensions import (
    ALPN,
    CERTIFICATE_AUTHORITIES,
    COOKIE,
    KEY_SHARE_CLIENT,
    KEY_SHARE_RETRY,
    POST_HANDSHAKE_AUTH,
    PRE_SHARED_KEY_CLIENT,
    PSK_KEY_EXCHANGE_MODES,
    SERVER_NAME,
    SIGNATURE_ALGORITHMS,
    SIGNED_CERTIFICATE_TIMESTAMP,
    STATUS_REQUEST,
    SUPPORTED_GROUPS,
    SUPPORTED_VERSIONS_CLIENT,
    CertificateStatusRequest,
    Extensions,
    KeyShareEntry,
    OCSPStatusRequest,
    OfferedPsks,
    PskIdentity,
)
from caesura.wire.messages import ClientHello, ServerHello
from caesura.wire.registries import (
    CertificateStatusType,
    CipherSuite,
    ExtensionType,
    HandshakeType,
    NamedGroup,
    PskKeyExchangeMode,
    SignatureScheme,
)

# --- the client ---------------------------------------------------------------------------------------------------


def connect(hs: Handshake) -> Steps[None]:
    """A client's whole handshake."""
    binding = own_binding(hs)
    session = yield from find_session(hs, binding)
    keys = [] if session is None or session.version != hs.profile.version13 else [psk.of_session(hs, session)]
    older_key: PSK | None = None
    if hs.settings.lookup_psk is not None:
        found = yield from psk.own_keys(hs.settings)
        keys += psk.external_keys(hs, found)
        older_key = psk12.own_key(hs.settings, found)
        if not keys and older_key is None and hs.settings.psk_only:
            raise UsageError("lookup_psk: no key for this server, and there is no trust to judge certificates by")
    tls13 = hs.profile.version13 in hs.settings.offered_versions
    key_pairs = (yield from generate_keys(first_groups(hs.settings, hs.profile))) if tls13 else {}
    hello = client_hello(hs, key_pairs, session, psk12.offered_suites(hs.settings, older_key))
    offer = Offer(hello, key_pairs, session, keys, binding, early_data.offer(hs, hello, keys), older_key)
    hs.client_random = hello.random
    if offer.early and session is not None:
        yield from judge_again(hs, remembered(session))
    send_hello(hs, offer)
    if offer.early:
        early_data.begin(hs, keys[0])
    answer = yield from receive_answer(hs, offer)
    if tls13 and answer.is_retry:
        offer = yield from retry(hs, offer, answer)
        answer = yield from hs.receive_raw(ServerHello)
        if answer.is_retry:
            raise UnexpectedMessage("a second HelloRetryRequest", section="RFC 9846 section 4.2.4")
    client = client12 if older_version(hs, offer, answer) else client13
    if client is client12 and offer.early:
        early_data.refused(hs, EarlyDataReason.PROTOCOL_VERSION)
        raise ProtocolVersionAlert("a version that has no early data", section="RFC 9846 appendix E.3")
    hs.transport.completed((yield from client(hs, offer, answer)))


def receive_answer(hs: Handshake, offer: Offer) -> Steps[ServerHello]:
    """The server's hello. On datagrams it may ask first for ours with a cookie in it (RFC 6347 section 4.2.1)."""
    verify_request = hs.profile.verify_request
    if verify_request is None:
        return (yield from hs.receive_raw(ServerHello))
    for asked in range(hs.settings.limits.verify_requests + 1):
        answer = yield from hs.receive_raw(verify_request, ServerHello)
        if isinstance(answer, ServerHello):
            if asked and not older_version(hs, offer, answer):
                raise IllegalParameter("DTLS 1.3 behind a HelloVerifyRequest", section="RFC 9147 section 5.3")
            return answer
        assert isinstance(answer, verify_request)
        if hs.profile.version12 not in hs.settings.offered_versions:
            raise ProtocolVersionAlert("only a server of DTLS 1.2 asks in this way", section="RFC 9147 section 5.1")
        offer.hello.legacy_cookie = answer.cookie
        hs.transcript.begin_anew()
        send_hello(hs, offer)
    raise UnexpectedMessage(f"more than {hs.settings.limits.verify_requests} HelloVerifyRequests")


def older_version(hs: Handshake, offer: Offer, answer: ServerHello) -> bool:
    """Whether the server has chosen a version before TLS 1.3, and may: not behind a retry, which is TLS 1.3's own."""
    if hs.profile.version13 not in hs.settings.versions:
        return True
    return (
        ExtensionType.supported_versions not in answer.extensions
        and hs.profile.version12 in hs.settings.offered_versions
        and offer.retried is None
    )


def own_binding(hs: Handshake) -> bytes:
    """The conditions of this handshake's sessions, the identity a client would be known by among them."""
    if hs.settings.sessions is None and hs.session is None:
        return b""
    identity = hs.settings.identity[0] if hs.settings.identity else None
    return tickets.binding(
        hs.settings, hs.profile, server_side=False, server_name=hs.server_hostname, identity=identity
    )


def find_session(hs: Handshake, binding: bytes) -> Steps[Session | None]:
    """The caller's session or one from the store, if it may still be offered; it is used up by that."""
    session = hs.session
    if session is None and hs.settings.sessions is not None:
        session = yield from perform(Operation.LOOKUP_SESSION, hs.settings.sessions.take, binding)
    if session is None or session.binding != binding or not session.usable(hs.settings.clock.wall()):
        return None
    if not suite_is_offered(hs, session):
        return None
    session.resumable = False
    return session


def suite_is_offered(hs: Handshake, session: Session) -> bool:
    """Whether the session's version and suite are on offer; in TLS 1.3 any suite with the same hash would do."""
    suite = SUITES.get(session.cipher_suite)
    if suite is None or session.version not in hs.settings.offered_versions or session.version not in suite.versions:
        return False
    if session.version == hs.profile.version12:
        return suite.code in hs.settings.offered_suites
    same = (SUITES[code] for code in hs.settings.offered_suites)
    return any(each.hash is suite.hash and session.version in each.versions for each in same)


def first_groups(settings: Settings, profile: Profile) -> tuple[NamedGroup, ...]:
    """The groups for which shares go into the first hello: the preferred one and, beside a big one, a small one."""
    groups = settings.groups
    if settings.key_shares is not None:
        return tuple(filter(settings.key_shares.__contains__, groups))
    small = next((code for code in groups if code not in BIG), None)
    if groups[0] not in BIG or small is None:
        return groups[:1]
    return (groups[0], small) if profile.hybrid_share_first else (small,)


def generate_keys(groups: tuple[NamedGroup, ...]) -> Steps[dict[int, KeyPair]]:
    """A key pair for each group."""
    key_pairs: dict[int, KeyPair] = {}
    for code in groups:
        key_pairs[code] = yield from perform(Operation.GENERATE_KEY, GROUPS[code].generate)
    return key_pairs


def client_hello(
    hs: Handshake, key_pairs: dict[int, KeyPair], session: Session | None, suites: tuple[CipherSuite, ...]
) -> ClientHello:
    """The hello, pre-shared key aside (RFC 9846 section 4.2.2)."""
    settings = hs.settings
    extensions = fixed_extensions(settings, hs.profile).copy()
    name = server_name(hs.server_hostname).sni if hs.server_hostname is not None else None
    if name is not None:
        extensions.put(SERVER_NAME, name)
    session_id = b""
    if hs.profile.version12 in settings.offered_versions:
        session_id = offer_session(hs, extensions, session)
    tls13 = hs.profile.version13 in settings.offered_versions
    if tls13 and (settings.sessions is not None or hs.session is not None or settings.lookup_psk is not None):
        extensions.put(PSK_KEY_EXCHANGE_MODES, (PskKeyExchangeMode.psk_dhe_ke,))
    own = hs.transport.own_extensions(HandshakeType.client_hello, None)
    for code in own.codes:
        extensions.put_data(code, own.get_data(code) or b"")
    if tls13:
        extensions.put(KEY_SHARE_CLIENT, key_shares(key_pairs))
        if hs.profile.compatibility_session_id and not session_id:
            session_id = settings.random(32)
    return hs.profile.client_hello(
        hs.profile.legacy_version,
        settings.random(32),
        session_id,
        suites,
        NULL_COMPRESSION,
        extensions,
    )


def fixed_extensions(settings: Settings, profile: Profile) -> Extensions:
    """What is the same in every hello made from these settings; encoded once."""
    known: Extensions | None = settings.derived.get((fixed_extensions, profile))
    if known is None:
        known = settings.derived[fixed_extensions, profile] = _fixed_extensions(settings, profile)
    return known


def _fixed_extensions(settings: Settings, profile: Profile) -> Extensions:
    extensions = Extensions()
    older = profile.version13 not in settings.offered_versions
    groups = tuple(filter(GROUPS12.__contains__, settings.groups)) if older else settings.groups
    extensions.put(SUPPORTED_GROUPS, groups)
    if settings.alpn:
        extensions.put(ALPN, tuple(protocol.encode("latin-1") for protocol in settings.alpn))
    if not settings.psk_only:
        put_certificate_extensions(settings, profile, extensions)
    if profile.version13 in settings.offered_versions:
        extensions.put(SUPPORTED_VERSIONS_CLIENT, settings.offered_versions)
    if profile.version12 in settings.offered_versions:
        put_extensions(extensions)
    return extensions


def put_certificate_extensions(settings: Settings, profile: Profile, extensions: Extensions) -> None:
    """What has to do with certificates, the server's and our own."""
    put_schemes(settings.signature_schemes, extensions)
    if profile.version13 in settings.offered_versions:
        put_authorities(settings, extensions)
    if settings.certificate_timestamps:
        extensions.put(SIGNED_CERTIFICATE_TIMESTAMP, True)
    extensions.put(STATUS_REQUEST, CertificateStatusRequest(CertificateStatusType.ocsp, OCSPStatusRequest()))
    raw_keys.offer(settings, extensions)
    if profile.version13 in settings.offered_versions:
        compression.offer(settings, extensions)
        if settings.post_handshake_auth and profile.post_handshake_auth:
            extensions.put(POST_HANDSHAKE_AUTH, True)


def key_shares(key_pairs: dict[int, KeyPair]) -> tuple[KeyShareEntry, ...]:
    """The public halves."""
    return tuple(KeyShareEntry(code, pair.share) for code, pair in key_pairs.items())


def send_hello(hs: Handshake, offer: Offer) -> None:
    """Send the hello; pre-shared keys are offered with their binders (RFC 9846 section 4.3.11)."""
    if not offer.keys:
        hs.send(offer.hello)
        return
    extensions = offer.hello.extensions
    identities = tuple([PskIdentity(key.identity, obfuscated_age(hs, key.session)) for key in offer.keys])
    extensions.remove(ExtensionType.pre_shared_key)
    extensions.put(
        PRE_SHARED_KEY_CLIENT, OfferedPsks(identities, tuple([bytes(key.hash.digest_size) for key in offer.keys]))
    )
    raw = offer.hello.encode()
    truncated = offer.hello.without_binders(raw)
    binders = b""
    for key in offer.keys:
        binder = key.early.binder(hs.transcript.digest_with(key.hash, truncated), key.label)
        binders += len(binder).to_bytes(1, "big") + binder
    hs.send(offer.hello, raw[: -len(binders)] + binders)


def obfuscated_age(hs: Handshake, session: Session | None) -> int:
    """How old a session's ticket is (RFC 9846 section 4.3.11.1); an external key has no age."""
    if session is None:
        return 0
    age = int((hs.settings.clock.wall() - session.received) * 1000)
    return (age + session.ticket_age_add) % 2**32


def retry(hs: Handshake, offer: Offer, request: ServerHello) -> Steps[Offer]:
    """Send the hello again with what the server asked for (RFC 9846 section 4.2.4)."""
    section = "RFC 9846 section 4.2.4"
    suite = check_server_hello(hs, offer, request)
    request.extensions.check(HandshakeType.hello_retry_request, offer.hello.extensions)
    group = request.extensions.get(KEY_SHARE_RETRY)
    cookie = request.extensions.get(COOKIE)
    if group is None and cookie is None:
        raise IllegalParameter("a HelloRetryRequest that changes nothing", section=section)
    if group is not None and (group in offer.key_pairs or group not in hs.settings.groups):
        raise IllegalParameter("a HelloRetryRequest for a group that was sent or not offered", section=section)
    hs.transcript.retry(suite.hash)
    hs.transcript.add(request.raw)
    hs.agree(hs.profile.version13)
    extensions = offer.hello.extensions
    if offer.early:
        offer.early = False
        early_data.refused(hs, EarlyDataReason.HELLO_RETRY_REQUEST)
        extensions.remove(ExtensionType.early_data)
    if group is not None:
        offer.key_pairs = yield from generate_keys((NamedGroup(group),))
    if cookie is not None:
        # Before the share: a server that keeps nothing can then tell from the first fragment of a long hello that
        # its sender has proved its address.
        extensions.put(COOKIE, cookie)
    extensions.remove(ExtensionType.key_share)
    extensions.put(KEY_SHARE_CLIENT, key_shares(offer.key_pairs))
    if offer.keys:
        offer.keys = [key for key in offer.keys if key.hash is suite.hash]
        if not offer.keys and hs.settings.psk_only:
            raise IllegalParameter("a suite that fits none of the pre-shared keys", section=section)
        extensions.remove(ExtensionType.pre_shared_key)
    try:
        send_hello(hs, offer)
    except ValueError:
        raise IllegalParameter("a cookie that leaves no room for the hello", section="RFC 9846 section 4.3.2") from None
    offer.retried = request
    return offer


# --- the server ---------------------------------------------------------------------------------------------------


def accept(hs: Handshake) -> Steps[None]:
    """A server's whole handshake."""
    hello = yield from hs.receive_raw(hs.profile.client_hello)
    version = check_client_hello(hello, hs.settings, hs.profile)
    hs.client_random = hello.random
    hs.agree(version)
    identities = yield from select_identities(hs, hello)
    if version not in hs.settings.versions:
        raise ProtocolVersionAlert(f"{version.name} is not spoken by the context that was selected")
    if version is hs.profile.version13:
        hello, choice = yield from choose(hs, hello, identities)
        hs.transport.completed((yield from server13(hs, hello, choice)))
    else:
        if hs.settings.max_early_data:
            hs.transport.early_data(False, 0, EarlyDataReason.PROTOCOL_VERSION)
        older = yield from choose12(hs, hello, identities)
        hs.transport.completed((yield from server12(hs, hello, older)))


def select_identities(hs: Handshake, hello: ClientHello) -> Steps[tuple[Identity, ...]]:
    """The identities to choose among; `select_identity` may name one, or bring another Context's settings."""
    if hs.settings.select_identity is not None:
        selected = yield from perform(Operation.SELECT_IDENTITY, hs.settings.select_identity, describe(hello))
        if isinstance(selected, Context):
            if selected.method is not hs.settings.method:
                raise UsageError(
                    f"select_identity: a context for {selected.method.name} on a connection of another kind"
                )
            selected.settings.require(server_side=True)
            hs.settings = selected.settings
            hs.trace = hs.transport.context_selected(selected)
        elif isinstance(selected, Identity):
            return (selected,)
        elif selected is not None:
            raise UsageError(f"select_identity: expected an Identity, a Context or None, not {type(selected).__name__}")
    return hs.settings.identity


def choose(hs: Handshake, hello: ClientHello, identities: tuple[Identity, ...]) -> Steps[tuple[ClientHello, Choice]]:
    """Choose every parameter, asking for another key share if need be; the hello that counts, and the choice."""
    settings, first, extensions = hs.settings, hello, hello.extensions
    suite = (
        hs.retried.suite
        if hs.retried is not None
        else choose_suite(settings, hello.cipher_suites, hs.profile.version13)
    )
    groups, shares = extensions.get(SUPPORTED_GROUPS) or (), extensions.get(KEY_SHARE_CLIENT) or ()
    group, share = choose_group(settings, groups, shares)
    if hs.retried is not None:
        continue_retry(hs, hs.retried, hello, share)
    alpn = choose_alpn(settings, extensions.get(ALPN))
    name = extensions.get(SERVER_NAME)
    can_resume = PskKeyExchangeMode.psk_dhe_ke in (extensions.get(PSK_KEY_EXCHANGE_MODES) or ())
    key: psk.Resumed | psk.External | None = None
    identity: Identity | None = None
    scheme: SignatureScheme | None = None
    if settings.lookup_psk is not None and can_resume:
        key, identity = yield from psk.find(hs, hello, suite, identities)
    if isinstance(key, psk.External):
        suite = key.suite
    elif key is None:
        identity, scheme = choose_signer(settings, extensions, identities)
    hs.transport.peer_extensions(extensions)
    if share is None:
        if ExtensionType.early_data in extensions:
            early_data.pass_over(hs, EarlyDataReason.HELLO_RETRY_REQUEST)
        hello, share = yield from ask_for_share(hs, hello, suite, group.code)
        if isinstance(key, psk.External):
            psk.find_again(hello, key)
        else:
            key = None  # tickets are looked at again: their places may be others
    binding = psk.binding_of(hs, name, identity) if can_resume else b""
    if isinstance(key, psk.External):
        psk.verify_binder(hs, hello, key.index, key.early, suite.hash, key.label)
    elif key is not None:
        psk.verify_binder(hs, hello, key.index, key.early, suite.hash, psk.RESUMPTION)
    elif can_resume:
        key = yield from open_tickets(hs, hello, suite, binding)
    if isinstance(key, psk.Resumed):
        yield from judge_again(hs, key.peer)
    early = False
    if settings.max_early_data or ExtensionType.early_data in extensions:
        early = yield from early_data.judge(hs, first, hello, suite, alpn, key)
    if key is None and scheme is None:  # the ticket is not offered any more
        identity, scheme = choose_signer(settings, extensions, identities)
        binding = psk.binding_of(hs, name, identity)
    with_tickets = can_resume and settings.ticket_count > 0
    asks = key is None and settings.verify_mode(server_side=True) is not Verify.NONE
    client_type = (raw_keys.choose_client_type if asks else raw_keys.later_client_type)(settings, extensions)
    return hello, Choice(
        suite, group, share, alpn, name, identity, scheme, key, early, asks, client_type, with_tickets, binding
    )


def choose_signer(
    settings: Settings, extensions: Extensions, identities: tuple[Identity, ...]
) -> tuple[Identity, SignatureScheme]:
    """The identity that we show, and the scheme it signs with."""
    if not identities:
        raise psk.no_way_to_authenticate()
    schemes = extensions.get(SIGNATURE_ALGORITHMS) or ()
    issuers = extensions.get(CERTIFICATE_AUTHORITIES) or ()
    chosen = choose_identity(
        settings.signature_schemes,
        raw_keys.acceptable(identities, extensions),
        extensions.get(SERVER_NAME),
        schemes,
        issuers=issuers,
    )
    if chosen is None and ExtensionType.signature_algorithms not in extensions:
        raise MissingExtension("signature_algorithms", section="RFC 9846 section 4.3.3")
    if chosen is None:
        raise HandshakeFailure("no identity that can sign with a scheme of the client's")
    return chosen


def ask_for_share(
    hs: Handshake, first: ClientHello, suite: Suite, group: NamedGroup
) -> Steps[tuple[ClientHello, KeyShareEntry]]:
    """Send a HelloRetryRequest; the second hello and the share it brings (RFC 9846 section 4.2.4)."""
    hs.transcript.add(first.raw)
    hs.transcript.retry(suite.hash)
    request = hello_retry_request(hs.profile, first.legacy_session_id, suite, group, None)
    hs.send(request)
    second = yield from hs.receive_raw(hs.profile.client_hello)
    check_client_hello(second, hs.settings, hs.profile)
    return second, check_second_hello(first, second, group, request.extensions.get(COOKIE))


def continue_retry(hs: Handshake, retried: Retried, hello: ClientHello, share: KeyShareEntry | None) -> None:
    """Go on from a HelloRetryRequest of which only the client's cookie knows (RFC 9846 section 4.3.2)."""
    section = "RFC 9846 section 4.2.2"
    settings = hs.settings  # those of the context that select_identity has brought, if it has
    if not retried.continued_by(hello):
        raise IllegalParameter("the second ClientHello changed what must stay", section=section)
    no_early_data(hello)
    if retried.suite.code not in settings.cipher_suites:
        raise HandshakeFailure("no cipher suite in common with the context that was selected")
    if retried.group is not None:
        only_share(hello, retried.group)
    if share is None:
        raise IllegalParameter("the second ClientHello has not the key share it was asked for", section=section)
    hs.transcript.restart(retried.suite.hash, retried.hello_hash, retried.request)


def open_tickets(hs: Handshake, hello: ClientHello, suite: Suite, binding: bytes) -> Steps[psk.Resumed | None]:
    """The first ticket of the client's that is still good, its binder verified; None leads to a full handshake."""
    offered = psk.checked(hello.extensions.get(PRE_SHARED_KEY_CLIENT))
    if offered is None:
        return None
    for index, each in enumerate(offered.identities[: hs.settings.limits.psk_identities]):
        state = yield from tickets.opened_untrusted(hs.settings, each.identity)
        if state is None or not tickets.still_good(
            state, hs.settings, hs.profile.version13, suite, binding, hs.transport
        ):
            continue
        key = psk.resumed(hs, index, each, state, suite)
        psk.verify_binder(hs, hello, index, key.early, suite.hash, psk.RESUMPTION)
        return key
    return None
