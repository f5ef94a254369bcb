"""Handshakes on a network that loses 15 %, swaps 20 % and doubles 10 % of all datagrams: every one completes."""

from __future__ import annotations

import pytest

from tests.dtls.world import asking_context, client_context, server_context
from tests.support.datagram_link import Lossy, datagram_link
from tests.tls.world import identity


@pytest.mark.parametrize("start", range(0, 1000, 100))
def test_a_thousand_seeds(start: int) -> None:
    client, server = client_context(), server_context()
    for seed in range(start, start + 100):
        link = datagram_link(client, server, Lossy(seed=seed))
        both = (link.client, link.server)
        link.start().run(lambda both=both: all(each.handshake_complete for each in both))  # type: ignore[misc]
        assert all(each.handshake_complete for each in both), seed
        link.run()
        assert [each.error for each in both] == [None, None], seed
        assert [each.timeout() for each in both] == [None, None], seed


def test_large_flights_with_client_certificates_and_retries() -> None:
    settings = {"groups": ["X25519MLKEM768", "x25519"], "dtls": {"mtu": 300}}
    client = client_context(identity=identity("client"), **settings)
    server = asking_context(**{**settings, "groups": ["X25519MLKEM768"]})
    for seed in range(60):
        link = datagram_link(client, server, Lossy(seed=seed)).start().run()
        assert link.client.handshake_complete, seed
        assert link.server.handshake_complete, seed
        assert link.client.timeout() is link.server.timeout() is None, seed
