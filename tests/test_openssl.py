"""The pages' names for setting connections up and asking about them. Their behaviour in use is in tests/contract."""

from __future__ import annotations

import gc
import inspect
import weakref
from pathlib import Path

import pytest

from caesura import openssl as o
from caesura.context import Context, Method
from caesura.errors import CertificateVerifyError, ConfigError
from caesura.wire.registries import CipherSuite
from tests.support.pki import pki
from tests.support.ssl_pair import client_context, connected, handshake, identity, wants


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A chain, its key, and the root, as PEM files."""
    root = tmp_path / "root.pem"
    root.write_bytes(pki().trust_pem)
    return (*pki().ec.files(tmp_path), root)


def joined(client: Context, server: Context) -> tuple[o.SSL, o.SSL]:
    """Two connections of these contexts over a byte pair, in their roles."""
    _, half, other = o.BIO_new_bio_pair(0, 0)
    one, two = o.SSL_new(client), o.SSL_new(server)
    o.SSL_set_bio(one, half, half)
    o.SSL_set_bio(two, other, other)
    o.SSL_set_connect_state(one)
    o.SSL_set_accept_state(two)
    assert o.SSL_set_tlsext_host_name(one, "localhost") == 1
    return one, two


def test_authentication_after_the_handshake(files: tuple[Path, Path, Path]) -> None:
    chain, key, root = files
    server = o.SSL_CTX_new(o.TLS_server_method())
    assert o.SSL_CTX_use_certificate_chain_file(server, chain) == 1
    assert o.SSL_CTX_use_PrivateKey_file(server, key, o.SSL_FILETYPE_PEM) == 1
    assert o.SSL_CTX_load_verify_file(server, root) == 1
    client = client_context(identity=identity())
    one, two = joined(client, server)
    assert o.SSL_verify_client_post_handshake(two) == 0
    assert wants(two, 0) == o.SSL_ERROR_SSL
    o.SSL_set_post_handshake_auth(one, 1)
    assert not client.post_handshake_auth
    o.SSL_CTX_set_post_handshake_auth(client, 1)
    assert client.post_handshake_auth
    handshake(one, two)
    assert o.SSL_verify_client_post_handshake(two) == 1
    for side in (one, two):
        assert o.SSL_get_error(side, o.SSL_read(side, 10)[0]) == o.SSL_ERROR_WANT_READ
    assert two.peer_certificates == identity().chain


def test_a_program_as_it_would_be_in_c(files: tuple[Path, Path, Path]) -> None:
    chain, key, root = files
    ctx = o.SSL_CTX_new(o.TLS_server_method())
    assert o.SSL_CTX_check_private_key(ctx) == 0
    assert o.SSL_CTX_use_certificate_chain_file(ctx, chain) == 1
    assert o.SSL_CTX_use_PrivateKey_file(ctx, key, o.SSL_FILETYPE_PEM) == 1
    assert o.SSL_CTX_check_private_key(ctx) == 1
    assert o.SSL_CTX_set_num_tickets(ctx, 1) == 1
    assert o.SSL_CTX_get_num_tickets(ctx) == 1
    assert o.SSL_CTX_set_alpn_protos(ctx, b"\x02h2\x08http/1.1") == 0

    client = o.SSL_CTX_new(o.TLS_client_method())
    assert o.SSL_CTX_load_verify_file(client, root) == 1
    o.SSL_CTX_set_verify(client, o.SSL_VERIFY_PEER)
    assert o.SSL_CTX_set_min_proto_version(client, o.TLS1_3_VERSION) == 1
    assert o.SSL_CTX_set_max_proto_version(client, 0) == 1
    assert o.SSL_CTX_set_ciphersuites(client, "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") == 1
    assert o.SSL_CTX_set1_groups_list(client, "secp384r1:x25519") == 1
    assert o.SSL_CTX_set1_sigalgs_list(client, "ecdsa_secp256r1_sha256") == 1

    one, two = joined(client, ctx)
    assert o.SSL_set_alpn_protos(one, b"\x08http/1.1") == 0
    assert (o.SSL_get_version(one), o.SSL_version(one)) == ("unknown", 0x0304)
    assert (o.SSL_get_cipher_name(one), o.SSL_get0_group_name(one), o.SSL_get_peer_cert_chain(one)) == (None,) * 3
    handshake(one, two)
    assert o.SSL_get_version(one) == "TLSv1.3"
    assert o.SSL_get_cipher_name(one) == o.SSL_get_cipher_name(two) == "TLS_AES_256_GCM_SHA384"
    assert o.SSL_get_SSL_CTX(one) is one.context
    assert o.SSL_get0_group_name(one) == "secp384r1"
    assert o.SSL_get0_alpn_selected(one) == o.SSL_get0_alpn_selected(two) == b"http/1.1"
    assert o.SSL_get_servername(two) == "localhost"
    assert o.SSL_get_servername(two, 1) is None
    assert o.SSL_get1_peer_certificate(one) == pki().ec.chain[0]
    assert o.SSL_get_peer_cert_chain(one) == list(pki().ec.chain)
    assert o.SSL_get1_peer_certificate(two) is None
    assert o.SSL_get_verify_result(one) == o.X509_V_OK
    assert (o.SSL_is_server(one), o.SSL_is_server(two)) == (0, 1)
    assert o.SSL_get_rbio(one) is o.SSL_get_wbio(one)

    assert o.SSL_write_ex(one, b"question") == (1, 8)
    assert o.SSL_read_ex(two, 3) == (1, b"que")
    assert o.SSL_pending(two) == 5
    assert o.SSL_read_ex(two, 100) == (1, b"stion")
    assert o.SSL_read_ex(two, 100) == (0, b"")
    assert wants(two, 0) == o.SSL_ERROR_WANT_READ
    assert o.SSL_key_update(two, o.SSL_KEY_UPDATE_REQUESTED) == 1
    assert o.SSL_write(two, b"answer") == 6
    assert o.SSL_read(one, 100) == (6, b"answer")
    code, secret = o.SSL_export_keying_material(one, 32, "EXPORTER-test", b"context", 1)
    assert (code, secret) == o.SSL_export_keying_material(two, 32, "EXPORTER-test", b"context", 1)
    assert secret is not None
    assert len(secret) == 32
    assert o.SSL_export_keying_material(one, 32, "EXPORTER-test", b"context", 0)[1] != secret

    session = o.SSL_get_session(one)
    assert session is not None
    assert session is o.SSL_get1_session(one)
    size, data = o.i2d_SSL_SESSION(session)
    assert size == len(data)
    assert o.SSL_shutdown(one) == 0
    assert o.SSL_write_ex(one, b"late") == (0, 0)
    o.SSL_free(one)
    o.SSL_free(two)
    o.SSL_free(None)
    o.SSL_CTX_free(ctx)

    again, two = joined(client, ctx)
    o.SSL_set_alpn_protos(again, b"\x08http/1.1")
    assert o.SSL_set_session(again, o.d2i_SSL_SESSION(data)) == 1
    handshake(again, two)
    assert o.SSL_session_reused(again) == o.SSL_session_reused(two) == 1
    assert o.SSL_set_session(again, None) == 0
    assert o.SSL_set1_host(again, "late.test") == 0


def test_tls12(files: tuple[Path, Path, Path]) -> None:
    chain, key, root = files
    ctx = o.SSL_CTX_new(o.TLS_server_method())
    assert o.SSL_CTX_use_certificate_chain_file(ctx, chain) == 1
    assert o.SSL_CTX_use_PrivateKey_file(ctx, key, o.SSL_FILETYPE_PEM) == 1
    client = o.SSL_CTX_new(o.TLS_client_method())
    assert o.SSL_CTX_load_verify_file(client, root) == 1
    assert o.SSL_CTX_set_min_proto_version(client, 0) == 1
    assert o.SSL_CTX_set_max_proto_version(client, o.TLS1_2_VERSION) == 1
    newer = client.cipher_suites[:3]
    assert o.SSL_CTX_set_cipher_list(client, "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305") == 1
    assert client.cipher_suites == (
        *newer,
        CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        CipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    )
    assert o.SSL_CTX_set_ciphersuites(client, "TLS_AES_128_GCM_SHA256") == 1
    assert len(client.cipher_suites) == 3
    one, two = joined(client, ctx)
    handshake(one, two)
    assert o.SSL_version(one) == o.SSL_version(two) == o.TLS1_2_VERSION
    assert o.SSL_get_version(one) == "TLSv1.2"
    assert o.SSL_get_cipher_name(one) == "ECDHE-ECDSA-CHACHA20-POLY1305"
    assert o.SSL_key_update(one, o.SSL_KEY_UPDATE_REQUESTED) == 0
    assert o.SSL_export_keying_material(one, 16, "EXPORTER-test", b"", 1) != o.SSL_export_keying_material(
        one, 16, "EXPORTER-test", None, 0
    )
    assert o.SSL_export_keying_material(one, 16, "EXPORTER-test", None, 0) == o.SSL_export_keying_material(
        two, 16, "EXPORTER-test", None, 0
    )


def test_certificate_and_key_may_come_in_either_order_and_to_a_connection(files: tuple[Path, Path, Path]) -> None:
    chain, key, root = files
    client = client_context(identity=None)
    server = Context(verify=o.Verify.NONE)
    one, two = joined(client, server)
    assert o.SSL_use_PrivateKey_file(two, key, o.SSL_FILETYPE_PEM) == 1
    assert o.SSL_check_private_key(two) == 0
    assert o.SSL_use_certificate_file(two, chain, o.SSL_FILETYPE_PEM) == 1
    assert o.SSL_check_private_key(two) == 1
    assert o.SSL_CTX_check_private_key(server) == 0
    assert o.SSL_use_certificate_chain_file(one, chain.read_bytes()) == 1
    assert o.SSL_use_PrivateKey(one, identity().key) == 1
    two.context.trust = o.TrustStore.load(root)
    o.SSL_set_verify(two, o.SSL_VERIFY_PEER | o.SSL_VERIFY_FAIL_IF_NO_PEER_CERT)
    assert two.context.verify is o.Verify.REQUIRED


def test_what_cannot_be_used_is_zero_and_the_reason_is_kept(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    _, key, _ = files
    ctx = o.SSL_CTX_new(o.TLS_method())
    assert o.SSL_CTX_get_last_error(ctx) is None
    assert o.SSL_CTX_use_certificate_file(ctx, tmp_path / "missing.pem", o.SSL_FILETYPE_PEM) == 1
    assert o.SSL_CTX_use_PrivateKey(ctx, key) == 0
    assert isinstance(o.SSL_CTX_get_last_error(ctx), ConfigError)
    assert o.SSL_CTX_load_verify_file(ctx, tmp_path / "missing.pem") == 0
    assert o.SSL_CTX_set_alpn_protos(ctx, b"\x05h2") == 1
    assert o.SSL_CTX_set_alpn_protos(ctx, b"\x00") == 1
    assert o.SSL_CTX_set1_groups_list(ctx, "no-such-group") == 0
    assert "groups" in str(o.SSL_CTX_get_last_error(ctx))
    assert o.SSL_CTX_set_ciphersuites(ctx, "") == 0
    assert o.SSL_CTX_set_cipher_list(ctx, "ALL") == 0
    assert o.SSL_CTX_set_min_proto_version(ctx, 0x0302) == 0
    assert o.SSL_CTX_set_max_proto_version(ctx, 0xFEFD) == 0
    assert o.SSL_CTX_set_num_tickets(ctx, -1) == 0
    assert o.SSL_CTX_set_num_tickets(ctx, 0) == 1
    assert o.SSL_CTX_get_last_error(ctx) is None
    assert o.d2i_SSL_SESSION(b"not a session") is None
    ssl = o.SSL_new(ctx)
    assert o.SSL_export_keying_material(ssl, 16, "EXPORTER-test", None, 0) == (0, None)


@pytest.mark.parametrize(
    ("mode", "verify"),
    [
        (o.SSL_VERIFY_NONE, o.Verify.NONE),
        (o.SSL_VERIFY_FAIL_IF_NO_PEER_CERT, o.Verify.NONE),
        (o.SSL_VERIFY_PEER, o.Verify.OPTIONAL),
        (o.SSL_VERIFY_PEER | o.SSL_VERIFY_FAIL_IF_NO_PEER_CERT, o.Verify.REQUIRED),
    ],
)
def test_verify_modes(mode: int, verify: o.Verify) -> None:
    ctx = o.SSL_CTX_new(o.TLS_method())

    def callback(_chain: object) -> bool:
        return True

    o.SSL_CTX_set_verify(ctx, mode, callback)
    assert ctx.verify is verify
    assert ctx.verify_peer is callback


def test_trust_adds_up(files: tuple[Path, Path, Path]) -> None:
    ctx = o.SSL_CTX_new(o.TLS_method())
    assert ctx.trust is None
    assert o.SSL_CTX_load_verify_file(ctx, pki().other_root.pem) == 1
    assert o.SSL_CTX_load_verify_file(ctx, files[2]) == 1
    assert len(ctx.trust) == 2
    assert o.SSL_CTX_set_default_verify_paths(ctx) in (0, 1)  # a machine may have no store


def test_optional_means_that_a_bad_certificate_is_still_bad() -> None:
    ctx = Context(trust=o.TrustStore.load(pki().other_root.pem))
    o.SSL_CTX_set_verify(ctx, o.SSL_VERIFY_PEER)
    one, two = joined(ctx, Context(identity=identity()))
    o.SSL_do_handshake(one)
    o.SSL_do_handshake(two)
    assert o.SSL_do_handshake(one) == -1
    assert isinstance(o.SSL_get_last_error(one), CertificateVerifyError)


def test_methods() -> None:
    assert o.TLS_method() is o.TLS_client_method() is o.TLS_server_method() is Method.TLS


def test_a_kept_error_keeps_no_connection_alive() -> None:
    one, two = connected()
    assert o.SSL_read(one, 1)[0] == -1
    gone = weakref.ref(one)
    del one, two
    gc.collect()
    assert gone() is None


def test_memory_and_datagram_bios() -> None:
    memory = o.BIO_new(o.BIO_s_mem())
    assert o.BIO_read(memory, 10) == (-1, b"")
    assert o.BIO_write(memory, b"abc") == 3
    assert (o.BIO_pending(memory), o.BIO_ctrl_pending(memory)) == (3, 3)
    assert o.BIO_read(memory, 10) == (3, b"abc")
    assert o.BIO_shutdown_wr(memory) == 1
    assert o.BIO_write(memory, b"x") == -1
    assert o.BIO_read(memory, 10) == (0, b"")
    assert o.BIO_free(memory) == 1
    assert o.BIO_free(None) == 0
    code, half, other = o.BIO_new_bio_dgram_pair()
    assert code == 1
    assert o.BIO_write(half, b"one datagram") == 12
    assert o.BIO_read(other, 100) == (12, b"one datagram")
    _, left, right = o.BIO_new_bio_pair(10, 10)
    assert left is not None
    assert right is not None
    o.BIO_write(left, b"abc")
    assert o.BIO_ctrl_wpending(left) == 3
    assert o.BIO_destroy_bio_pair(right) == 1
    assert o.BIO_eof(left) == 1


def test_every_function_names_its_page() -> None:
    functions = {
        name: function
        for name, function in vars(o).items()
        if inspect.isfunction(function) and function.__module__.startswith(o.__name__) and not name.startswith("_")
    }
    assert len(functions) > 100
    own = {"SSL_get_last_error", "SSL_CTX_get_last_error"}
    unnamed = [name for name, each in functions.items() if f"{name}(3)" not in (each.__doc__ or "") and name not in own]
    shared = {f"{name}_{role}_method" for name in ("TLS", "DTLS") for role in ("client", "server")}
    assert set(unnamed) <= shared
