"""The shim's flags: which there are, and what their values mean.

A flag that is not here is one the shim does not know: the case counts as unimplemented. Values come as raw bytes of the
command line, so text is kept with `surrogateescape` and turned back into bytes where bytes are meant.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

INITIAL, RESUME, RETRY = range(3)


class Unimplemented(Exception):
    """What is asked for is not known here."""


def _base64(value: str) -> bytes:
    return base64.b64decode(value)


def _bytes(value: str) -> bytes:
    return os.fsencode(value)


def _words(text: str) -> list[str]:
    return text.split()


_SWITCHES = _words("""
    server dtls quic ipv6 async implicit-handshake handshake-twice no-op-extra-handshake handshake-never-done
    shim-writes-first shim-shuts-down check-close-notify read-with-unfinished-write write-different-record-sizes
    use-export-context key-update key-update-before-read no-tls1 no-tls11 no-tls12 no-tls13 server-preference
    expect-hrr expect-no-hrr no-key-shares send-alert verify-peer require-any-client-certificate verify-fail
    expect-verify-result use-custom-verify-callback reverify-on-resume expect-no-peer-cert
    use-old-client-cert-callback use-early-callback fail-cert-callback fail-early-callback install-ddos-callback
    fail-ddos-callback no-ticket use-ticket-callback use-ticket-aead-callback renew-ticket skip-ticket
    expect-session-miss expect-ticket-renewal expect-no-session expect-session-id expect-no-session-id decline-alpn
    reject-alpn expect-no-server-name enable-ocsp-stapling enable-signed-cert-timestamps use-ocsp-callback
    set-ocsp-in-callback decline-ocsp-callback fail-ocsp-callback install-cert-compression-algs
    expect-extended-master-secret is-handshaker-supported enable-early-data expect-ticket-supports-early-data
    expect-accept-early-data expect-reject-early-data expect-no-offer-early-data must-match-issuer
    psk-importer-sha256 psk-importer-sha384
""")

_NUMBERS = _words("""
    max-send-fragment port shim-id resume-count repeat-shim-initial-write read-size export-keying-material
    min-version max-version expect-version expect-cipher expect-curve-id expect-peer-signature-algorithm
    expect-selected-credential max-cert-list resumption-delay install-one-cert-compression-alg
    expect-ticket-age-skew expect-peer-certificate-type mtu initial-timeout-duration-ms private-key-delay-ms
    early-write-after-message expect-cipher-aes expect-cipher-no-aes quic-use-legacy-codepoint
""")

_LISTS = _words("""
    expect-peer-verify-pref curves key-shares verify-prefs accepted-peer-cert-types available-client-cert-types
""")

_TEXTS = _words("""
    trust-cert cipher expect-peer-cert-file host-name expect-server-name expect-msg-callback srtp-profiles
    use-client-ca-list expect-client-ca-list
""")

_RAW = _words("""
    shim-initial-write export-label export-context advertise-alpn select-alpn expect-alpn expect-advertised-alpn
    expect-early-data-reason psk psk-identity quic-early-data-context
""")

_BASE64 = _words("""
    expect-ocsp-response expect-signed-cert-timestamps expect-peer-rpk-sha256
    expect-certificate-types quic-transport-params expect-quic-transport-params
""")

_CREDENTIAL: dict[str, Callable[[str], Any] | None] = {
    "cert-file": str,
    "key-file": str,
    "ocsp-response": _base64,
    "signed-cert-timestamps": _base64,
    "signing-prefs": int,
    "must-match-issuer": None,
    "psk-importer-key": _base64,
    "psk-importer-identity": _base64,
    "psk-importer-context": _base64,
    "psk-importer-sha256": None,
    "psk-importer-sha384": None,
}

_NEW = {"new-x509-credential": "x509", "new-rpk-credential": "rpk", "new-psk-credential": "psk"}

_KINDS: dict[str, Callable[[str], Any] | None] = {
    **dict.fromkeys(_SWITCHES),
    **dict.fromkeys(_NUMBERS, int),
    **dict.fromkeys(_LISTS, int),
    **dict.fromkeys(_TEXTS, str),
    **dict.fromkeys(_RAW, _bytes),
    **dict.fromkeys(_BASE64, _base64),
}

_SCOPES = {"on-initial-": (INITIAL,), "on-resume-": (RESUME,), "on-retry-": (RETRY,)}


@dataclass
class Credential:
    """What the flags say of one credential; `kind` is x509, rpk or psk."""

    kind: str = "x509"
    default: bool = False
    values: dict[str, Any] = field(default_factory=dict)

    def get(self, name: str) -> Any:
        return self.values.get(name)


class Flags:
    """What the flags say of one connection."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self.credentials: list[Credential] = [Credential(default=True)]

    def __contains__(self, name: str) -> bool:
        return name in self._values

    @property
    def names(self) -> frozenset[str]:
        """The flags that are there."""
        return frozenset(self._values)

    def get(self, name: str, default: Any = None) -> Any:
        """A flag's value."""
        return self._values.get(name, default)

    def put(self, name: str, value: str | None) -> None:
        """Take one flag."""
        if name in _NEW:
            self.credentials.append(Credential(_NEW[name]))
        elif name in _CREDENTIAL:
            values = self.credentials[-1].values
            kind = _CREDENTIAL[name]
            read = True if kind is None else kind(value or "")
            if name == "signing-prefs":
                values.setdefault(name, []).append(read)
            else:
                values[name] = read
        else:
            kind = _KINDS[name]
            read = True if kind is None else kind(value or "")
            if name in _LISTS:
                self._values.setdefault(name, []).append(read)
            else:
                self._values[name] = read


def parse(args: Sequence[str]) -> tuple[Flags, Flags, Flags]:
    """The flags of the first connection, of later ones, and of what follows refused early data."""
    flags = Flags(), Flags(), Flags()
    rest = iter(args)
    for arg in rest:
        name, scope = arg.removeprefix("-"), (INITIAL, RESUME, RETRY)
        if name.startswith("on-handshaker-"):
            name, scope = name.removeprefix("on-handshaker-"), ()
        name = name.removeprefix("on-shim-")
        for prefix, chosen in _SCOPES.items():
            if name.startswith(prefix):
                name, scope = name.removeprefix(prefix), chosen
        if not arg.startswith("-") or not (name in _KINDS or name in _CREDENTIAL or name in _NEW):
            raise Unimplemented(arg)
        plain = (
            name in _NEW
            or (name in _CREDENTIAL and _CREDENTIAL[name] is None)
            or (name in _KINDS and _KINDS[name] is None)
        )
        value = None if plain else next(rest, None)
        if value is None and not plain:
            raise Unimplemented(f"{arg} without a value")
        for index in scope:
            flags[index].put(name, value)
    return flags
