"""The key schedule of TLS 1.3 (RFC 9846 section 7), one type per stage.

`EarlySecret` gives a `HandshakeSecret`, which gives a `MainSecret`; asking the wrong stage does not type-check. The
secrets down the left side of the RFC's figure stay inside these objects, those on its right side leave as
`TrafficSecret`. The labels still say "master" where the RFC now says "main".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from caesura.crypto.hkdf import Hash, Keyed, derive_secret, expand_label, extract, verify_data
from caesura.crypto.secrets import Secret, SharedSecret, TrafficSecret
from caesura.crypto.suites import Suite


@dataclass(slots=True)
class TrafficSecrets:
    """The two directions' secrets of one epoch."""

    client: TrafficSecret
    server: TrafficSecret


class EarlySecret:
    """The first stage: what a pre-shared key gives before anything is exchanged."""

    __slots__ = ("_algorithm", "_prefix", "_secret")

    def __init__(self, algorithm: Hash, prefix: bytes, psk: Secret | None) -> None:
        self._algorithm = algorithm
        self._prefix = prefix
        self._secret = None if psk is None else Keyed(algorithm, extract(algorithm, algorithm.zeros, psk), prefix)

    def binder(self, transcript_hash: bytes, label: bytes = b"res binder") -> bytes:
        """A PskBinderEntry over a truncated ClientHello (RFC 9846 section 4.3.11.2).

        `label` tells the kinds of keys apart: `res binder`, `ext binder`, and `imp binder` (RFC 9258 section 5.2).
        """
        assert self._secret is not None, "a binder needs a pre-shared key"
        key = self._secret.derive(label, self._algorithm.empty_digest)
        return verify_data(self._algorithm, key, transcript_hash, self._prefix)

    def client_traffic(self, suite: Suite, transcript_hash: bytes) -> TrafficSecret:
        """client_early_traffic_secret, over the ClientHello."""
        assert self._secret is not None, "early data needs a pre-shared key"
        return self._secret.traffic(transcript_hash, suite, b"c e traffic")[0]

    def handshake(self, suite: Suite, shared: SharedSecret) -> HandshakeSecret:
        """The next stage, from what the key exchange gave."""
        algorithm, prefix = self._algorithm, self._prefix
        if self._secret is None:
            return HandshakeSecret(suite, prefix, _without_psk(algorithm, prefix).extract(shared))
        salt = self._secret.derive(b"derived", algorithm.empty_digest)
        return HandshakeSecret(suite, prefix, extract(algorithm, salt, shared))


@lru_cache(maxsize=16)
def _without_psk(algorithm: Hash, prefix: bytes) -> Keyed:
    """What every handshake without a pre-shared key salts its handshake secret with."""
    early = extract(algorithm, algorithm.zeros, algorithm.zeros)
    return Keyed(algorithm, derive_secret(algorithm, early, b"derived", algorithm.empty_digest, prefix), prefix)


class _Stage:
    __slots__ = ("_prefix", "_secret", "_suite")

    def __init__(self, suite: Suite, prefix: bytes, secret: Secret) -> None:
        self._suite = suite
        self._prefix = prefix
        self._secret = Keyed(suite.hash, secret, prefix)


class HandshakeSecret(_Stage):
    """The second stage: protects the rest of the handshake."""

    __slots__ = ()

    def traffic(self, transcript_hash: bytes) -> TrafficSecrets:
        """The handshake traffic secrets, over ClientHello to ServerHello."""
        return TrafficSecrets(*self._secret.traffic(transcript_hash, self._suite, b"c hs traffic", b"s hs traffic"))

    def main(self) -> MainSecret:
        """The last stage."""
        algorithm = self._suite.hash
        salt = self._secret.derive(b"derived", algorithm.empty_digest)
        return MainSecret(self._suite, self._prefix, extract(algorithm, salt, algorithm.zeros))


class MainSecret(_Stage):
    """The last stage: protects application data."""

    __slots__ = ()

    def traffic(self, transcript_hash: bytes) -> TrafficSecrets:
        """The first application traffic secrets, over ClientHello to the server's Finished."""
        return TrafficSecrets(*self._secret.traffic(transcript_hash, self._suite, b"c ap traffic", b"s ap traffic"))

    def exporter(self, transcript_hash: bytes) -> Secret:
        """exporter_secret, over ClientHello to the server's Finished."""
        return self._secret.derive(b"exp master", transcript_hash)

    def resumption(self, transcript_hash: bytes) -> Secret:
        """resumption_secret, over ClientHello to the client's Finished."""
        return self._secret.derive(b"res master", transcript_hash)


def next_generation(secret: TrafficSecret, prefix: bytes) -> TrafficSecret:
    """application_traffic_secret_N+1 (RFC 9846 section 7.2)."""
    algorithm = secret.suite.hash
    updated = expand_label(algorithm, secret, b"traffic upd", b"", algorithm.digest_size, prefix)
    return TrafficSecret(updated.reveal(), secret.suite)


def ticket_psk(algorithm: Hash, resumption: Secret, nonce: bytes, prefix: bytes) -> Secret:
    """The pre-shared key that belongs to one ticket (RFC 9846 section 4.7.1)."""
    return expand_label(algorithm, resumption, b"resumption", nonce, algorithm.digest_size, prefix)


def export(algorithm: Hash, exporter: Secret, label: bytes, context: bytes, length: int, prefix: bytes) -> bytes:
    """TLS-Exporter (RFC 9846 section 7.5); `length` in bytes."""
    secret = derive_secret(algorithm, exporter, label, algorithm.empty_digest, prefix)
    return expand_label(algorithm, secret, b"exporter", algorithm.digest(context), length, prefix).reveal()
