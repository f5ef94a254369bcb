from __future__ import annotations

import inspect
import ssl
from enum import EnumMeta, IntEnum

import pytest

from caesura.wire import registries
from caesura.wire.registries import (
    CipherSuite,
    ContentType,
    ExtensionType,
    HandshakeType,
    NamedGroup,
    PskKeyExchangeMode,
    SignatureScheme,
    Version,
    is_grease,
)
from tests.wire.strategies import GREASE

# RFC 9846: section 4, 4.3, 4.3.3, 4.3.7, 4.3.9, 5.1 and appendix B.4, as they are printed there.
PRINTED = {
    ContentType: "change_cipher_spec(20), alert(21), handshake(22), application_data(23)",
    HandshakeType: "client_hello(1), server_hello(2), new_session_ticket(4), end_of_early_data(5), "
    "encrypted_extensions(8), certificate(11), certificate_request(13), certificate_verify(15), finished(20), "
    "key_update(24), message_hash(254)",
    ExtensionType: "server_name(0), status_request(5), supported_groups(10), signature_algorithms(13), use_srtp(14), "
    "heartbeat(15), application_layer_protocol_negotiation(16), client_certificate_type(19), "
    "server_certificate_type(20), padding(21), compress_certificate(27), record_size_limit(28), "
    "delegated_credential(34), pre_shared_key(41), early_data(42), supported_versions(43), cookie(44), "
    "psk_key_exchange_modes(45), certificate_authorities(47), oid_filters(48), post_handshake_auth(49), "
    "signature_algorithms_cert(50), key_share(51), external_id_hash(55), external_session_id(56), "
    "quic_transport_parameters(57), ticket_request(58), ech_outer_extensions(64768), encrypted_client_hello(65037)",
    SignatureScheme: "rsa_pkcs1_sha256(0x0401), rsa_pkcs1_sha384(0x0501), rsa_pkcs1_sha512(0x0601), "
    "ecdsa_secp256r1_sha256(0x0403), ecdsa_secp384r1_sha384(0x0503), ecdsa_secp521r1_sha512(0x0603), "
    "rsa_pss_rsae_sha256(0x0804), rsa_pss_rsae_sha384(0x0805), rsa_pss_rsae_sha512(0x0806), ed25519(0x0807), "
    "ed448(0x0808), rsa_pss_pss_sha256(0x0809), rsa_pss_pss_sha384(0x080a), rsa_pss_pss_sha512(0x080b), "
    "rsa_pkcs1_sha1(0x0201), ecdsa_sha1(0x0203)",
    NamedGroup: "secp256r1(0x0017), secp384r1(0x0018), secp521r1(0x0019), x25519(0x001D), x448(0x001E), "
    "ffdhe2048(0x0100), ffdhe3072(0x0101), ffdhe4096(0x0102), ffdhe6144(0x0103), ffdhe8192(0x0104)",
    PskKeyExchangeMode: "psk_ke(0), psk_dhe_ke(1)",
    CipherSuite: "TLS_AES_128_GCM_SHA256(0x1301), TLS_AES_256_GCM_SHA384(0x1302), "
    "TLS_CHACHA20_POLY1305_SHA256(0x1303), TLS_AES_128_CCM_SHA256(0x1304), TLS_AES_128_CCM_8_SHA256(0x1305)",
}


@pytest.mark.parametrize("registry", PRINTED, ids=lambda registry: registry.__name__)
def test_the_code_points_are_those_of_the_rfc(registry: type[IntEnum]) -> None:
    for entry in PRINTED[registry].split(", "):
        name, _, code = entry.removesuffix(")").partition("(")
        assert registry[name] == int(code, 0), name


def test_the_suites_of_tls_12_are_those_of_openssl() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:@SECLEVEL=0")
    openssl = {cipher["name"]: cipher["id"] & 0xFFFF for cipher in context.get_ciphers()}
    ours = {}
    for suite in (suite for suite in CipherSuite if "_WITH_" in suite.name):
        name = suite.name.removeprefix("TLS_").replace("_WITH_", "-").replace("AES_", "AES").replace("CCM_8", "CCM8")
        ours[name.replace("_", "-").replace("POLY1305-SHA256", "POLY1305")] = suite
    both = ours.keys() & openssl.keys()
    assert {
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-CCM8",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-RSA-CHACHA20-POLY1305",
    } <= both
    assert {name: ours[name] for name in both} == {name: openssl[name] for name in both}


def test_every_registry_is_unique() -> None:
    for _name, registry in inspect.getmembers(registries, lambda each: isinstance(each, EnumMeta)):
        assert len(registry.__members__) == len(set(registry)), registry


def test_versions_of_datagram_tls_count_downwards() -> None:
    assert (Version.TLS12, Version.TLS13) == (0x0303, 0x0304)
    assert (Version.DTLS12, Version.DTLS13) == (0xFEFD, 0xFEFC)


def test_grease() -> None:
    assert [code for code in range(2**16) if is_grease(code)] == list(GREASE)
    assert (GREASE[0], GREASE[-1]) == (0x0A0A, 0xFAFA)
