"""What tests of connections begin with: contexts on a clock that stands still, with seeded randomness.

They speak TLS 1.3 alone, unless they are told otherwise (`TLS12`): most tests know by heart what comes next.
"""

from __future__ import annotations

import random
from functools import cache

from caesura.context import Context, Identity, Method, TrustStore, Verify
from tests.support.clock import FakeClock
from tests.support.pki import pki

WALL = pki().now.timestamp() + 60


@cache
def identity(name: str = "ec") -> Identity:
    """The identity of one of the hierarchy's leaves."""
    credential = getattr(pki(), name)
    return Identity.load(credential.chain_pem, credential.key_pem)


@cache
def trust() -> TrustStore:
    """What everybody trusts here: the root."""
    return TrustStore.load(pki().trust_pem)


TLS12 = {"minimum_version": "TLS12", "maximum_version": "TLS12"}
EITHER = {"minimum_version": "TLS12", "maximum_version": "TLS13"}


def only_tls13(settings: dict[str, object]) -> dict[str, object]:
    """What pins a context."""
    return {"minimum_version": "DTLS13" if settings.get("method") is Method.DTLS else "TLS13"}


def client_context(**settings: object) -> Context:
    """A client's context; x25519 first, because it is the fastest."""
    defaults: dict[str, object] = {
        **only_tls13(settings),
        "trust": trust(),
        "groups": ["x25519", "secp256r1"],
        "clock": FakeClock(wall_time=WALL),
        "random": random.Random(1).randbytes,
        "keylog": None,
    }
    return Context.client(**{**defaults, **settings})


def server_context(**settings: object) -> Context:
    """A server's context with an ECDSA identity."""
    defaults: dict[str, object] = {
        **only_tls13(settings),
        "identity": identity(),
        "groups": ["x25519", "secp256r1"],
        "clock": FakeClock(wall_time=WALL),
        "random": random.Random(2).randbytes,
        "keylog": None,
    }
    return Context.server(**{**defaults, **settings})


def asking_context(verify: Verify = Verify.REQUIRED, **settings: object) -> Context:
    """A server's context that asks for a client certificate."""
    return server_context(verify=verify, **{"trust": trust(), **settings})
