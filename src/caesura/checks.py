"""Whether values can be settings: each by itself, and all of them together.

Every setting is checked when it is given, and refused with a `ConfigError` that names it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import fields
from typing import Any, Final, TypeVar

from caesura.compression import CertificateCompression, algorithm
from caesura.crypto.cookies import CookieKeys
from caesura.crypto.groups import GROUPS
from caesura.crypto.identity import Identity
from caesura.crypto.signatures import SCHEMES
from caesura.crypto.suites import SUITES
from caesura.crypto.tickets import TicketKeys
from caesura.crypto.trust import TrustStore, VerificationCache
from caesura.engines import Engine
from caesura.errors import ConfigError
from caesura.quic_settings import QUICSettings
from caesura.replay import ReplayStore
from caesura.settings import (
    QUIC_EARLY_DATA,
    RAW_OR_X509,
    VERSIONS,
    DTLSSettings,
    FromEnvironment,
    KeyLog,
    Limits,
    Method,
    Settings,
    Verify,
)
from caesura.wire.registries import (
    CertificateCompressionAlgorithm,
    CertificateType,
    CipherSuite,
    NamedGroup,
    SignatureScheme,
    SRTPProtectionProfile,
    Version,
)

__all__ = ["check_together", "checked"]

_Member = TypeVar("_Member", CertificateType, CipherSuite, NamedGroup, SignatureScheme, SRTPProtectionProfile)


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in their final form; raises ConfigError naming the first that cannot be used."""
    unknown = given.keys() - _CHECKS.keys()
    if unknown:
        raise ConfigError(f"{min(unknown)}: there is no such setting")
    return {name: _CHECKS[name](name, value) for name, value in given.items()}


def check_together(settings: Settings) -> None:
    """Raise ConfigError where settings that are good each by itself contradict each other."""
    versions = VERSIONS[settings.method]
    for name in ("minimum_version", "maximum_version"):
        version = getattr(settings, name)
        if version not in versions:
            known = ", ".join(each.name for each in versions)
            raise ConfigError(f"{name}: {version.name} where {settings.method.name} has {known}")
    if versions.index(settings.minimum_version) > versions.index(settings.maximum_version):
        raise ConfigError("minimum_version: above maximum_version")
    if settings.method is Method.QUIC and settings.max_early_data not in (0, QUIC_EARLY_DATA):
        raise ConfigError(f"max_early_data: in QUIC 0 or {QUIC_EARLY_DATA}, and flow control does the rest")
    if settings.key_shares and not set(settings.key_shares) <= set(settings.groups):
        raise ConfigError("key_shares: only groups have shares that are among groups")
    if not settings.versions:
        raise ConfigError(
            "cipher_suites, groups: there is nothing for a version between minimum_version and maximum_version"
        )


def _several(name: str, value: Any) -> tuple[Any, ...]:
    try:
        return tuple(value)
    except TypeError:
        raise ConfigError(f"{name}: expected one or several, not {type(value).__name__}") from None


def _identities(name: str, value: Any) -> tuple[Identity, ...]:
    if value is None:
        return ()
    several = (value,) if isinstance(value, Identity) else _several(name, value)
    for each in several:
        if not isinstance(each, Identity):
            raise ConfigError(f"{name}: expected Identity objects (Identity.load), not {type(each).__name__}")
    return several


def _certificate_types(name: str, value: Any) -> tuple[CertificateType, ...] | None:
    return None if value is None else _members(CertificateType, RAW_OR_X509)(name, value)


def _members(kind: type[_Member], known: Iterable[int]) -> Callable[[str, Any], tuple[_Member, ...]]:
    by_name = {member.name.lower(): member for member in kind}
    usable = frozenset(known)

    def check(name: str, value: Any) -> tuple[_Member, ...]:
        chosen = []
        for each in (value,) if isinstance(value, str | int) else _several(name, value):
            member = by_name.get(each.lower()) if isinstance(each, str) else each
            if not isinstance(member, int) or member not in usable:
                raise ConfigError(f"{name}: {each!r} is unknown or not supported here")
            chosen.append(kind(member))
        if not chosen:
            raise ConfigError(f"{name}: at least one is needed")
        if len(set(chosen)) != len(chosen):
            raise ConfigError(f"{name}: each may stand once")
        return tuple(chosen)

    return check


def _key_shares(name: str, value: Any) -> tuple[NamedGroup, ...] | None:
    return value if value in (None, ()) else _members(NamedGroup, GROUPS)(name, value)


_MAX_AUTHORITIES: Final = 16_384  # bytes, as for the names of protocols


def _authorities(name: str, value: Any) -> tuple[bytes, ...]:
    names = _several(name, value)
    if not all(isinstance(each, bytes) and 2 < len(each) <= 0xFFFF for each in names):
        raise ConfigError(f"{name}: expected distinguished names in DER")
    if sum(map(len, names)) + 2 * len(names) > _MAX_AUTHORITIES:
        raise ConfigError(f"{name}: more than {_MAX_AUTHORITIES} bytes of names")
    return names


def _client_schemes(name: str, value: Any) -> tuple[SignatureScheme, ...] | None:
    return None if value is None else _members(SignatureScheme, SCHEMES)(name, value)


def _hint(name: str, value: Any) -> bytes | None:
    hint = value.encode() if isinstance(value, str) else value
    if hint is not None and not (isinstance(hint, bytes) and 1 <= len(hint) < 2**16):
        raise ConfigError(f"{name}: expected 1 to 65535 bytes")
    return hint


def _srtp_profiles(name: str, value: Any) -> tuple[SRTPProtectionProfile, ...]:
    none = value is None or (isinstance(value, Sequence) and not value)
    return () if none else _members(SRTPProtectionProfile, SRTPProtectionProfile)(name, value)


def _compression(name: str, value: Any) -> tuple[CertificateCompression, ...]:
    single = isinstance(value, str | int | CertificateCompression)
    several = (value,) if single else _several(name, () if value is None else value)
    chosen = [each if isinstance(each, CertificateCompression) else _known_compression(name, each) for each in several]
    if len({each.code for each in chosen}) != len(chosen):
        raise ConfigError(f"{name}: each may stand once")
    return tuple(chosen)


def _known_compression(name: str, value: Any) -> CertificateCompression:
    for member in CertificateCompressionAlgorithm:
        if value == member if type(value) is not str else value.lower() == member.name:
            try:
                return algorithm(member)
            except ImportError as error:
                raise ConfigError(f"{name}: {member.name} needs a package that is not there: {error}") from error
    raise ConfigError(f"{name}: {value!r} is unknown; bring a CertificateCompression object for it")


_MAX_ALPN: Final = 16_384  # bytes: a hello has room for four times that, and other things to say


def _alpn(name: str, value: Any) -> tuple[str, ...]:
    protocols = (value,) if isinstance(value, str | bytes) else _several(name, () if value is None else value)
    texts = tuple(each.decode("latin-1") if isinstance(each, bytes) else each for each in protocols)
    for text in texts:
        if not 1 <= len(_latin1(name, text)) <= 255:
            raise ConfigError(f"{name}: a protocol name has 1 to 255 bytes")
    if sum(map(len, texts)) + len(texts) > _MAX_ALPN:
        raise ConfigError(f"{name}: more than {_MAX_ALPN} bytes of names")
    return texts


def _latin1(name: str, text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except (UnicodeEncodeError, AttributeError):
        raise ConfigError(f"{name}: {text!r} is not a protocol name") from None


def _version(name: str, value: Any) -> Version:
    version = Version.__members__.get(value, value) if isinstance(value, str) else value
    if not isinstance(version, Version):
        raise ConfigError(f"{name}: {value!r} is no version")
    return version


def _dtls(name: str, value: Any) -> DTLSSettings:
    if isinstance(value, DTLSSettings):
        value = {each.name: getattr(value, each.name) for each in fields(value)}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name}: expected a mapping of settings, not {type(value).__name__}")
    unknown = [each for each in value if each not in _DTLS_CHECKS]
    if unknown:
        raise ConfigError(f"{name}: there is no such setting: {unknown[0]!r}")
    settings = DTLSSettings(**{each: _DTLS_CHECKS[each](f"{name}.{each}", given) for each, given in value.items()})
    if settings.maximum_timeout < settings.initial_timeout:
        raise ConfigError(f"{name}.maximum_timeout: below initial_timeout")
    return settings


def _quic(name: str, value: Any) -> QUICSettings:
    if isinstance(value, QUICSettings):
        return value
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name}: expected a mapping of settings, not {type(value).__name__}")
    known = {each.name for each in fields(QUICSettings)}
    unknown = [each for each in value if each not in known]
    if unknown:
        raise ConfigError(f"{name}: there is no such setting: {unknown[0]!r}")
    versions = value.get("versions")
    if isinstance(versions, list | tuple):
        value = {**value, "versions": tuple(_version(f"{name}.versions", each) for each in versions)}
    return QUICSettings(**value)


def _instance(kind: type, *, optional: bool = False) -> Callable[[str, Any], Any]:
    def check(name: str, value: Any) -> Any:
        if not (isinstance(value, kind) or (optional and value is None)):
            raise ConfigError(f"{name}: expected {kind.__name__}, not {type(value).__name__}")
        return value

    return check


def _function(name: str, value: Any) -> Any:
    if value is not None and not callable(value):
        raise ConfigError(f"{name}: expected a function or None")
    return value


def _given_function(name: str, value: Any) -> Any:
    if not callable(value):
        raise ConfigError(f"{name}: expected a function")
    return value


def _with(*methods: str, optional: bool = False) -> Callable[[str, Any], Any]:
    def check(name: str, value: Any) -> Any:
        if value is None and optional:
            return None
        if isinstance(value, type):
            raise ConfigError(f"{name}: expected an object, not the class {value.__name__}")
        for method in methods:
            if not callable(getattr(value, method, None)):
                raise ConfigError(f"{name}: {type(value).__name__} has no method {method}()")
        return value

    return check


def _engine(name: str, value: Any) -> Engine:
    engine: Engine = _with("start")(name, value)
    if not isinstance(getattr(engine, "operations", None), Set):
        raise ConfigError(f"{name}: {type(value).__name__} does not list its operations")
    return engine


def _replay_store(name: str, value: Any) -> ReplayStore:
    store: ReplayStore = _with("first_use")(name, value)
    zone = getattr(store, "zone", None)
    if not isinstance(zone, bytes) or len(zone) > 255:
        raise ConfigError(f"{name}: its zone must be 255 bytes at most")
    return store


def _between(low: float, high: float, *, optional: bool = False, whole: bool = False) -> Callable[[str, Any], Any]:
    kinds = int if whole else int | float
    what = "whole number" if whole else "number"

    def check(name: str, value: Any) -> Any:
        if value is None and optional:
            return None
        if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
            raise ConfigError(f"{name}: expected a {what} from {low:g} to {high:g}")
        return value

    return check


def _keylog(name: str, value: Any) -> KeyLog | None:
    """A function that takes lines: None, the caller's own, or one that appends to a file (NSS key log format)."""
    if value is FromEnvironment.KEYLOG:
        value = os.environ.get("SSLKEYLOGFILE") or None
    if value is None or callable(value):
        return value  # type: ignore[no-any-return]
    try:
        with open(value, "a", encoding="ascii"):
            pass
    except (OSError, TypeError) as error:
        raise ConfigError(f"{name}: cannot append to {value!r}: {error}") from error

    def append(line: str) -> None:
        with open(value, "a", encoding="ascii") as stream:
            stream.write(line + "\n")

    return append


def _anything(_name: str, value: Any) -> Any:
    return value


_DTLS_CHECKS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "mtu": _between(256, 65_507, whole=True),
    "fallback_mtu": _between(256, 65_507, optional=True, whole=True),
    "initial_timeout": _between(0.001, 3600),
    "maximum_timeout": _between(0.001, 3600),
    "retransmissions": _between(0, 1000, whole=True),
    "timer": _function,
    "timer_slack": _between(0, 1),
    "ack_delay": _between(0, 1),
    "ack_on_pause": _instance(bool),
    "fast_retransmit": _instance(bool),
    "cookies": _instance(bool),
    "cookie_keys": _instance(CookieKeys),
    "amplification": _between(1, 1000, optional=True, whole=True),
    "connection_id": _between(0, 64, optional=True, whole=True),
    "srtp_profiles": _srtp_profiles,
    "old_epoch_lifetime": _between(0, 86_400),
    "idle_timeout": _between(0.001, 2_592_000, optional=True),
    "forgery_resistant": _instance(bool),
}

_CHECKS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "identity": _identities,
    "trust": _instance(TrustStore, optional=True),
    "verify": _instance(Verify, optional=True),
    "minimum_version": _version,
    "maximum_version": _version,
    "cipher_suites": _members(CipherSuite, SUITES),
    "groups": _members(NamedGroup, GROUPS),
    "key_shares": _key_shares,
    "signature_schemes": _members(SignatureScheme, SCHEMES),
    "client_signature_schemes": _client_schemes,
    "alpn": _alpn,
    "async_mode": _instance(bool),
    "async_callback": _function,
    "async_callback_arg": _anything,
    "engine": _engine,
    "select_identity": _function,
    "select_client_identity": _function,
    "verify_peer": _function,
    "verify_resumed": _instance(bool),
    "lookup_psk": _function,
    "verification_cache": _instance(VerificationCache, optional=True),
    "sessions": _with("put", "take", optional=True),
    "server_sessions": _with("put", "get", optional=True),
    "ticket_keys": _instance(TicketKeys),
    "ticket_count": _between(0, 16, whole=True),
    "ticket_lifetime": _between(1, 604_800, whole=True),
    "max_early_data": _between(0, 2**32 - 1, whole=True),
    "early_data_window": _between(0.001, 3600),
    "replay_store": _replay_store,
    "psk_identity_hint": _hint,
    "ocsp_response": _instance(bytes, optional=True),
    "certificate_timestamps": _instance(bool),
    "certificate_authorities": _authorities,
    "certificate_compression": _compression,
    "own_certificate_types": _certificate_types,
    "peer_certificate_types": _certificate_types,
    "post_handshake_auth": _instance(bool),
    "max_send_fragment": _between(512, 16_384, whole=True),
    "record_size_limit": _between(64, 16_385, optional=True, whole=True),  # RFC 8449 section 4
    "deadline": _between(0.001, 86_400, optional=True),
    "dtls": _dtls,
    "quic": _quic,
    "keylog": _keylog,
    "trace": _function,
    "limits": _instance(Limits),
    "clock": _with("monotonic", "wall"),
    "random": _given_function,
}
