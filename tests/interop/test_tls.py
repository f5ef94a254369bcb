"""TLS 1.2 and 1.3 with five other implementations, in both roles, over blocking sockets on loopback.

What belongs to one version alone is in `test_tls12` and `test_tls13`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.interop.pairs import Files, Line, Opposite, clients, peers, servers, showing
from tests.interop.peers import Setup
from tests.interop.subjects import SUBJECT, Refused, needs

SIZE = 5_000_000  # bytes each way
AUTHENTICATION = {"ec": "ECDSA", "rsa": "RSA", "p384": "ECDSA"}
SECRETS = {
    "1.2": {"CLIENT_RANDOM"},
    "1.3": {
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "CLIENT_TRAFFIC_SECRET_0",
        "SERVER_TRAFFIC_SECRET_0",
    },
}


@pytest.fixture(params=["1.2", "1.3"])
def version(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def versions(version: str) -> tuple[str, ...]:
    return (version,)


# --- handshakes ------------------------------------------------------------------------------------------------------


@peers()
@pytest.mark.parametrize("key", AUTHENTICATION)
def test_handshake(
    peer: Opposite, key: str, line: Line, files: Files, version: str, server: Setup, client: Setup
) -> None:
    ours, _ = line.talk(peer, showing(server, files, key), client)
    assert ours.version == version
    assert ours.suite is not None
    assert version == "1.3" or f"ECDHE_{AUTHENTICATION[key]}_WITH" in ours.suite
    _, serves = peer
    assert ours.peer_certificate is serves


@peers("ed25519")
def test_ed25519(peer: Opposite, line: Line, files: Files, server: Setup, client: Setup) -> None:
    """In TLS 1.2 under the suites that say ECDSA (RFC 8422 section 2.3); GnuTLS gives them another name."""
    end, remote = line.meet(peer, showing(server, files, "ed25519"), client)
    remote.talk(end)
    line.close(peer, end, remote)


@peers("alpn")
def test_alpn(peer: Opposite, line: Line, server: Setup, client: Setup) -> None:
    _, serves = peer
    own, other = ("h2", "http/1.1"), ("http/1.1",)
    server, client = replace(server, alpn=other if serves else own), replace(client, alpn=own if serves else other)
    ours, _ = line.talk(peer, server, client)
    assert ours.alpn == "http/1.1"


@peers("client certificate")
@pytest.mark.parametrize(("required", "key"), [(False, "client"), (True, "rsa")], ids=["asked for", "required"])
def test_client_certificate(
    peer: Opposite, required: bool, key: str, line: Line, files: Files, server: Setup, client: Setup
) -> None:
    server = replace(server, trust=client.trust, require_certificate=required)
    ours, theirs = line.talk(peer, server, showing(client, files, key))
    _, serves = peer
    assert (theirs if serves else ours).peer_certificate is not False


@peers("client certificate")
def test_no_client_certificate(peer: Opposite, line: Line, server: Setup, client: Setup) -> None:
    ours, _ = line.talk(peer, replace(server, trust=client.trust), client)
    _, serves = peer
    assert ours.peer_certificate is serves


@peers("client certificate")
def test_missing_client_certificate(peer: Opposite, line: Line, version: str, server: Setup, client: Setup) -> None:
    _, handshake = line.begin(peer, replace(server, trust=client.trust, require_certificate=True), client)
    with pytest.raises(Refused) as caught:
        handshake().read(1)  # in TLS 1.3 a client is done before the server has looked
    _, serves = peer
    assert caught.value.by_peer is serves
    assert version == "1.2" or not serves or caught.value.code == 116


@needs("staple")
@peers("staple")
@pytest.mark.parametrize("stapled", [False, True])
def test_staple(peer: Opposite, stapled: bool, line: Line, files: Files, server: Setup, client: Setup) -> None:
    server = replace(server, staple=files["staple"] if stapled else None)
    ours, theirs = line.talk(peer, server, client)
    _, serves = peer
    assert (ours if serves else theirs).stapled is stapled


@peers("keylog")
def test_key_log(peer: Opposite, line: Line, version: str, server: Setup, client: Setup, tmp_path: Path) -> None:
    one, other = tmp_path / "server.keys", tmp_path / "client.keys"
    line.talk(peer, replace(server, keylog=one), replace(client, keylog=other))
    assert len(secrets_in(one, version)) == len(SECRETS[version])
    assert secrets_in(one, version) == secrets_in(other, version)


def secrets_in(keylog: Path, version: str) -> set[str]:
    lines = keylog.read_text(encoding="ascii").splitlines()
    return {line.lower() for line in lines if line.partition(" ")[0] in SECRETS[version]}


@servers()
@pytest.mark.parametrize(
    ("fault", "code"), [("wrong name", 42), ("expired", 45), ("unknown CA", 48)], ids=lambda value: str(value)
)
def test_we_refuse(
    peer: Opposite, fault: str, code: int, line: Line, files: Files, version: str, server: Setup, client: Setup
) -> None:
    if version == "1.3" and "protected alert" in SUBJECT.cannot:
        pytest.skip("this subject cannot: protected alert")
    if fault == "expired":
        server = showing(server, files, "expired")
    elif fault == "unknown CA":
        client = replace(client, trust=files["other root"])
    else:
        client = replace(client, server_name="another.example")
    remote, handshake = line.begin(peer, server, client)
    with pytest.raises(Refused) as caught:
        handshake()
    assert not caught.value.by_peer
    assert caught.value.code == code
    assert remote.refused() == code


@clients()
@pytest.mark.parametrize("fault", ["wrong name", "expired", "unknown CA"])
def test_we_are_refused(peer: Opposite, fault: str, line: Line, files: Files, server: Setup, client: Setup) -> None:
    if fault == "unknown CA":
        client = replace(client, trust=files["other root"])
    else:
        server = showing(server, files, fault)
    _, handshake = line.begin(peer, server, client)
    with pytest.raises(Refused) as caught:
        handshake().read(1)  # NSS looks at the certificate when it has completed the handshake
    assert caught.value.by_peer
    kind, _ = peer
    assert caught.value.code == kind.refusal_alerts[fault]


# --- data, and the end -----------------------------------------------------------------------------------------------


@needs("record size")
@peers("record size")
def test_record_size(peer: Opposite, line: Line, server: Setup, client: Setup) -> None:
    _, serves = peer
    own, other = 1024, 512
    server = replace(server, record_size=other if serves else own)
    end, remote = line.meet(peer, server, replace(client, record_size=own if serves else other))
    remote.hear(end, 10_000)
    line.close(peer, end, remote)


@peers("bulk")
def test_bulk(peer: Opposite, line: Line, server: Setup, client: Setup) -> None:
    end, remote = line.meet(peer, server, replace(client, size=SIZE))
    _, serves = peer
    if serves:
        remote.facts()  # which it tells before it is silent for so long
    remote.bulk(end, SIZE)
    line.close(peer, end, remote)


@servers("download")
def test_download(peer: Opposite, line: Line, server: Setup, client: Setup) -> None:
    end, remote = line.meet(peer, replace(server, size=SIZE), client)
    remote.bulk(end, SIZE)
    end.close()


@peers("close")
def test_close_notify_from_us(peer: Opposite, line: Line, server: Setup, client: Setup) -> None:
    end, remote = line.meet(peer, server, client)
    remote.talk(end)
    _, serves = peer
    if serves:
        remote.facts()
    end.close()
    remote.saw_close_notify()


@clients("closes")
def test_close_notify_from_them(peer: Opposite, line: Line, server: Setup, client: Setup) -> None:
    end, remote = line.meet(peer, server, client)
    remote.talk(end)
    remote.close()
    assert end.read(1) == b""
    end.close()
