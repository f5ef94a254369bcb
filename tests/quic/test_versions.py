"""Versions 1 and 2: spoken, agreed on, and nobody else's decision (RFC 9368, RFC 9369)."""

from __future__ import annotations

from typing import Any

import pytest

from caesura.errors import VersionNegotiationError
from caesura.quic import QUICConnection, packets
from caesura.wire.registries import Version
from tests.quic.link import QUICLink, client_context, linked, server_context
from tests.support.datagram_link import CLIENT, SERVER, Lossy

ONE, TWO = Version.QUIC1, Version.QUIC2
GREASE = 0x1A2A3A4A


def speaks(*versions: Version) -> dict[str, Any]:
    return {"quic": {"versions": versions}}


def versions_sent(link: QUICLink, *, by_client: bool) -> list[int]:
    """The versions in the long headers that one side has sent, in their order, each once."""
    found: list[int] = []
    for each in link.sent:
        pos = 0
        while each.by_client is by_client and pos < len(each.data) and each.data[pos] & 0x80:
            header = packets.read_long(each.data, pos)
            assert header is not None
            if header.parameters.version not in found:
                found.append(int(header.parameters.version))
            pos = header.stop
    return found


def talk(link: QUICLink) -> None:
    for by_client in (True, False):
        stream_id = link.send(b"words", by_client=by_client)
        link.wait(1.0)
        assert (link.theirs if by_client else link.ours).streams[stream_id] == b"words"


@pytest.mark.parametrize(
    ("client", "server", "agreed", "by_client", "by_server"),
    [
        ((ONE,), (ONE,), ONE, [ONE], [ONE]),
        ((TWO,), (TWO,), TWO, [TWO], [TWO]),
        ((ONE, TWO), (ONE, TWO), ONE, [ONE], [ONE]),
        ((ONE, TWO), (TWO, ONE), TWO, [ONE, TWO], [TWO]),
        ((TWO, ONE), (ONE, TWO), ONE, [TWO, ONE], [ONE]),
        ((TWO, ONE), (TWO,), TWO, [TWO], [TWO]),
        ((ONE,), (TWO, ONE), ONE, [ONE], [ONE]),
    ],
)
def test_what_is_agreed_on(
    client: tuple[Version, ...],
    server: tuple[Version, ...],
    agreed: Version,
    by_client: list[Version],
    by_server: list[Version],
) -> None:
    link = linked(speaks(*client), speaks(*server)).establish()
    assert link.client.version is link.server.version is agreed
    assert versions_sent(link, by_client=True) == by_client
    assert versions_sent(link, by_client=False) == by_server
    assert link.now - 1000.0 == pytest.approx(0.04)  # another version costs no round trip
    talk(link)


def test_another_version_and_a_hello_of_two_datagrams() -> None:
    """The server cannot choose before it has the whole hello: what it acknowledges before is of the first version."""
    groups = {"groups": ["X25519MLKEM768", "x25519"]}
    link = linked({**groups, **speaks(ONE, TWO)}, {**groups, **speaks(TWO, ONE)}).establish()
    assert link.client.version is TWO
    talk(link)


@pytest.mark.parametrize("seed", range(6))
def test_another_version_on_a_lossy_network(seed: int) -> None:
    link = linked(speaks(ONE, TWO), speaks(TWO, ONE), Lossy(seed=seed)).establish()
    assert link.client.version is link.server.version is TWO


def test_tickets_are_good_in_the_version_that_gave_them() -> None:
    client, server = client_context(**speaks(ONE)), server_context(**speaks(ONE, TWO))

    def connect() -> QUICConnection:
        one = QUICConnection(client, server_side=False, server_hostname="example.test", addr=SERVER)
        link = QUICLink(one, QUICConnection(server, server_side=True)).establish()
        link.wait(1.0)
        return one

    assert not connect().session_reused
    assert connect().session_reused
    client.quic = speaks(TWO)["quic"]
    assert not connect().session_reused
    assert connect().session_reused


def test_a_session_of_another_version_is_not_resumed() -> None:
    server = server_context(**speaks(ONE, TWO))

    def connect(version: Version, session: Any = None) -> QUICConnection:
        context = client_context(**speaks(version), sessions=None)
        one = QUICConnection(context, server_side=False, server_hostname="example.test", addr=SERVER, session=session)
        QUICLink(one, QUICConnection(server, server_side=True)).establish().wait(1.0)
        return one

    context = client_context(**speaks(ONE))
    one = QUICConnection(context, server_side=False, server_hostname="example.test", addr=SERVER)
    QUICLink(one, QUICConnection(server, server_side=True)).establish().wait(1.0)
    assert one.session is not None
    assert not connect(TWO, one.session).session_reused


# --- Version Negotiation packets --------------------------------------------------------------------------------


def negotiation(link: QUICLink, *versions: int) -> bytes:
    """A server's answer to the client's first packet."""
    found = packets.read_invariant(link.sent[0].data, 0)
    assert found is not None
    _, destination, source, _ = found
    return packets.encode_version_negotiation(source, destination, versions, 0)


def started(client: dict[str, Any], server: dict[str, Any]) -> QUICLink:
    """The client's first packets are lost on a server that does not speak its version."""
    link = linked(client, server).start()  # type: ignore[assignment]
    link.wait(0.02)
    assert all(each.by_client for each in link.sent)
    return link


def test_the_server_speaks_another_version() -> None:
    link = started(speaks(ONE, TWO), speaks(TWO))
    link.deliver(negotiation(link, TWO, GREASE), to_server=False)
    link.establish()
    assert link.client.version is TWO
    assert versions_sent(link, by_client=True) == [ONE, TWO]
    talk(link)


def test_nothing_in_common() -> None:
    link = started(speaks(ONE), speaks(TWO))
    link.deliver(negotiation(link, TWO, GREASE), to_server=False)
    assert isinstance(link.client.error, VersionNegotiationError)
    assert "0x6b3343cf" in str(link.client.error)


def test_what_is_no_answer_of_the_server_s() -> None:
    link = started(speaks(ONE, TWO), speaks(TWO))
    good = negotiation(link, TWO)
    for at in range(6, len(good) - 4):  # ids that are not ours
        changed = bytearray(good)
        changed[at] ^= 1
        link.deliver(bytes(changed), to_server=False)
    link.deliver(negotiation(link, ONE, TWO), to_server=False)  # names what we have tried
    link.deliver(good[:-2], to_server=False)
    assert versions_sent(link, by_client=True) == [ONE]
    assert link.client.error is None


def test_after_a_packet_of_the_server_s_it_is_too_late() -> None:
    link = linked(speaks(ONE, TWO), speaks(ONE, TWO)).start()
    link.wait(0.025)
    link.deliver(negotiation(link, TWO), to_server=False)  # type: ignore[arg-type]
    link.run(lambda: link.client.handshake_confirmed, seconds=5)  # type: ignore[attr-defined]
    assert link.client.version is ONE


def test_a_second_one_is_ignored() -> None:
    link = started(speaks(ONE, TWO), speaks(TWO))
    link.deliver(negotiation(link, TWO), to_server=False)
    again = packets.read_invariant(link.sent[-1].data, 0)
    assert again is not None
    link.deliver(packets.encode_version_negotiation(again[2], again[1], [ONE], 0), to_server=False)
    link.establish()
    assert link.client.version is TWO


def test_a_forged_one_is_found_out() -> None:
    """Somebody makes the client choose the version it prefers less; the server's parameters tell."""
    link = linked(speaks(ONE, TWO), speaks(ONE, TWO))
    link.client.advance(link.now)
    ((hello, _),) = link.client.datagrams_to_send(link.now)
    found = packets.read_invariant(hello, 0)
    assert found is not None
    forged = packets.encode_version_negotiation(found[2], found[1], [TWO], 0)
    link.client.receive_datagram(forged, SERVER, link.now)
    link.run(lambda: link.failed, seconds=5)
    assert isinstance(link.client.error, VersionNegotiationError)


def test_a_server_hears_no_such_packets() -> None:
    link = linked().start()
    link.server.receive_datagram(negotiation(link, TWO), CLIENT, link.now)  # type: ignore[arg-type]
    link.run(lambda: link.client.handshake_confirmed, seconds=5)  # type: ignore[attr-defined]
    assert link.server.error is None
