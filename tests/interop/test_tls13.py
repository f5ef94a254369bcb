"""What TLS 1.3 alone has, with five other implementations, in both roles; the rest is in `test_tls`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.interop.pairs import Accept, Line, Opposite, agree, clients, dial, peers, servers
from tests.interop.peers import Setup, Workshop
from tests.interop.subjects import Connection, Subject, needs


@servers("resume")
def test_our_client_resumes(peer: Opposite, own: Subject, workshop: Workshop, server: Setup, client: Setup) -> None:
    kind, _ = peer
    remote = kind(workshop).serve(server)
    session = None
    for resumed in (False, True):
        end = own.connect(dial(remote.port), client, session)
        remote.talk(end)
        assert end.facts().resumed is resumed
        agree(end.facts(), remote.facts())
        session = end.session
        end.close()
        if "close" in kind.can_serve:
            remote.saw_close_notify()


@clients("resume")
def test_our_server_resumes(
    peer: Opposite, accept: Accept, line: Line, workshop: Workshop, server: Setup, client: Setup
) -> None:
    kind, _ = peer
    port, take = accept
    end, remote = kind(workshop).resume(port, client, lambda: take(server))
    assert isinstance(end, Connection)
    ours = end.facts()
    assert ours.resumed
    if kind.name == "nss":  # tstclnt leaves when we do
        end.close()
        theirs = remote.facts()
        agree(ours, theirs)
    else:
        _, theirs = line.part(peer, end, remote)
    assert theirs.resumed


@peers("retry")
def test_hello_retry_request(peer: Opposite, line: Line, server: Setup, client: Setup) -> None:
    kind, serves = peer
    if not serves and kind.name != "ssl":  # a client of ssl offers all it has
        client = replace(client, groups=("x25519", "secp384r1"))
    ours, theirs = line.talk(peer, replace(server, groups=("secp384r1",)), client)
    assert {ours.group, theirs.group} <= {"secp384r1", None}
    assert theirs.hello_retry is not False


@needs("hybrid")
@peers("hybrid")
def test_hybrid_group(peer: Opposite, line: Line, server: Setup, client: Setup) -> None:
    _, serves = peer
    hybrid = ("X25519MLKEM768",)
    server, client = replace(server, groups=hybrid if serves else ()), replace(client, groups=() if serves else hybrid)
    _, theirs = line.talk(peer, server, client)
    assert theirs.group == "X25519MLKEM768"


# --- key updates -----------------------------------------------------------------------------------------------------


@peers("one-way key update")
def test_their_key_update(peer: Opposite, line: Line, server: Setup, client: Setup) -> None:
    end, remote = line.meet(peer, replace(server, verbose=True), replace(client, verbose=True))
    remote.talk(end)
    for _ in range(3):
        remote.key_update(request_peer=False)
        remote.talk(end)
    line.close(peer, end, remote)


@peers("key update")
def test_their_key_update_that_asks_for_ours(peer: Opposite, line: Line, server: Setup, client: Setup) -> None:
    end, remote = line.meet(peer, replace(server, verbose=True), replace(client, verbose=True))
    remote.talk(end)
    for _ in range(3):
        remote.key_update(request_peer=True)
        remote.talk(end)
        remote.talk(end)  # our answer goes out before the next data
        remote.saw_key_update()
    line.close(peer, end, remote)


@needs("key update")
@peers()
@pytest.mark.parametrize("request_peer", [False, True], ids=["one way", "both ways"])
def test_our_key_update(peer: Opposite, request_peer: bool, line: Line, server: Setup, client: Setup) -> None:
    end, remote = line.meet(peer, replace(server, verbose=True), replace(client, verbose=True))
    for _ in range(3):
        end.key_update(request_peer)
    remote.talk(end)
    remote.saw_key_update()
    line.close(peer, end, remote)
