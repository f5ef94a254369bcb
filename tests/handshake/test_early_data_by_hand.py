"""Early data as the transport below sees it: what it is told, in which order, on transports of either kind.

There is no record here, so that what holds for TLS is told apart from what holds for every transport: with an end of
early data in the stream of the handshake, and without one, where each packet says under which keys it stands.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from caesura.handshake.transport import Profile
from caesura.tls.connection import PROFILE
from tests.handshake.by_hand import Hand, run
from tests.support.link import link
from tests.tls.world import client_context, server_context

BARE = replace(PROFILE, end_of_early_data=False)
Profiles = pytest.mark.parametrize("profile", [PROFILE, BARE], ids=["with an end", "without"])


def hands(profile: Profile = PROFILE, **later: Any) -> tuple[Hand, Hand]:
    """Both sides, with a session for early data between them; `later` are settings that the server gets after that."""
    client, server = client_context(alpn="h2"), server_context(alpn="h2", max_early_data=100)
    session = link(client, server).handshake().client.session
    for name, value in later.items():
        setattr(server, name, value)
    ours = Hand(client, server_side=False, session=session, profile=profile, early_data=50)
    theirs = Hand(server, server_side=True, profile=profile, early_data=0)
    return ours, theirs


@Profiles
def test_both_sides_agree(profile: Profile) -> None:
    client, server = hands(profile)
    run(client, server)
    assert client.done
    assert server.done
    early = client.transport.secrets["write early_data"]
    assert early == server.transport.secrets["read early_data"]
    assert early.suite is client.transport.secrets["write handshake"].suite
    assert len({secret.reveal() for secret in client.transport.secrets.values()}) == 5


def test_what_the_transport_is_told() -> None:
    """RFC 9846 figure 4: the client's keys of the handshake come behind the end of early data, on either side."""
    client, server = hands()
    run(client, server)
    assert client.transport.told == [
        "initial: client_hello",
        "write early_data",
        "early data: unknown",
        "read handshake",
        "early data: accept",
        "read application",
        "early_data: end_of_early_data",
        "write handshake",
        "handshake: finished",
        "write application",
        "completed",
    ]
    assert server.transport.told == [
        "early data: accept",
        "read early_data",
        "initial: server_hello",
        "write handshake",
        "handshake: encrypted_extensions",
        "handshake: finished",
        "write application",
        "read handshake",
        "read application",
        "completed",
    ]
    assert server.asked == [
        "receive ClientHello",
        "OPEN_TICKET",
        "CHECK_REPLAY",
        "KEY_EXCHANGE",
        "receive EndOfEarlyData",
        "receive Finished",
    ]


def test_what_a_transport_without_an_end_is_told() -> None:
    """RFC 9001 sections 4.1.4 and 8.3: the keys of the handshake are there at once, and no message ends early data."""
    client, server = hands(BARE)
    run(client, server)
    assert client.transport.told[1:6] == [
        "write early_data",
        "early data: unknown",
        "read handshake",
        "write handshake",
        "early data: accept",
    ]
    assert server.transport.told[:5] == [
        "early data: accept",
        "read early_data",
        "initial: server_hello",
        "write handshake",
        "read handshake",
    ]
    assert not any("end_of_early_data" in line for line in client.transport.told)
    assert server.asked[-1] == "receive Finished"
    assert client.done
    assert server.done


@Profiles
@pytest.mark.parametrize(
    ("later", "reason"),
    [
        ({"max_early_data": 0}, "disabled"),
        ({"groups": ["secp256r1"]}, "hello_retry_request"),
        ({"alpn": None}, "alpn_mismatch"),
        ({"alpn": ["h3", "h2"]}, ""),
    ],
    ids=["off", "a retry", "no protocol", "none"],
)
def test_refusals(profile: Profile, later: dict[str, Any], reason: str) -> None:
    client, server = hands(profile, **later)
    run(client, server)
    assert client.done
    assert server.done
    refused = bool(reason)
    assert ("read early_data" in server.transport.told) is not refused
    if refused:
        assert f"no early data: {reason}" in server.transport.told
        assert not any("end_of_early_data" in line for line in client.transport.told)
        told = [line for line in client.transport.told if "early" in line]
        assert told[:2] == ["write early_data", "early data: unknown"]
        assert [line.split(":")[0] for line in told[2:]] == ["no early data"]


def test_second_hello_goes_out_in_the_clear() -> None:
    client, server = hands(groups=["secp256r1"])
    run(client, server)
    assert [line for line in client.transport.told if "client_hello" in line] == ["initial: client_hello"] * 2


@Profiles
def test_transport_has_a_word(profile: Profile) -> None:
    """What it remembers of the first connection may be another condition: QUIC's transport parameters."""
    client, server = hands(profile)
    server.transport.takes_early_data = False
    run(client, server)
    assert "no early data: transport_mismatch" in server.transport.told
    assert server.transport.established is not None
    assert server.transport.established.session_reused


@Profiles
@pytest.mark.parametrize("how", ["fails", "is closed"])
def test_end_at_every_request(profile: Profile, how: str) -> None:
    class Broken(Exception):
        pass

    for server_side in (False, True):
        client, server = hands(profile)
        run(client, server)
        total = len((server if server_side else client).asked)
        for number in range(total):
            pair = hands(profile)
            subject, other = pair[server_side], pair[not server_side]
            while len(subject.asked) <= number:
                if not subject.step(other):
                    assert other.step(subject)
            before = list(subject.transport.told)
            if how == "fails":
                with pytest.raises(Broken):
                    subject.steps.throw(Broken())
            else:
                subject.steps.close()
            assert subject.transport.told == before
            assert subject.transport.established is None
