"""What a handshake cannot do without: its calls of cryptography and hashlib, counted, and made again by themselves.

No protocol in Python on these libraries takes less time; what a handshake takes beyond it is its own. AEAD objects and
random numbers are left out, so that the limit is a little low.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from types import FrameType
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.verification import PolicyBuilder, Store

from benchmarks.harness import Contestant
from benchmarks.pairs import NAME, server_credential
from tests.support.pki import pki

MESSAGE = bytes(130)  # what is hashed, signed or sealed at a time has about this size
ECDSA = ec.ECDSA(hashes.SHA256())

Call = tuple[Callable[..., object], tuple[Any, ...]]


def examples() -> dict[str, Call]:
    """A call of each primitive, by the name it has in a profile."""
    private, signer = X25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    public, signature = private.public_key(), signer.sign(MESSAGE, ECDSA)
    state, aead, nonce = hashlib.sha384(MESSAGE), AESGCM(bytes(32)), bytes(12)
    certificate = x509.load_pem_x509_certificate(server_credential().chain_pem)
    policy = PolicyBuilder().store(Store([x509.load_pem_x509_certificate(pki().trust_pem)])).time(datetime.now(UTC))
    return {
        "openssl_sha256": (hashlib.sha256, (MESSAGE,)),
        "openssl_sha384": (hashlib.sha384, (MESSAGE,)),
        "HASH.copy": (state.copy, ()),
        "HASH.update": (hashlib.sha384().update, (MESSAGE,)),
        "HASH.digest": (state.digest, ()),
        "generate_key": (X25519PrivateKey.generate, ()),
        "X25519PrivateKey.public_key": (private.public_key, ()),
        "X25519PublicKey.public_bytes_raw": (public.public_bytes_raw, ()),
        "from_public_bytes": (X25519PublicKey.from_public_bytes, (public.public_bytes_raw(),)),
        "X25519PrivateKey.exchange": (private.exchange, (public,)),
        "ECPrivateKey.sign": (signer.sign, (MESSAGE, ECDSA)),
        "ECPublicKey.verify": (signer.public_key().verify, (signature, MESSAGE, ECDSA)),
        "AESGCM.encrypt": (aead.encrypt, (nonce, MESSAGE, None)),
        "AESGCM.decrypt": (aead.decrypt, (nonce, aead.encrypt(nonce, MESSAGE, None), None)),
        "load_der_x509_certificate": (x509.load_der_x509_certificate, (certificate.public_bytes(Encoding.DER),)),
        "Certificate.public_key": (certificate.public_key, ()),
        "ServerVerifier.verify": (policy.build_server_verifier(x509.DNSName(NAME)).verify, (certificate, [])),
    }


def alone(name: str, handshake: Callable[[int], object]) -> Contestant:
    """The primitives of one of these handshakes."""
    called: Counter[str] = Counter()

    def count(_frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call":
            called[function.__qualname__] += 1

    handshake(1)  # whatever is only done the first time
    sys.setprofile(count)
    handshake(1)
    sys.setprofile(None)
    calls = [call for primitive, call in examples().items() for _ in range(called[primitive])]

    def run(times: int) -> None:
        for _ in range(times):
            for function, arguments in calls:
                function(*arguments)

    return Contestant(name, run)
