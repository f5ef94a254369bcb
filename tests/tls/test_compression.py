"""Compressed certificates (RFC 8879): both directions, every algorithm, and what a peer may not do to us with them."""

from __future__ import annotations

import gc
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from caesura.compression import CertificateCompression, algorithm
from caesura.context import Context, Identity, Limits, Verify
from caesura.errors import BadCertificate, ConfigError, DecodeError, IllegalParameter, UnexpectedMessage
from caesura.handshake import compression
from caesura.wire.extensions import COMPRESS_CERTIFICATE
from caesura.wire.messages import Certificate, ClientHello, CompressedCertificate, decode_message
from caesura.wire.registries import CertificateCompressionAlgorithm, ExtensionType
from tests.support.link import Link, link
from tests.tls.puppet import Puppet, PuppetClient, PuppetServer, refused
from tests.tls.states import client, server
from tests.tls.world import asking_context, client_context, identity, server_context

ZLIB = CertificateCompressionAlgorithm.zlib
PACKAGES = {"brotli": "brotli", "zstd": "zstandard"}


def shrinking(code: int = 0xFF01) -> CertificateCompression:
    """Leaves out the certificate_request_context, which is empty in a handshake, and counts its calls."""
    calls: list[bytes] = []

    def compress(data: bytes) -> bytes:
        calls.append(data)
        return data[1:]

    def decompress(data: bytes, length: int) -> bytes:
        return b"\x00" + data

    made = CertificateCompression(code, compress, decompress)
    COUNTS[made] = calls
    return made


COUNTS: dict[CertificateCompression, list[bytes]] = {}


def certificates_on(made: Callable[[], Link], *contexts: Context) -> tuple[Link, list[str]]:
    """What carried certificates when this link was made."""
    heard: list[str] = []
    for context in contexts:
        context.trace = lambda event: heard.append(event.name) if event.kind == "received" else None
    result = made()
    for context in contexts:
        context.trace = None
    return result, [name for name in heard if name.endswith("certificate")]


def carried(ours: Any, theirs: Any, **settings: Any) -> list[str]:
    """The messages that brought the server's certificate to a client with `ours`, and a server with `theirs`."""
    context = client_context(certificate_compression=ours, **settings)
    peer = server_context(certificate_compression=theirs)
    made, names = certificates_on(lambda: link(context, peer).handshake(), context)
    assert made.client.peer_certificates == identity().chain
    return names


# --- that it works ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [each.name for each in CertificateCompressionAlgorithm])
def test_both_sides_compress(name: str) -> None:
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])
    ours = client_context(identity=identity("client"), certificate_compression=name)
    theirs = asking_context(Verify.REQUIRED, certificate_compression=name)
    made, names = certificates_on(lambda: link(ours, theirs).handshake(), ours, theirs)
    assert names == ["compressed_certificate", "compressed_certificate"]
    assert made.client.peer_certificates == identity().chain
    assert made.server.peer_certificates == identity("client").chain


@pytest.mark.parametrize("name", [each.name for each in CertificateCompressionAlgorithm])
def test_algorithms_unpack_what_they_pack_and_nothing_else(name: str) -> None:
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])
    each = algorithm(CertificateCompressionAlgorithm[name])
    for data in (b"abcd", bytes(70_000), bytes(range(256)) * 100):
        packed = each.compress(data)
        assert each.decompress(packed, len(data)) == data
        for length in (0, len(data) - 1, len(data) + 1, 2**24 - 1):
            with pytest.raises(Exception):  # noqa: B017 - each algorithm has its own
                each.decompress(packed, length)
        for wrong in (b"", packed[:-1], packed[: len(packed) // 2], b"\xff" * 20):
            with pytest.raises(Exception):  # noqa: B017
                assert each.decompress(wrong, len(data)) == data


@pytest.mark.parametrize("name", [each.name for each in CertificateCompressionAlgorithm])
def test_a_bomb_is_not_unpacked(name: str) -> None:
    """Ten megabytes in a few bytes, announced as a thousand: no memory is spent on them."""
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])
    each = algorithm(CertificateCompressionAlgorithm[name])
    bomb = each.compress(bytes(10_000_000))
    assert len(bomb) < 20_000
    tracemalloc.start()
    with pytest.raises(ValueError, match="does not unpack"):
        each.decompress(bomb, 1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300_000


def test_off_unless_it_is_asked_for() -> None:
    hello = wait_for_hello(client_context())
    assert ExtensionType.compress_certificate not in hello.extensions
    assert carried("zlib", ()) == ["certificate"]
    assert carried((), "zlib") == ["certificate"]


def wait_for_hello(context: Context) -> ClientHello:
    connection = client(context)
    connection.advance(0.0)
    return decode_message(ClientHello, connection.data_to_send(0.0)[5:])


def test_offer_is_ours_in_its_order() -> None:
    own = shrinking()
    hello = wait_for_hello(client_context(certificate_compression=[own, "zlib"]))
    assert hello.extensions.get(COMPRESS_CERTIFICATE) == (0xFF01, 1)


def test_the_first_of_the_senders_own_that_the_receiver_knows() -> None:
    first, second = shrinking(0xFF01), shrinking(0xFF02)
    assert carried([second, first], [first, second]) == ["compressed_certificate"]
    assert (len(COUNTS[first]), len(COUNTS[second])) == (1, 0)
    assert carried([second, "zlib"], [first, "zlib"]) == ["compressed_certificate"]
    assert carried([second], [first]) == ["certificate"]


def test_nothing_is_compressed_twice() -> None:
    own = shrinking()
    peer = server_context(certificate_compression=own)
    for _ in range(3):
        link(client_context(certificate_compression=own), peer).handshake()
    assert len(COUNTS[own]) == 1
    peer.ocsp_response = b"another"  # is in the Certificate too
    for _ in range(3):
        made = link(client_context(certificate_compression=own), peer).handshake()
        assert made.client.ocsp_response == b"another"
    assert len(COUNTS[own]) == 2
    peer.identity = identity("rsa")
    assert link(client_context(certificate_compression=own), peer).handshake().client.peer_certificates == (
        identity("rsa").chain
    )
    assert len(COUNTS[own]) == 3


def test_what_is_kept_goes_with_its_identity() -> None:
    chain, key = identity().chain, identity().key
    own = shrinking()
    gc.collect()
    before = len(compression._kept)
    peer = server_context(identity=Identity(chain, key, identity().certificate), certificate_compression=own)
    link(client_context(certificate_compression=own), peer).handshake()
    assert len(compression._kept) == before + 1
    del peer
    gc.collect()
    assert len(compression._kept) == before


def test_resumption_after_a_compressed_certificate() -> None:
    ours, theirs = client_context(certificate_compression="zlib"), server_context(certificate_compression="zlib")
    link(ours, theirs).handshake()
    assert link(ours, theirs).handshake().client.session_reused


# --- what may not come -----------------------------------------------------------------------------------------------


def compressed(puppet: PuppetServer | PuppetClient, **changes: Any) -> CompressedCertificate:
    """What the puppet's Certificate becomes, with changes."""
    plain = puppet.certificate() if isinstance(puppet, PuppetServer) else puppet.certificate(identity("client"))
    body = Certificate.codec.encode(plain)
    fields = {
        "algorithm": ZLIB,
        "uncompressed_length": len(body),
        "compressed_certificate_message": zlib.compress(body),
    }
    return CompressedCertificate(**{**fields, **changes})


def at_client(**settings: Any) -> PuppetServer:
    puppet = PuppetServer(client(client_context(**{"certificate_compression": "zlib", **settings})), identity()).greet()
    puppet.say(puppet.encrypted_extensions())
    return puppet


def at_server(**settings: Any) -> PuppetClient:
    context = asking_context(Verify.REQUIRED, **{"certificate_compression": "zlib", **settings})
    return PuppetClient(server(context)).start()


Sides = pytest.mark.parametrize("side", [at_client, at_server], ids=["client", "server"])


@Sides
def test_puppets_compressed_certificate_is_taken(side: Callable[..., Any]) -> None:
    puppet = side()
    puppet.say(compressed(puppet))
    puppet.say(puppet.prove(identity("client") if side is at_server else identity()))
    puppet.finish()
    assert puppet.connection.handshake_complete


def packed(body: bytes) -> dict[str, Any]:
    return {"uncompressed_length": len(body), "compressed_certificate_message": zlib.compress(body)}


WRONG: dict[str, tuple[Callable[[CompressedCertificate], dict[str, Any]], type[Exception]]] = {
    "another algorithm": (lambda m: {"algorithm": 2}, IllegalParameter),
    "an unknown algorithm": (lambda m: {"algorithm": 0xFF01}, IllegalParameter),
    "a length too short": (lambda m: {"uncompressed_length": m.uncompressed_length - 1}, BadCertificate),
    "a length too long": (lambda m: {"uncompressed_length": m.uncompressed_length + 1}, BadCertificate),
    "no length": (lambda m: {"uncompressed_length": 0}, BadCertificate),
    "bytes of nothing": (lambda m: {"compressed_certificate_message": b"\xff" * 50}, BadCertificate),
    "bytes left over": (
        lambda m: {"compressed_certificate_message": m.compressed_certificate_message + b"\0"},
        BadCertificate,
    ),
    "bytes missing": (
        lambda m: {"compressed_certificate_message": m.compressed_certificate_message[:-1]},
        BadCertificate,
    ),
    "a bomb": (lambda m: {"compressed_certificate_message": zlib.compress(bytes(10**7))}, BadCertificate),
    "what is no Certificate": (lambda m: packed(b"\0\0\0\5abcd"), DecodeError),
    "nothing but a context": (lambda m: packed(b"\0"), DecodeError),
}


@pytest.mark.parametrize("name", WRONG)
@Sides
def test_wrong_compressed_certificate(side: Callable[..., Any], name: str) -> None:
    changes, kind = WRONG[name]
    puppet = side()
    puppet.say(compressed(puppet, **changes(compressed(puppet))))
    refused(puppet, kind)  # type: ignore[arg-type]


def test_server_without_a_certificate() -> None:
    puppet = at_client()
    puppet.say(compressed(puppet, **packed(bytes(4))))
    refused(puppet, DecodeError)


def test_compressed_certificate_is_bounded_like_any_other() -> None:
    puppet = at_client(limits=Limits(certificate_chain=1))
    body = Certificate.codec.encode(puppet.certificate([identity().chain[0]] * 2))
    puppet.say(compressed(puppet, **packed(body)))
    refused(puppet, BadCertificate)


@Sides
@pytest.mark.parametrize("more", [0, 1])
def test_announced_length_beyond_a_message(side: Callable[..., Any], more: int) -> None:
    """limits.handshake_message bounds what is unpacked too; beyond it, the algorithm is not even called."""
    called: list[int] = []
    body = b""

    def decompress(_data: bytes, length: int) -> bytes:
        called.append(length)
        return body

    own = CertificateCompression(0xFF01, lambda data: data, decompress)
    puppet: Puppet = side(certificate_compression=own, limits=Limits(handshake_message=5000))
    body = Certificate.codec.encode(Certificate(b"", ()))
    puppet.say(CompressedCertificate(0xFF01, 5000 + more, b"x"))
    refused(puppet, BadCertificate)
    assert called == ([] if more else [5000])


def test_what_an_algorithm_of_ones_own_raises_is_the_peers_fault() -> None:
    def fails(_data: bytes, _length: int) -> bytes:
        raise KeyError("no such dictionary")

    puppet = at_client(certificate_compression=CertificateCompression(1, zlib.compress, fails))
    puppet.say(compressed(puppet))
    error = refused(puppet, BadCertificate)
    assert isinstance(error.__cause__, KeyError)


@Sides
def test_not_offered(side: Callable[..., Any]) -> None:
    puppet = side(certificate_compression=())
    puppet.say(compressed(puppet))
    refused(puppet, UnexpectedMessage)


@pytest.mark.parametrize("settings", [{}, {"certificate_compression": "zlib"}], ids=["off", "on"])
def test_algorithm_twice(settings: dict[str, Any]) -> None:
    puppet = PuppetClient(server(server_context(**settings)))
    hello = puppet.hello()
    hello.extensions.put(COMPRESS_CERTIFICATE, (1, 2, 1))
    puppet.say(hello)
    refused(puppet, IllegalParameter)


# --- the setting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["zlib", "ZLIB", 1, [1], [ZLIB], ("zlib",), [algorithm(ZLIB)]], ids=repr)
def test_ways_to_say_zlib(value: Any) -> None:
    assert client_context(certificate_compression=value).certificate_compression == (algorithm(ZLIB),)


@pytest.mark.parametrize("value", ["gzip", 4, 7.5, ["zlib", "zlib"], ["zlib", algorithm(ZLIB)], [None], object()])
def test_setting_that_cannot_be_used(value: Any) -> None:
    with pytest.raises(ConfigError, match="certificate_compression"):
        client_context(certificate_compression=value)


@pytest.mark.parametrize("name", PACKAGES)
def test_missing_package_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from caesura import compression as module

    def no_package(package: str) -> Any:
        raise ImportError(f"No module named {package!r}")

    monkeypatch.setattr(module, "import_module", no_package)
    module.algorithm.cache_clear()
    with pytest.raises(ConfigError, match=f"certificate_compression: {name} .*{PACKAGES[name]}"):
        client_context(certificate_compression=name)
    module.algorithm.cache_clear()


def test_code_of_an_algorithm() -> None:
    with pytest.raises(ValueError, match="65536"):
        CertificateCompression(65536, zlib.compress, lambda data, _: zlib.decompress(data))
