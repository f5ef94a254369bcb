"""TLS 1.2 with five other implementations, in both roles, over blocking sockets on loopback; and which version."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from tests.interop.pairs import Accept, agree, clients, dial, part, servers
from tests.interop.peers import GnuTLS, OpenSSL, Peer, Setup, Workshop, gnutls
from tests.interop.peers.process import program
from tests.interop.subjects import Connection, Refused, Subject, needs

SIZE = 5_000_000  # bytes each way
OLDER, EITHER, NEWER = ("1.2",), ("1.2", "1.3"), ("1.3",)
SUITES = {"ec": "ECDSA", "rsa": "RSA", "p384": "ECDSA"}

Files = dict[str, Path]


def secrets_in(keylog: Path) -> set[str]:
    lines = keylog.read_text(encoding="ascii").splitlines()
    return {line.lower() for line in lines if line.startswith("CLIENT_RANDOM ")}


@pytest.fixture
def server(files: Files) -> Setup:
    return Setup(versions=OLDER, chain=files["ec.chain"], key=files["ec.key"])


@pytest.fixture
def client(files: Files) -> Setup:
    return Setup(versions=OLDER, trust=files["root"])


@pytest.fixture
def known_client(files: Files) -> Setup:
    return Setup(versions=OLDER, trust=files["root"], chain=files["client.chain"], key=files["client.key"])


# --- our client ------------------------------------------------------------------------------------------------------


class TestClient:
    @servers()
    @pytest.mark.parametrize("key", ["ec", "rsa", "p384"])
    def test_handshake(
        self, kind: type[Peer], key: str, own: Subject, workshop: Workshop, files: Files, client: Setup
    ) -> None:
        chosen = Setup(versions=OLDER, chain=files[f"{key}.chain"], key=files[f"{key}.key"])
        remote = kind(workshop).serve(chosen)
        end = own.connect(dial(remote.port), client)
        remote.talk(end)
        ours = end.facts()
        agree(ours, remote.facts())
        assert ours.version == "1.2"
        assert ours.suite is not None
        assert f"ECDHE_{SUITES[key]}_WITH" in ours.suite
        assert ours.peer_certificate
        end.close()

    @servers("ed25519")
    def test_ed25519(self, kind: type[Peer], own: Subject, workshop: Workshop, files: Files, client: Setup) -> None:
        """RFC 8422 section 2.3: under the suites that say ECDSA."""
        chosen = Setup(versions=OLDER, chain=files["ed25519.chain"], key=files["ed25519.key"])
        remote = kind(workshop).serve(chosen)
        end = own.connect(dial(remote.port), client)
        remote.talk(end)
        end.close()

    @servers("resume")
    @pytest.mark.parametrize("tickets", [True, False], ids=["ticket", "session id"])
    def test_resumption(
        self, kind: type[Peer], tickets: bool, own: Subject, workshop: Workshop, server: Setup, client: Setup
    ) -> None:
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

    @servers("group")
    def test_group(self, kind: type[Peer], own: Subject, workshop: Workshop, server: Setup, client: Setup) -> None:
        """Which is the server's choice, and costs no round trip as in TLS 1.3."""
        remote = kind(workshop).serve(replace(server, groups=("secp384r1",)))
        end = own.connect(dial(remote.port), client)
        remote.talk(end)
        agree(end.facts(), remote.facts())
        assert end.facts().group == "secp384r1"
        end.close()

    @servers("alpn")
    def test_alpn(self, kind: type[Peer], own: Subject, workshop: Workshop, server: Setup, client: Setup) -> None:
        remote = kind(workshop).serve(replace(server, alpn=("http/1.1",)))
        end = own.connect(dial(remote.port), replace(client, alpn=("h2", "http/1.1")))
        remote.talk(end)
        agree(end.facts(), remote.facts())
        assert end.facts().alpn == "http/1.1"
        end.close()

    @servers("client certificate")
    @pytest.mark.parametrize("key", ["client", "rsa"])
    @pytest.mark.parametrize("required", [False, True], ids=["asked for", "required"])
    def test_client_certificate(
        self,
        kind: type[Peer],
        required: bool,
        key: str,
        own: Subject,
        workshop: Workshop,
        files: Files,
        server: Setup,
        client: Setup,
    ) -> None:
        remote = kind(workshop).serve(replace(server, trust=client.trust, require_certificate=required))
        end = own.connect(dial(remote.port), replace(client, chain=files[f"{key}.chain"], key=files[f"{key}.key"]))
        remote.talk(end)
        assert remote.facts().peer_certificate is not False
        end.close()

    @servers("client certificate")
    def test_no_client_certificate(
        self, kind: type[Peer], own: Subject, workshop: Workshop, server: Setup, client: Setup
    ) -> None:
        remote = kind(workshop).serve(replace(server, trust=client.trust))
        end = own.connect(dial(remote.port), client)
        remote.talk(end)
        end.close()
        remote = kind(workshop).serve(replace(server, trust=client.trust, require_certificate=True))
        with pytest.raises(Refused) as caught:
            own.connect(dial(remote.port), client)
        assert caught.value.by_peer

    @needs("staple")
    @servers("staple")
    def test_staple(
        self, kind: type[Peer], own: Subject, workshop: Workshop, files: Files, server: Setup, client: Setup
    ) -> None:
        for staple in (None, files["staple"]):
            remote = kind(workshop).serve(replace(server, staple=staple))
            end = own.connect(dial(remote.port), client)
            remote.talk(end)
            assert end.facts().stapled is (staple is not None)
            end.close()

    @needs("record size")
    @servers("record size")
    def test_record_size(
        self, kind: type[Peer], own: Subject, workshop: Workshop, server: Setup, client: Setup
    ) -> None:
        remote = kind(workshop).serve(replace(server, record_size=512))
        end = own.connect(dial(remote.port), replace(client, record_size=1024))
        remote.hear(end, 10_000)
        end.close()

    @servers("bulk")
    @pytest.mark.parametrize("key", ["ec", "rsa"])
    def test_bulk(
        self, kind: type[Peer], key: str, own: Subject, workshop: Workshop, files: Files, client: Setup
    ) -> None:
        chosen = Setup(versions=OLDER, chain=files[f"{key}.chain"], key=files[f"{key}.key"])
        remote = kind(workshop).serve(chosen)
        end = own.connect(dial(remote.port), client)
        remote.facts()
        remote.bulk(end, SIZE)
        end.close()

    @servers("download")
    def test_download(self, kind: type[Peer], own: Subject, workshop: Workshop, server: Setup, client: Setup) -> None:
        remote = kind(workshop).serve(replace(server, size=SIZE))
        end = own.connect(dial(remote.port), client)
        remote.bulk(end, SIZE)
        end.close()

    @servers("keylog")
    def test_key_log(
        self, kind: type[Peer], own: Subject, workshop: Workshop, server: Setup, client: Setup, tmp_path: Path
    ) -> None:
        ours, theirs = tmp_path / "ours.keys", tmp_path / "theirs.keys"
        remote = kind(workshop).serve(replace(server, keylog=theirs))
        end = own.connect(dial(remote.port), replace(client, keylog=ours))
        remote.talk(end)
        end.close()
        assert len(secrets_in(ours)) == 1
        assert secrets_in(ours) == secrets_in(theirs)

    @servers()
    @pytest.mark.parametrize(
        ("fault", "code"), [("wrong name", 42), ("expired", 45), ("unknown CA", 48)], ids=lambda value: str(value)
    )
    def test_refusal(
        self,
        kind: type[Peer],
        fault: str,
        code: int,
        own: Subject,
        workshop: Workshop,
        files: Files,
        server: Setup,
        client: Setup,
    ) -> None:
        if fault == "expired":
            server = replace(server, chain=files["expired.chain"], key=files["expired.key"])
        elif fault == "unknown CA":
            client = replace(client, trust=files["other root"])
        else:
            client = replace(client, server_name="another.example")
        remote = kind(workshop).serve(server)
        with pytest.raises(Refused) as caught:
            own.connect(dial(remote.port), client)
        assert not caught.value.by_peer
        assert caught.value.code == code
        assert remote.refused() == code

    @servers()
    @pytest.mark.parametrize(("theirs", "agreed"), [(OLDER, "1.2"), (EITHER, "1.3"), (NEWER, "1.3")], ids=str)
    def test_version(
        self,
        kind: type[Peer],
        theirs: tuple[str, ...],
        agreed: str,
        own: Subject,
        workshop: Workshop,
        server: Setup,
        client: Setup,
    ) -> None:
        """Of a client that speaks both, which is what a Context does if nobody says otherwise."""
        remote = kind(workshop).serve(replace(server, versions=theirs))
        end = own.connect(dial(remote.port), replace(client, versions=EITHER))
        remote.talk(end)
        assert end.facts().version == agreed
        agree(end.facts(), remote.facts())
        end.close()

    @servers()
    @pytest.mark.parametrize(("ours", "theirs"), [(OLDER, NEWER), (NEWER, OLDER)], ids=str)
    def test_no_version_in_common(
        self,
        kind: type[Peer],
        ours: tuple[str, ...],
        theirs: tuple[str, ...],
        own: Subject,
        workshop: Workshop,
        server: Setup,
        client: Setup,
    ) -> None:
        remote = kind(workshop).serve(replace(server, versions=theirs))
        with pytest.raises(Refused) as caught:
            own.connect(dial(remote.port), replace(client, versions=ours))
        assert caught.value.by_peer
        assert caught.value.code in (40, 70)


# --- our server ------------------------------------------------------------------------------------------------------


class TestServer:
    @clients()
    @pytest.mark.parametrize("key", ["ec", "rsa", "p384"])
    def test_handshake(
        self, kind: type[Peer], key: str, accept: Accept, workshop: Workshop, files: Files, client: Setup
    ) -> None:
        port, take = accept
        remote = kind(workshop).connect(port, client)
        end = take(Setup(versions=OLDER, chain=files[f"{key}.chain"], key=files[f"{key}.key"]))
        remote.talk(end)
        ours = end.facts()
        part(end, remote)
        agree(ours, remote.facts())
        assert ours.version == "1.2"
        assert ours.suite is not None
        assert f"ECDHE_{SUITES[key]}_WITH" in ours.suite

    @clients("ed25519")
    def test_ed25519(self, kind: type[Peer], accept: Accept, workshop: Workshop, files: Files, client: Setup) -> None:
        port, take = accept
        remote = kind(workshop).connect(port, client)
        end = take(Setup(versions=OLDER, chain=files["ed25519.chain"], key=files["ed25519.key"]))
        remote.talk(end)
        part(end, remote)

    @clients("close")
    def test_close_notify_from_us(
        self, kind: type[Peer], accept: Accept, workshop: Workshop, server: Setup, client: Setup
    ) -> None:
        port, take = accept
        remote = kind(workshop).connect(port, client)
        end = take(server)
        remote.talk(end)
        end.close()
        remote.saw_close_notify()

    @clients("closes")
    def test_close_notify_from_them(
        self, kind: type[Peer], accept: Accept, workshop: Workshop, server: Setup, client: Setup
    ) -> None:
        port, take = accept
        remote = kind(workshop).connect(port, client)
        end = take(server)
        remote.talk(end)
        remote.close()
        assert end.read(1) == b""
        end.close()

    @clients("resume")
    @pytest.mark.parametrize("tickets", [True, False], ids=["ticket", "session id"])
    def test_resumption(
        self, kind: type[Peer], tickets: bool, accept: Accept, workshop: Workshop, server: Setup, client: Setup
    ) -> None:
        if kind.name == "go" and not tickets:
            pytest.skip("Go resumes by ticket alone")
        server = replace(server, tickets=tickets)
        port, take = accept
        end, remote = kind(workshop).resume(port, client, lambda: take(server))
        assert isinstance(end, Connection)
        ours = end.facts()
        assert ours.resumed
        end.close() if kind.name == "nss" else part(end, remote)  # tstclnt leaves when we do
        if kind.name == "nss" and not tickets:
            return  # it counts only what it resumes by ticket
        theirs = remote.facts()
        assert theirs.resumed
        agree(ours, theirs)

    @clients("group")
    def test_group(self, kind: type[Peer], accept: Accept, workshop: Workshop, server: Setup, client: Setup) -> None:
        port, take = accept
        remote = kind(workshop).connect(port, replace(client, groups=("x25519", "secp384r1", "secp256r1")))
        end = take(replace(server, groups=("secp384r1", "x25519")))
        remote.talk(end)
        ours = end.facts()
        part(end, remote)
        agree(ours, remote.facts())
        assert ours.group == "secp384r1"

    @clients("alpn")
    def test_alpn(self, kind: type[Peer], accept: Accept, workshop: Workshop, server: Setup, client: Setup) -> None:
        port, take = accept
        remote = kind(workshop).connect(port, replace(client, alpn=("http/1.1",)))
        end = take(replace(server, alpn=("h2", "http/1.1")))
        remote.talk(end)
        ours = end.facts()
        part(end, remote)
        agree(ours, remote.facts())
        assert ours.alpn == "http/1.1"

    @clients("client certificate")
    @pytest.mark.parametrize("key", ["client", "rsa"])
    @pytest.mark.parametrize("required", [False, True], ids=["asked for", "required"])
    def test_client_certificate(
        self,
        kind: type[Peer],
        required: bool,
        key: str,
        accept: Accept,
        workshop: Workshop,
        files: Files,
        server: Setup,
        client: Setup,
    ) -> None:
        port, take = accept
        known = replace(client, chain=files[f"{key}.chain"], key=files[f"{key}.key"])
        remote = kind(workshop).connect(port, known)
        end = take(replace(server, trust=client.trust, require_certificate=required))
        remote.talk(end)
        assert end.facts().peer_certificate
        part(end, remote)

    @clients("client certificate")
    def test_no_client_certificate(
        self, kind: type[Peer], accept: Accept, workshop: Workshop, server: Setup, client: Setup
    ) -> None:
        port, take = accept
        remote = kind(workshop).connect(port, client)
        end = take(replace(server, trust=client.trust))
        remote.talk(end)
        assert not end.facts().peer_certificate
        part(end, remote)
        remote = kind(workshop).connect(port, client)
        with pytest.raises(Refused) as caught:
            take(replace(server, trust=client.trust, require_certificate=True))
        assert not caught.value.by_peer

    @needs("staple")
    @clients("staple")
    def test_staple(
        self, kind: type[Peer], accept: Accept, workshop: Workshop, files: Files, server: Setup, client: Setup
    ) -> None:
        for staple in (None, files["staple"]):
            port, take = accept
            remote = kind(workshop).connect(port, client)
            end = take(replace(server, staple=staple))
            remote.talk(end)
            part(end, remote)
            assert remote.facts().stapled is (staple is not None)

    @needs("record size")
    @clients("record size")
    def test_record_size(
        self, kind: type[Peer], accept: Accept, workshop: Workshop, server: Setup, client: Setup
    ) -> None:
        port, take = accept
        remote = kind(workshop).connect(port, replace(client, record_size=512))
        end = take(replace(server, record_size=1024))
        remote.hear(end, 10_000)
        part(end, remote)

    @clients("bulk")
    @pytest.mark.parametrize("key", ["ec", "rsa"])
    def test_bulk(
        self, kind: type[Peer], key: str, accept: Accept, workshop: Workshop, files: Files, client: Setup
    ) -> None:
        port, take = accept
        remote = kind(workshop).connect(port, replace(client, size=SIZE))
        end = take(Setup(versions=OLDER, chain=files[f"{key}.chain"], key=files[f"{key}.key"]))
        remote.bulk(end, SIZE)
        part(end, remote)

    @clients("keylog")
    def test_key_log(
        self, kind: type[Peer], accept: Accept, workshop: Workshop, server: Setup, client: Setup, tmp_path: Path
    ) -> None:
        ours, theirs = tmp_path / "ours.keys", tmp_path / "theirs.keys"
        port, take = accept
        remote = kind(workshop).connect(port, replace(client, keylog=theirs))
        end = take(replace(server, keylog=ours))
        remote.talk(end)
        part(end, remote)
        assert len(secrets_in(ours)) == 1
        assert secrets_in(ours) == secrets_in(theirs)

    @clients()
    @pytest.mark.parametrize("fault", ["wrong name", "expired", "unknown CA"])
    def test_refusal(
        self,
        kind: type[Peer],
        fault: str,
        accept: Accept,
        workshop: Workshop,
        files: Files,
        server: Setup,
        client: Setup,
    ) -> None:
        if fault == "unknown CA":
            client = replace(client, trust=files["other root"])
        else:
            server = replace(server, chain=files[f"{fault}.chain"], key=files[f"{fault}.key"])
        port, take = accept
        kind(workshop).connect(port, client)
        with pytest.raises(Refused) as caught:
            take(server).read(1)  # NSS looks at the certificate when it has completed the handshake
        assert caught.value.by_peer
        assert caught.value.code == kind.refusal_alerts[fault]

    @clients()
    @pytest.mark.parametrize(("theirs", "agreed"), [(OLDER, "1.2"), (EITHER, "1.3"), (NEWER, "1.3")], ids=str)
    def test_version(
        self,
        kind: type[Peer],
        theirs: tuple[str, ...],
        agreed: str,
        accept: Accept,
        workshop: Workshop,
        server: Setup,
        client: Setup,
    ) -> None:
        port, take = accept
        remote = kind(workshop).connect(port, replace(client, versions=theirs))
        end = take(replace(server, versions=EITHER))
        remote.talk(end)
        ours = end.facts()
        part(end, remote)
        assert ours.version == agreed
        agree(ours, remote.facts())

    @clients()
    @pytest.mark.parametrize(("ours", "theirs"), [(OLDER, NEWER), (NEWER, OLDER)], ids=str)
    def test_no_version_in_common(
        self,
        kind: type[Peer],
        ours: tuple[str, ...],
        theirs: tuple[str, ...],
        accept: Accept,
        workshop: Workshop,
        server: Setup,
        client: Setup,
    ) -> None:
        port, take = accept
        kind(workshop).connect(port, replace(client, versions=theirs))
        with pytest.raises(Refused) as caught:
            take(replace(server, versions=ours))
        assert not caught.value.by_peer
        assert caught.value.code == 70


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
    def test_clients(self, what: str, accept: Accept, workshop: Workshop, files: Files) -> None:
        port, take = accept
        key = "rsa" if what in ("static RSA", "DHE") else "ec"
        workshop.start(
            [
                *(program("openssl", "apt-get install openssl"), "s_client", "-connect", f"127.0.0.1:{port}"),
                *("-tls1_2", *self.old[what]),
            ]
        )
        with pytest.raises(Refused) as caught:
            take(Setup(versions=OLDER, chain=files[f"{key}.chain"], key=files[f"{key}.key"]))
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
