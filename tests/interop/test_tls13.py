"""TLS 1.3 with five other implementations, in both roles, over blocking sockets on loopback."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.interop.pairs import Accept, agree, clients, dial, part, servers
from tests.interop.peers import Peer, Setup, Workshop
from tests.interop.subjects import Connection, Refused, Subject, needs

SIZE = 20_000_000  # bytes each way
SECRETS = {
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
}


def secrets_in(keylog: Path) -> set[str]:
    lines = keylog.read_text(encoding="ascii").splitlines()
    return {line.lower() for line in lines if line.partition(" ")[0] in SECRETS}


Files = dict[str, Path]


@pytest.fixture
def server(files: Files) -> Setup:
    return Setup(chain=files["ec.chain"], key=files["ec.key"])


@pytest.fixture
def client(files: Files) -> Setup:
    return Setup(trust=files["root"])


@pytest.fixture
def known_client(files: Files) -> Setup:
    return Setup(trust=files["root"], chain=files["client.chain"], key=files["client.key"])


# --- our client ------------------------------------------------------------------------------------------------------


class TestClient:
    @servers()
    def test_handshake(self, kind: type[Peer], own: Subject, workshop: Workshop, server: Setup, client: Setup) -> None:
        remote = kind(workshop).serve(server)
        end = own.connect(dial(remote.port), client)
        remote.talk(end)
        agree(end.facts(), remote.facts())
        assert end.facts().peer_certificate
        end.close()

    @servers("close")
    def test_close_notify_from_us(
        self, kind: type[Peer], own: Subject, workshop: Workshop, server: Setup, client: Setup
    ) -> None:
        remote = kind(workshop).serve(server)
        end = own.connect(dial(remote.port), client)
        remote.talk(end)
        remote.facts()
        end.close()
        remote.saw_close_notify()

    @servers()
    @pytest.mark.parametrize("key", ["rsa", "p384"])
    def test_kinds_of_key(
        self, kind: type[Peer], key: str, own: Subject, workshop: Workshop, files: Files, client: Setup
    ) -> None:
        remote = kind(workshop).serve(Setup(chain=files[f"{key}.chain"], key=files[f"{key}.key"]))
        end = own.connect(dial(remote.port), client)
        remote.talk(end)
        end.close()

    @servers("ed25519")
    def test_ed25519(self, kind: type[Peer], own: Subject, workshop: Workshop, files: Files, client: Setup) -> None:
        remote = kind(workshop).serve(Setup(chain=files["ed25519.chain"], key=files["ed25519.key"]))
        end = own.connect(dial(remote.port), client)
        remote.talk(end)
        end.close()

    @servers("resume")
    def test_resumption(self, kind: type[Peer], own: Subject, workshop: Workshop, server: Setup, client: Setup) -> None:
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

    @servers("retry")
    def test_hello_retry_request(
        self, kind: type[Peer], own: Subject, workshop: Workshop, server: Setup, client: Setup
    ) -> None:
        remote = kind(workshop).serve(replace(server, groups=("secp384r1",)))
        end = own.connect(dial(remote.port), client)
        remote.talk(end)
        theirs = remote.facts()
        agree(end.facts(), theirs)
        assert {theirs.group, end.facts().group} <= {"secp384r1", None}
        assert theirs.hello_retry is not False
        end.close()

    @needs("hybrid")
    @servers("hybrid")
    def test_hybrid_group(
        self, kind: type[Peer], own: Subject, workshop: Workshop, server: Setup, client: Setup
    ) -> None:
        remote = kind(workshop).serve(replace(server, groups=("X25519MLKEM768",)))
        end = own.connect(dial(remote.port), client)
        remote.talk(end)
        theirs = remote.facts()
        agree(end.facts(), theirs)
        assert theirs.group == "X25519MLKEM768"
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
    @pytest.mark.parametrize("required", [False, True], ids=["asked for", "required"])
    def test_client_certificate(
        self,
        kind: type[Peer],
        required: bool,
        own: Subject,
        workshop: Workshop,
        server: Setup,
        known_client: Setup,
    ) -> None:
        assert known_client.trust is not None
        remote = kind(workshop).serve(replace(server, trust=known_client.trust, require_certificate=required))
        end = own.connect(dial(remote.port), known_client)
        remote.talk(end)
        assert remote.facts().peer_certificate is not False
        end.close()

    @servers("client certificate")
    def test_missing_client_certificate(
        self, kind: type[Peer], own: Subject, workshop: Workshop, server: Setup, client: Setup
    ) -> None:
        remote = kind(workshop).serve(replace(server, trust=client.trust, require_certificate=True))
        with pytest.raises(Refused) as caught:
            own.connect(dial(remote.port), client).read(1)
        assert caught.value.by_peer
        assert caught.value.code == 116

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
    def test_bulk(self, kind: type[Peer], own: Subject, workshop: Workshop, server: Setup, client: Setup) -> None:
        remote = kind(workshop).serve(server)
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

    @servers("one-way key update")
    def test_their_key_update(
        self, kind: type[Peer], own: Subject, workshop: Workshop, server: Setup, client: Setup
    ) -> None:
        remote = kind(workshop).serve(replace(server, verbose=True))
        end = own.connect(dial(remote.port), client)
        remote.talk(end)
        for _ in range(3):
            remote.key_update(request_peer=False)
            remote.talk(end)
        end.close()

    @servers("key update")
    def test_their_key_update_that_asks_for_ours(
        self, kind: type[Peer], own: Subject, workshop: Workshop, server: Setup, client: Setup
    ) -> None:
        remote = kind(workshop).serve(replace(server, verbose=True))
        end = own.connect(dial(remote.port), client)
        remote.talk(end)
        for _ in range(3):
            remote.key_update(request_peer=True)
            remote.talk(end)
            remote.talk(end)  # our answer goes out before the next data
            remote.saw_key_update()
        end.close()

    @needs("key update")
    @servers()
    @pytest.mark.parametrize("request_peer", [False, True], ids=["one way", "both ways"])
    def test_our_key_update(
        self,
        kind: type[Peer],
        request_peer: bool,
        own: Subject,
        workshop: Workshop,
        server: Setup,
        client: Setup,
    ) -> None:
        remote = kind(workshop).serve(replace(server, verbose=True))
        end = own.connect(dial(remote.port), client)
        for _ in range(3):
            end.key_update(request_peer)
        remote.talk(end)
        remote.saw_key_update()
        end.close()

    @servers("keylog")
    def test_key_log(
        self,
        kind: type[Peer],
        own: Subject,
        workshop: Workshop,
        server: Setup,
        client: Setup,
        tmp_path: Path,
    ) -> None:
        ours, theirs = tmp_path / "ours.keys", tmp_path / "theirs.keys"
        remote = kind(workshop).serve(replace(server, keylog=theirs))
        end = own.connect(dial(remote.port), replace(client, keylog=ours))
        remote.talk(end)
        end.close()
        assert len(secrets_in(ours)) == len(SECRETS)
        assert secrets_in(ours) == secrets_in(theirs)

    @needs("protected alert")
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


# --- our server ------------------------------------------------------------------------------------------------------


class TestServer:
    @clients()
    def test_handshake(
        self, kind: type[Peer], accept: Accept, workshop: Workshop, server: Setup, client: Setup
    ) -> None:
        port, take = accept
        remote = kind(workshop).connect(port, client)
        end = take(server)
        remote.talk(end)
        ours = end.facts()
        part(end, remote)
        agree(ours, remote.facts())

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

    @clients()
    @pytest.mark.parametrize("key", ["rsa", "p384"])
    def test_kinds_of_key(
        self, kind: type[Peer], key: str, accept: Accept, workshop: Workshop, files: Files, client: Setup
    ) -> None:
        port, take = accept
        remote = kind(workshop).connect(port, client)
        end = take(Setup(chain=files[f"{key}.chain"], key=files[f"{key}.key"]))
        remote.talk(end)
        part(end, remote)

    @clients("ed25519")
    def test_ed25519(self, kind: type[Peer], accept: Accept, workshop: Workshop, files: Files, client: Setup) -> None:
        port, take = accept
        remote = kind(workshop).connect(port, client)
        end = take(Setup(chain=files["ed25519.chain"], key=files["ed25519.key"]))
        remote.talk(end)
        part(end, remote)

    @clients("resume")
    def test_resumption(
        self, kind: type[Peer], accept: Accept, workshop: Workshop, server: Setup, client: Setup
    ) -> None:
        port, take = accept
        end, remote = kind(workshop).resume(port, client, lambda: take(server))
        assert isinstance(end, Connection)
        assert end.facts().resumed
        ours = end.facts()
        end.close() if kind.name == "nss" else part(end, remote)  # tstclnt leaves when we do
        theirs = remote.facts()
        assert theirs.resumed
        agree(ours, theirs)

    @clients("retry")
    def test_hello_retry_request(
        self, kind: type[Peer], accept: Accept, workshop: Workshop, server: Setup, client: Setup
    ) -> None:
        port, take = accept
        groups = () if kind.name == "ssl" else ("x25519", "secp384r1")  # a client of ssl offers all it has
        remote = kind(workshop).connect(port, replace(client, groups=groups))
        end = take(replace(server, groups=("secp384r1",)))
        remote.talk(end)
        ours = end.facts()
        part(end, remote)
        theirs = remote.facts()
        agree(ours, theirs)
        assert ours.group in ("secp384r1", None)
        assert theirs.group in ("secp384r1", None)
        assert theirs.hello_retry is not False

    @needs("hybrid")
    @clients("hybrid")
    def test_hybrid_group(
        self, kind: type[Peer], accept: Accept, workshop: Workshop, server: Setup, client: Setup
    ) -> None:
        port, take = accept
        remote = kind(workshop).connect(port, replace(client, groups=("X25519MLKEM768",)))
        end = take(server)
        remote.talk(end)
        ours = end.facts()
        part(end, remote)
        theirs = remote.facts()
        agree(ours, theirs)
        assert theirs.group == "X25519MLKEM768"

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
    @pytest.mark.parametrize("required", [False, True], ids=["asked for", "required"])
    def test_client_certificate(
        self,
        kind: type[Peer],
        required: bool,
        accept: Accept,
        workshop: Workshop,
        server: Setup,
        known_client: Setup,
    ) -> None:
        port, take = accept
        remote = kind(workshop).connect(port, known_client)
        end = take(replace(server, trust=known_client.trust, require_certificate=required))
        remote.talk(end)
        assert end.facts().peer_certificate
        part(end, remote)

    @clients("client certificate")
    def test_missing_client_certificate(
        self, kind: type[Peer], accept: Accept, workshop: Workshop, server: Setup, client: Setup
    ) -> None:
        port, take = accept
        kind(workshop).connect(port, client)
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
    def test_bulk(self, kind: type[Peer], accept: Accept, workshop: Workshop, server: Setup, client: Setup) -> None:
        port, take = accept
        remote = kind(workshop).connect(port, replace(client, size=SIZE))
        end = take(server)
        remote.bulk(end, SIZE)
        part(end, remote)

    @clients("one-way key update")
    def test_their_key_update(
        self, kind: type[Peer], accept: Accept, workshop: Workshop, server: Setup, client: Setup
    ) -> None:
        port, take = accept
        remote = kind(workshop).connect(port, replace(client, verbose=True))
        end = take(server)
        remote.talk(end)
        for _ in range(3):
            remote.key_update(request_peer=False)
            remote.talk(end)
        part(end, remote)

    @clients("key update")
    def test_their_key_update_that_asks_for_ours(
        self, kind: type[Peer], accept: Accept, workshop: Workshop, server: Setup, client: Setup
    ) -> None:
        port, take = accept
        remote = kind(workshop).connect(port, replace(client, verbose=True))
        end = take(server)
        remote.talk(end)
        for _ in range(3):
            remote.key_update(request_peer=True)
            remote.talk(end)
            remote.talk(end)  # our answer goes out before the next data
            remote.saw_key_update()
        part(end, remote)

    @needs("key update")
    @clients()
    @pytest.mark.parametrize("request_peer", [False, True], ids=["one way", "both ways"])
    def test_our_key_update(
        self,
        kind: type[Peer],
        request_peer: bool,
        accept: Accept,
        workshop: Workshop,
        server: Setup,
        client: Setup,
    ) -> None:
        port, take = accept
        remote = kind(workshop).connect(port, replace(client, verbose=True))
        end = take(server)
        for _ in range(3):
            end.key_update(request_peer)
        remote.talk(end)
        remote.saw_key_update()
        part(end, remote)

    @clients("keylog")
    def test_key_log(
        self,
        kind: type[Peer],
        accept: Accept,
        workshop: Workshop,
        server: Setup,
        client: Setup,
        tmp_path: Path,
    ) -> None:
        ours, theirs = tmp_path / "ours.keys", tmp_path / "theirs.keys"
        port, take = accept
        remote = kind(workshop).connect(port, replace(client, keylog=theirs))
        end = take(replace(server, keylog=ours))
        remote.talk(end)
        part(end, remote)
        assert len(secrets_in(ours)) == len(SECRETS)
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
            take(server).read(1)
        assert caught.value.by_peer
        assert caught.value.code == kind.refusal_alerts[fault]
