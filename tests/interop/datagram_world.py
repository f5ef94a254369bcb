"""Ends of ours for tests over UDP: connections without I/O on sockets that the test drives."""

from __future__ import annotations

from typing import Any

from caesura.context import Context, Identity, Method, TrustStore
from caesura.dtls import DTLSConnection, DTLSListener
from caesura.sessions import Session
from caesura.wire.registries import Version
from tests.interop.pairs import Files
from tests.interop.peers.datagrams import UDPEnd, udp_socket


class World:
    """Ends that are closed when the test is over. They would speak either version, unless they are told otherwise."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.ends: list[UDPEnd] = []

    def client_context(self, **settings: Any) -> Context:
        common = {"method": Method.DTLS, "keylog": None, "groups": ["x25519", "secp256r1"]}
        if "lookup_psk" not in settings:
            settings["trust"] = TrustStore.load(self.files["root"])
        return Context.client(**{**common, **settings})

    def server_context(self, **settings: Any) -> Context:
        common = {"method": Method.DTLS, "keylog": None, "groups": ["x25519", "secp256r1"]}
        if "lookup_psk" not in settings:
            settings["identity"] = Identity.load(self.files["ec.chain"], self.files["ec.key"])
        return Context.server(**{**common, **settings})

    def client(
        self, port: int, *, context: Context | None = None, session: Session | None = None, **settings: Any
    ) -> UDPEnd:
        context = context or self.client_context(**settings)
        addr = ("127.0.0.1", port)
        connection = DTLSConnection(context, server_side=False, server_hostname="localhost", addr=addr, session=session)
        return self._end(UDPEnd(udp_socket(), connection, None))

    def server(self, **settings: Any) -> UDPEnd:
        return self._end(UDPEnd(udp_socket(), None, DTLSListener(self.server_context(**settings))))

    def _end(self, end: UDPEnd) -> UDPEnd:
        self.ends.append(end)
        return end

    def close(self) -> None:
        for end in self.ends:
            end.close()


def done(end: UDPEnd, version: Version) -> DTLSConnection:
    """The connection, when its handshake is."""
    end.until(lambda: end.accepted is not None and end.accepted.handshake_complete)
    assert end.connection.version is version
    return end.connection
