"""What is chosen from what was offered: pure functions, no I/O, no work that could pause.

Each takes the settings and the peer's offer and returns the choice, or raises the alert that says there is none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from caesura.context import ClientHelloInfo, Settings
from caesura.crypto.groups import GROUPS, Group
from caesura.crypto.identity import Identity
from caesura.crypto.suites import SUITES, Suite
from caesura.errors import (
    HandshakeFailure,
    IllegalParameter,
    InappropriateFallback,
    MissingExtension,
    NoApplicationProtocol,
    ProtocolVersionAlert,
    ProtocolViolation,
)
from caesura.handshake.transport import Profile
from caesura.wire.extensions import (
    ALPN,
    CERTIFICATE_AUTHORITIES,
    COOKIE,
    EC_POINT_FORMATS,
    EXTENDED_MASTER_SECRET,
    KEY_SHARE_CLIENT,
    PRE_SHARED_KEY_CLIENT,
    PSK_KEY_EXCHANGE_MODES,
    RENEGOTIATION_INFO,
    SERVER_NAME,
    SIGNATURE_ALGORITHMS,
    SIGNATURE_ALGORITHMS_CERT,
    SUPPORTED_GROUPS,
    SUPPORTED_VERSIONS_CLIENT,
    Extensions,
    KeyShareEntry,
)
from caesura.wire.messages import ClientHello
from caesura.wire.registries import (
    CipherSuite,
    ECPointFormat,
    ExtensionType,
    HandshakeType,
    NamedGroup,
    SignatureScheme,
    Version,
)

NULL_COMPRESSION: Final = b"\x00"  # the one method there is, alone

CERTIFICATE_ONLY_SCHEMES: Final = (
    SignatureScheme.rsa_pkcs1_sha256,
    SignatureScheme.rsa_pkcs1_sha384,
    SignatureScheme.rsa_pkcs1_sha512,
)
"""Taken in certificates whatever the settings say; none may sign a handshake of TLS 1.3 (section 4.3.3)."""


def put_schemes(schemes: tuple[SignatureScheme, ...], extensions: Extensions) -> None:
    """Which signatures are taken, and which more inside certificates (RFC 9846 section 4.3.3)."""
    extensions.put(SIGNATURE_ALGORITHMS, schemes)
    more = tuple(code for code in CERTIFICATE_ONLY_SCHEMES if code not in schemes)
    if more:
        extensions.put(SIGNATURE_ALGORITHMS_CERT, schemes + more)


def put_authorities(settings: Settings, extensions: Extensions) -> None:
    """Which CAs are good (RFC 9846 section 4.3.4), if anything is to be said of that."""
    if settings.certificate_authorities:
        extensions.put(CERTIFICATE_AUTHORITIES, settings.certificate_authorities)


def check_client_hello(hello: ClientHello, settings: Settings, profile: Profile) -> Version:
    """Agree on a version, and hold what it demands of every ClientHello."""
    hello.extensions.check(HandshakeType.client_hello)
    version = agree_version(hello, settings, profile)
    if hello.legacy_session_id and profile.refuses_session_id:
        raise ProtocolViolation("a legacy_session_id", section="RFC 9001 section 8.4")
    if version is profile.version13:
        _check_hello_of_tls13(hello)
    else:
        _check_hello_of_tls12(hello)
    return version


def agree_version(hello: ClientHello, settings: Settings, profile: Profile) -> Version:
    """The newest version of both sides (RFC 9846 section 4.3.1 and appendix E.2)."""
    offered: Sequence[int] | None = hello.extensions.get(SUPPORTED_VERSIONS_CLIENT)
    if offered is None:
        offered = (profile.version12,) if hello.legacy_version in profile.legacy_versions else ()
    elif hello.legacy_version != profile.legacy_version:
        raise ProtocolVersionAlert(
            f"legacy_version {hello.legacy_version:#06x} beside supported_versions", section="RFC 9846 section 4.2.2"
        )
    for version in settings.versions:
        if version in offered:
            break
    else:
        raise ProtocolVersionAlert("the client offers no version that is spoken here", section="RFC 9846 section 4.3.1")
    if version is not settings.versions[0] and CipherSuite.TLS_FALLBACK_SCSV in hello.cipher_suites:
        raise InappropriateFallback(section="RFC 7507 section 3")
    return version


def _check_hello_of_tls13(hello: ClientHello) -> None:
    """Hold RFC 9846 sections 4.2.2 and 9.2."""
    extensions = hello.extensions
    if hello.legacy_compression_methods != NULL_COMPRESSION:
        raise IllegalParameter("compression methods in a hello of TLS 1.3", section="RFC 9846 section 4.2.2")
    if hello.legacy_cookie:
        raise IllegalParameter("a legacy_cookie in a hello of DTLS 1.3", section="RFC 9147 section 5.3")
    groups, shares = extensions.get(SUPPORTED_GROUPS), extensions.get(KEY_SHARE_CLIENT)
    if groups is None:
        raise MissingExtension("supported_groups", section="RFC 9846 section 9.2")
    if shares is None:
        raise MissingExtension("key_share", section="RFC 9846 section 9.2")
    psks = extensions.get(PRE_SHARED_KEY_CLIENT)
    if psks is None and extensions.get(SIGNATURE_ALGORITHMS) is None:
        raise MissingExtension("signature_algorithms", section="RFC 9846 section 9.2")
    if psks is not None and extensions.get(PSK_KEY_EXCHANGE_MODES) is None:
        raise MissingExtension("psk_key_exchange_modes", section="RFC 9846 section 4.3.9")
    in_order = iter(groups)
    for share in shares:
        if share.group not in in_order:
            raise IllegalParameter("key shares that do not follow supported_groups", section="RFC 9846 section 4.3.8")


def _check_hello_of_tls12(hello: ClientHello) -> None:
    """Hold what RFC 5246 and its extensions demand, and refuse what the old ways would be needed for."""
    extensions = hello.extensions
    if NULL_COMPRESSION not in hello.legacy_compression_methods:
        raise IllegalParameter("compression is not optional", section="RFC 5246 section 7.4.1.2")
    if extensions.get(EXTENDED_MASTER_SECRET) is None:
        raise HandshakeFailure("the client does not know extended_master_secret", section="RFC 7627 section 5.2")
    with_psk = any(SUITES[code].psk for code in hello.cipher_suites if code in SUITES)
    for code in (ExtensionType.supported_groups, ExtensionType.signature_algorithms):
        if code not in extensions and not with_psk:  # what would be assumed then is SHA-1, and any curve
            raise HandshakeFailure(f"a hello of TLS 1.2 without {code.name}", section="RFC 9325 section 4.2")
    if ECPointFormat.uncompressed not in (extensions.get(EC_POINT_FORMATS) or (ECPointFormat.uncompressed,)):
        raise IllegalParameter("no uncompressed points", section="RFC 8422 section 5.1.2")
    if extensions.get(RENEGOTIATION_INFO):
        raise HandshakeFailure("renegotiation_info of no connection before", section="RFC 5746 section 3.6")


def check_second_hello(
    first: ClientHello, second: ClientHello, group: NamedGroup, cookie: bytes | None
) -> KeyShareEntry:
    """Hold what may change after a HelloRetryRequest (RFC 9846 section 4.2.2) that asked for a share, which it gives.

    `cookie` is what it brought; without one the hello has none, or the one it had before.
    """
    if unchanging(first) != unchanging(second):
        raise IllegalParameter("the second ClientHello changed what must stay", section="RFC 9846 section 4.2.2")
    if second.extensions.get(COOKIE) != (cookie or first.extensions.get(COOKIE)):
        raise IllegalParameter("a cookie that nobody gave", section="RFC 9846 section 4.2.2")
    offered = iter(psk_identities(first))
    if not all(identity in offered for identity in psk_identities(second)):  # which also keeps them in order
        raise IllegalParameter("a pre-shared key that the first ClientHello had not", section="RFC 9846 section 4.2.2")
    no_early_data(second)
    return only_share(second, group)


def psk_identities(hello: ClientHello) -> list[bytes]:
    """The identities of the pre-shared keys that are offered."""
    offered = hello.extensions.get(PRE_SHARED_KEY_CLIENT)
    return [] if offered is None else [each.identity for each in offered.identities]


def no_early_data(second: ClientHello) -> None:
    """Behind a HelloRetryRequest there is none."""
    if ExtensionType.early_data in second.extensions:
        raise IllegalParameter("early_data in the second ClientHello", section="RFC 9846 section 4.2.2")


def unchanging(hello: ClientHello) -> bytes:
    """What of a hello must be the same before and after a HelloRetryRequest (RFC 9846 section 4.2.2)."""
    may_change = {
        ExtensionType.key_share,
        ExtensionType.early_data,
        ExtensionType.cookie,
        ExtensionType.pre_shared_key,
        ExtensionType.padding,
    }
    stripped = hello.extensions.copy()
    for code in may_change:
        stripped.remove(code)
    return ClientHello(
        hello.legacy_version,
        hello.random,
        hello.legacy_session_id,
        hello.cipher_suites,
        hello.legacy_compression_methods,
        stripped,
    ).encode()


def only_share(second: ClientHello, group: NamedGroup) -> KeyShareEntry:
    """The one share that a HelloRetryRequest asked for."""
    shares = second.extensions.get(KEY_SHARE_CLIENT) or ()
    if len(shares) != 1 or shares[0].group != group:
        raise IllegalParameter(
            "the second ClientHello has not the key share it was asked for", section="RFC 9846 section 4.2.2"
        )
    return shares[0]


def describe(hello: ClientHello) -> ClientHelloInfo:
    """What `select_identity` is told."""
    extensions = hello.extensions
    offered = extensions.get(PRE_SHARED_KEY_CLIENT)
    return ClientHelloInfo(
        server_name=extensions.get(SERVER_NAME),
        alpn=tuple(name.decode("latin-1") for name in extensions.get(ALPN) or ()),
        cipher_suites=hello.cipher_suites,
        groups=extensions.get(SUPPORTED_GROUPS) or (),
        signature_schemes=extensions.get(SIGNATURE_ALGORITHMS) or (),
        versions=extensions.get(SUPPORTED_VERSIONS_CLIENT) or (hello.legacy_version,),
        psk_identities=tuple(each.identity for each in offered.identities) if offered is not None else (),
        certificate_authorities=extensions.get(CERTIFICATE_AUTHORITIES) or (),
    )


def choose_suite(settings: Settings, offered: Iterable[int], version: Version) -> Suite:
    """The first of ours that the client has too."""
    theirs = tuple(offered)
    for code in settings.cipher_suites:
        if code in theirs and version in SUITES[code].versions:
            return SUITES[code]
    raise HandshakeFailure("no cipher suite in common")


def choose_group(
    settings: Settings, offered: Iterable[int], shares: Sequence[KeyShareEntry]
) -> tuple[Group, KeyShareEntry | None]:
    """The first group of ours for which a share came; else the first in common, and no share: it must be asked for."""
    theirs, common = tuple(offered), None
    for code in settings.groups:
        if code in theirs:
            for share in shares:
                if share.group == code:
                    return GROUPS[code], share
            common = common or code
    if common is None:
        raise HandshakeFailure("no group in common")
    return GROUPS[common], None


def choose_alpn(settings: Settings, offered: Sequence[bytes] | None) -> str | None:
    """The first protocol of ours that the client has too; None where one side does not use ALPN (RFC 7301)."""
    if not settings.alpn or offered is None:
        return None
    for protocol in settings.alpn:
        if protocol.encode("latin-1") in offered:
            return protocol
    raise NoApplicationProtocol("no application protocol in common", section="RFC 7301 section 3.2")


def choose_identity(
    schemes: Collection[SignatureScheme],
    identities: Iterable[Identity],
    server_name: str | None,
    offered: Iterable[int],
    version: Version = Version.TLS13,
    issuers: Collection[bytes] = (),
) -> tuple[Identity, SignatureScheme] | None:
    """The first identity for the name that can sign with a scheme of both sides; else the first that can sign.

    Those that one of `issuers` stands behind go before all others. Nobody has to list every CA that is good
    (RFC 9846 section 4.3.4), so that no match is no reason to show nothing.
    """
    theirs = tuple(offered)
    usable = [
        (identity, scheme)
        for identity in identities
        if (scheme := identity.scheme_for(theirs, schemes, version)) is not None
        and not (identity.only_for_issuers and identity.issuers.isdisjoint(issuers))
    ]
    if len(usable) == 1:  # then names choose nothing
        return usable[0]
    if issuers:
        usable = [each for each in usable if not each[0].issuers.isdisjoint(issuers)] or usable
    for identity, scheme in usable:
        if server_name is not None and identity.matches(server_name):
            return identity, scheme
    return usable[0] if usable else None


def staple(settings: Settings, hello: ClientHello, identity: Identity) -> bytes | None:
    """The OCSP response to send along: the identity's own before the context's, if the client asked for one.

    A raw public key has no status.
    """
    if ExtensionType.status_request not in hello.extensions or identity.certificate is None:
        return None
    return identity.ocsp_response or settings.ocsp_response
