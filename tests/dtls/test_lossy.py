"""Handshakes on a network that loses 15 %, swaps 20 % and doubles 10 % of all datagrams: every one completes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dtls.world import DTLS12, DTLS13, asking_context, client_context, server_context
from tests.support.datagram_link import Lossy, datagram_link
from tests.tls.world import identity


@pytest.mark.parametrize("version", [DTLS12, DTLS13], ids=["DTLS12", "DTLS13"])
@pytest.mark.parametrize("start", range(0, 1000, 100))
def test_a_thousand_seeds(start: int, version: dict[str, Any]) -> None:
    client, server = client_context(**version), server_context(**version)
    for seed in range(start, start + 100):
        link = datagram_link(client, server, Lossy(seed=seed))
        both = (link.client, link.server)
        link.start().run(lambda both=both: all(each.handshake_complete for each in both))  # type: ignore[misc]
        assert all(each.handshake_complete for each in both), seed
        link.run()
        assert [each.error for each in both] == [None, None], seed
        assert [each.timeout() for each in both] == [None, None], seed


@pytest.mark.parametrize("version", [DTLS12, DTLS13], ids=["DTLS12", "DTLS13"])
def test_large_flights_with_client_certificates_and_retries(version: dict[str, Any]) -> None:
    groups = ["X25519MLKEM768", "x25519", "secp256r1"]
    settings = {**version, "groups": groups, "dtls": {"mtu": 300}}
    client = client_context(identity=identity("client"), **settings)
    server = asking_context(**settings if version is DTLS12 else {**settings, "groups": groups[:1]})
    for seed in range(60):
        link = datagram_link(client, server, Lossy(seed=seed), listener=version is DTLS12).start().run()
        assert link.client.handshake_complete, seed
        assert link.server.handshake_complete, seed
        assert link.client.timeout() is link.server.timeout() is None, seed
