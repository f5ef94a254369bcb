"""Contexts for DTLS, on a clock that stands still, with seeded randomness; and links made of them.

They speak DTLS 1.3 alone, unless they are told otherwise (`DTLS12`, `EITHER`).
"""

from __future__ import annotations

from typing import Any

from caesura.context import Context, Method, Verify
from caesura.crypto.suites import SUITES
from caesura.wire.registries import CipherSuite
from tests.dtls.tap import Tap
from tests.support.datagram_link import DatagramLink, Network, datagram_link
from tests.tls import world

DTLS12 = {"minimum_version": "DTLS12", "maximum_version": "DTLS12"}
DTLS13 = {"minimum_version": "DTLS13", "maximum_version": "DTLS13"}
EITHER = {"minimum_version": "DTLS12", "maximum_version": "DTLS13"}


def client_context(**settings: Any) -> Context:
    """A client's context."""
    return world.client_context(method=Method.DTLS, **settings)


def server_context(**settings: Any) -> Context:
    """A server's context with an ECDSA identity."""
    return world.server_context(method=Method.DTLS, **settings)


def asking_context(verify: Verify = Verify.REQUIRED, **settings: Any) -> Context:
    """A server's context that asks for a client certificate."""
    return server_context(verify=verify, **{"trust": world.trust(), **settings})


def linked(
    client: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    network: Network | None = None,
    **options: Any,
) -> DatagramLink:
    """A client and a server with these settings. `options` are the client connection's."""
    return datagram_link(client_context(**(client or {})), server_context(**(server or {})), network, **options)


def tapped(
    client: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    network: Network | None = None,
    **options: Any,
) -> tuple[DatagramLink, Tap]:
    """A link, and a tap that reads all it carries."""
    tap = Tap(SUITES[CipherSuite.TLS_AES_128_GCM_SHA256])
    settings = {"keylog": tap.log.append, "cipher_suites": ["TLS_AES_128_GCM_SHA256"]}
    link = linked({**settings, **(client or {})}, {**settings, **(server or {})}, network, **options)
    return link, tap


def connected(client: dict[str, Any] | None = None, server: dict[str, Any] | None = None) -> DatagramLink:
    """The same, their handshake complete and acknowledged, and what led there forgotten."""
    link = linked(client, server).handshake()
    link.sent.clear()
    link.timeouts.clear()
    link.client_events.clear()
    link.server_events.clear()
    return link
