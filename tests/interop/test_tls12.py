"""What TLS 1.2 alone has, with five other implementations, in both roles; the rest is in `test_tls`."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest

from tests.interop.pairs import Accept, Files, Line, Opposite, agree, clients, dial, peers, servers, showing
from tests.interop.peers import GnuTLS, OpenSSL, Setup, Workshop, gnutls
from tests.interop.peers.process import program
from tests.interop.subjects import Connection, Refused, Subject

OLDER, EITHER, NEWER = ("1.2",), ("1.2", "1.3"), ("1.3",)


@pytest.fixture
def versions() -> tuple[str, ...]:
    return OLDER


by_ticket_or_id = pytest.mark.parametrize("tickets", [True, False], ids=["ticket", "session id"])


@servers("resume")
@by_ticket_or_id
def test_our_client_resumes(
    peer: Opposite, tickets: bool, own: Subject, workshop: Workshop, server: Setup, client: Setup
) -> None:
    kind, _ = peer
    if kind.name == "go" and not tickets:
        pytest.skip("Go resumes by ticket alone")
    remote = kind(workshop).serve(replace(server, tickets=tickets))
    session = None
    for resumed in (False, True, True):
        end = own.connect(dial(remote.port), client, session)
        remote.talk(end)
        assert end.facts().resumed is resumed
        if tickets or kind.name != "nss":  # which counts only what it resumes by ticket
            agree(end.facts(), remote.facts())
        session = end.session
        end.close()
        if "close" in kind.can_serve:
            remote.saw_close_notify()


@clients("resume")
@by_ticket_or_id
def test_our_server_resumes(
    peer: Opposite, tickets: bool, accept: Accept, line: Line, workshop: Workshop, server: Setup, client: Setup
) -> None:
    kind, _ = peer
    if kind.name == "go" and not tickets:
        pytest.skip("Go resumes by ticket alone")
    server = replace(server, tickets=tickets)
    port, take = accept
    end, remote = kind(workshop).resume(port, client, lambda: take(server))
    assert isinstance(end, Connection)
    ours = end.facts()
    assert ours.resumed
    if kind.name != "nss":
        _, theirs = line.part(peer, end, remote)
        assert theirs.resumed
        return
    end.close()  # tstclnt leaves when we do
    if tickets:  # it counts only what it resumes by ticket
        theirs = remote.facts()
        assert theirs.resumed
        agree(ours, theirs)


@peers("group")
def test_group(peer: Opposite, line: Line, server: Setup, client: Setup) -> None:
    """Which is the server's choice, and costs no round trip as in TLS 1.3."""
    _, serves = peer
    if serves:
        server = replace(server, groups=("secp384r1",))
    else:
        server = replace(server, groups=("secp384r1", "x25519"))
        client = replace(client, groups=("x25519", "secp384r1", "secp256r1"))
    ours, _ = line.talk(peer, server, client)
    assert ours.group == "secp384r1"


# --- versions --------------------------------------------------------------------------------------------------------


@peers()
@pytest.mark.parametrize(("theirs", "agreed"), [(OLDER, "1.2"), (EITHER, "1.3"), (NEWER, "1.3")], ids=str)
def test_version(
    peer: Opposite, theirs: tuple[str, ...], agreed: str, line: Line, server: Setup, client: Setup
) -> None:
    """Where we speak both, which is what a Context does if nobody says otherwise."""
    _, serves = peer
    server = replace(server, versions=theirs if serves else EITHER)
    ours, _ = line.talk(peer, server, replace(client, versions=EITHER if serves else theirs))
    assert ours.version == agreed


@peers()
@pytest.mark.parametrize("ours", [OLDER, NEWER], ids=str)
def test_no_version_in_common(peer: Opposite, ours: tuple[str, ...], line: Line, server: Setup, client: Setup) -> None:
    theirs = NEWER if ours is OLDER else OLDER
    _, serves = peer
    server = replace(server, versions=theirs if serves else ours)
    _, handshake = line.begin(peer, server, replace(client, versions=ours if serves else theirs))
    with pytest.raises(Refused) as caught:
        handshake()
    assert caught.value.by_peer is serves
    assert caught.value.code in ((40, 70) if serves else (70,))


# --- what is refused -------------------------------------------------------------------------------------------------


class TestRefused:
    """By programs that still speak all of it; each is refused before a key is used."""

    old: ClassVar = {
        "CBC": ["-cipher", "ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0"],
        "static RSA": ["-cipher", "AES128-GCM-SHA256:@SECLEVEL=0"],
        "DHE": ["-cipher", "DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0"],
        "SHA-1": ["-sigalgs", "ECDSA+SHA1:RSA+SHA1", "-cipher", "ECDHE:@SECLEVEL=0"],
        "CCM": ["-cipher", "ECDHE-ECDSA-AES128-CCM"],
    }

    @pytest.mark.parametrize("what", list(old))
    def test_clients(self, what: str, accept: Accept, workshop: Workshop, files: Files, server: Setup) -> None:
        port, take = accept
        key = "rsa" if what in ("static RSA", "DHE") else "ec"
        workshop.start(
            [
                *(program("openssl", "apt-get install openssl"), "s_client", "-connect", f"127.0.0.1:{port}"),
                *("-tls1_2", *self.old[what]),
            ]
        )
        with pytest.raises(Refused) as caught:
            take(showing(server, files, key))
        assert not caught.value.by_peer
        assert caught.value.code == 40

    def test_extended_main_secret(
        self,
        own: Subject,
        accept: Accept,
        workshop: Workshop,
        server: Setup,
        client: Setup,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """From a client that does not offer it, and from a server that does not take it."""
        monkeypatch.setattr(gnutls, "gnutls_priority", lambda _: "NORMAL:-VERS-ALL:+VERS-TLS1.2:%NO_SESSION_HASH")
        port, take = accept
        remote = GnuTLS(workshop).connect(port, client)
        with pytest.raises(Refused, match="extended_master_secret") as caught:
            take(server)
        assert not caught.value.by_peer
        assert caught.value.code == remote.refused() == 40
        remote = GnuTLS(workshop).serve(server)
        with pytest.raises(Refused, match="extended_master_secret") as caught:
            own.connect(dial(remote.port), client)
        assert not caught.value.by_peer
        assert caught.value.code == remote.refused() == 40

    @pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
    def test_older_clients(self, version: str, accept: Accept, workshop: Workshop, server: Setup) -> None:
        port, take = accept
        workshop.start(
            [
                *(program("openssl", "apt-get install openssl"), "s_client", "-connect", f"127.0.0.1:{port}"),
                *(version, "-cipher", "ALL:@SECLEVEL=0"),
            ]
        )
        with pytest.raises(Refused) as caught:
            take(replace(server, versions=EITHER))
        assert not caught.value.by_peer
        assert caught.value.code == 70


class TestRenegotiation:
    def test_by_a_client(self, accept: Accept, workshop: Workshop, server: Setup, client: Setup) -> None:
        port, take = accept
        remote = OpenSSL(workshop).connect(port, client)
        end = take(server)
        remote.talk(end)
        remote.process.send(b"R\n")  # type: ignore[attr-defined]
        with pytest.raises(Refused) as caught:
            end.read(1)
        assert not caught.value.by_peer
        assert caught.value.code == 100
        remote.process.wait_for("RENEGOTIATING\n")  # type: ignore[attr-defined]

    def test_by_a_server(self, own: Subject, workshop: Workshop, server: Setup, client: Setup) -> None:
        """OpenSSL takes our warning for the end; what it says is told apart from any other failure."""
        remote = OpenSSL(workshop).serve(server)
        end = own.connect(dial(remote.port), client)
        remote.talk(end)
        remote.process.send(b"r\n")  # type: ignore[attr-defined]
        remote.process.send(b"still here\n")  # type: ignore[attr-defined]
        with pytest.raises(Refused):
            while end.read(100):
                pass
        remote.process.wait_for("no renegotiation")  # type: ignore[attr-defined]
