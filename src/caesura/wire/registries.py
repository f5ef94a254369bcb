"""The registries' code points under the registries' own spellings, versions also under OpenSSL's, and nothing else.

Sources: the IANA "TLS Parameters", "TLS Extensions" and "QUIC" registries as RFC 9846 section 11 lists them, with the
documents named beside each entry. Listed is what an endpoint may meet that speaks TLS 1.3 and 1.2, DTLS and QUIC as
this library does; every other code is legal on the wire and stays a plain int. Alerts are in `caesura.errors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, unique
from typing import Final


@unique
class Version(IntEnum):
    """Protocol versions as they are negotiated: ProtocolVersion for TLS and DTLS, 32-bit versions for QUIC."""

    TLS12 = 0x0303  # RFC 5246
    TLS13 = 0x0304  # RFC 9846
    DTLS12 = 0xFEFD  # RFC 6347
    DTLS13 = 0xFEFC  # RFC 9147
    QUIC1 = 0x00000001  # RFC 9000
    QUIC2 = 0x6B3343CF  # RFC 9369


VERSION_NAMES: Final[Mapping[Version, str]] = {
    Version.TLS12: "TLSv1.2",
    Version.TLS13: "TLSv1.3",
    Version.DTLS12: "DTLSv1.2",
    Version.DTLS13: "DTLSv1.3",
    Version.QUIC1: "QUICv1",
    Version.QUIC2: "QUICv2",
}
"""As OpenSSL spells them (SSL_get_version(3))."""


@unique
class ContentType(IntEnum):
    """What a record carries (RFC 9846 section 5.1)."""

    change_cipher_spec = 20
    alert = 21
    handshake = 22
    application_data = 23
    heartbeat = 24  # RFC 6520
    tls12_cid = 25  # RFC 9146
    ack = 26  # RFC 9147


@unique
class HandshakeType(IntEnum):
    """Handshake message types (RFC 9846 section 4 and appendix B.3).

    `hello_retry_request` is never on the wire: a HelloRetryRequest is a server_hello with a special random. The code it
    had in drafts names it in tables.
    """

    hello_request = 0  # RFC 5246
    client_hello = 1
    server_hello = 2
    hello_verify_request = 3  # RFC 6347
    new_session_ticket = 4
    end_of_early_data = 5
    hello_retry_request = 6
    encrypted_extensions = 8
    request_connection_id = 9  # RFC 9147
    new_connection_id = 10  # RFC 9147
    certificate = 11
    server_key_exchange = 12  # RFC 5246
    certificate_request = 13
    server_hello_done = 14  # RFC 5246
    certificate_verify = 15
    client_key_exchange = 16  # RFC 5246
    finished = 20
    certificate_status = 22  # RFC 6066
    key_update = 24
    compressed_certificate = 25  # RFC 8879
    message_hash = 254


@unique
class ExtensionType(IntEnum):
    """Extensions (RFC 9846 section 4.3)."""

    server_name = 0  # RFC 6066
    max_fragment_length = 1  # RFC 6066
    status_request = 5  # RFC 6066
    supported_groups = 10
    ec_point_formats = 11  # RFC 8422
    signature_algorithms = 13
    use_srtp = 14  # RFC 5764
    heartbeat = 15  # RFC 6520
    application_layer_protocol_negotiation = 16  # RFC 7301
    status_request_v2 = 17  # RFC 6961
    signed_certificate_timestamp = 18  # RFC 6962
    client_certificate_type = 19  # RFC 7250
    server_certificate_type = 20  # RFC 7250
    padding = 21  # RFC 7685
    encrypt_then_mac = 22  # RFC 7366
    extended_master_secret = 23  # RFC 7627
    compress_certificate = 27  # RFC 8879
    record_size_limit = 28  # RFC 8449
    delegated_credential = 34  # RFC 9345
    session_ticket = 35  # RFC 5077
    pre_shared_key = 41
    early_data = 42
    supported_versions = 43
    cookie = 44
    psk_key_exchange_modes = 45
    certificate_authorities = 47
    oid_filters = 48
    post_handshake_auth = 49
    signature_algorithms_cert = 50
    key_share = 51
    connection_id = 54  # RFC 9146
    external_id_hash = 55  # RFC 8844
    external_session_id = 56  # RFC 8844
    quic_transport_parameters = 57  # RFC 9001
    ticket_request = 58  # RFC 9149
    ech_outer_extensions = 64768  # RFC 9849
    encrypted_client_hello = 65037  # RFC 9849
    renegotiation_info = 65281  # RFC 5746


@unique
class CipherSuite(IntEnum):
    """Cipher suites: those of TLS 1.3 (RFC 9846 appendix B.4) and of TLS 1.2 the AEAD ones with ECDHE, PSK or both."""

    TLS_AES_128_GCM_SHA256 = 0x1301
    TLS_AES_256_GCM_SHA384 = 0x1302
    TLS_CHACHA20_POLY1305_SHA256 = 0x1303
    TLS_AES_128_CCM_SHA256 = 0x1304
    TLS_AES_128_CCM_8_SHA256 = 0x1305

    TLS_PSK_WITH_AES_128_GCM_SHA256 = 0x00A8  # RFC 5487
    TLS_PSK_WITH_AES_256_GCM_SHA384 = 0x00A9
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 = 0xC02B  # RFC 5289
    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 = 0xC02C
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 = 0xC02F
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 = 0xC030
    TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 = 0xCCA8  # RFC 7905
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 = 0xCCA9
    TLS_PSK_WITH_CHACHA20_POLY1305_SHA256 = 0xCCAB
    TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256 = 0xCCAC
    TLS_PSK_WITH_AES_128_CCM = 0xC0A4  # RFC 6655
    TLS_PSK_WITH_AES_256_CCM = 0xC0A5
    TLS_PSK_WITH_AES_128_CCM_8 = 0xC0A8
    TLS_PSK_WITH_AES_256_CCM_8 = 0xC0A9
    TLS_ECDHE_ECDSA_WITH_AES_128_CCM = 0xC0AC  # RFC 7251
    TLS_ECDHE_ECDSA_WITH_AES_256_CCM = 0xC0AD
    TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8 = 0xC0AE
    TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8 = 0xC0AF
    TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256 = 0xD001  # RFC 8442
    TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384 = 0xD002
    TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256 = 0xD003
    TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256 = 0xD005

    TLS_EMPTY_RENEGOTIATION_INFO_SCSV = 0x00FF  # RFC 5746: a signal, not a suite
    TLS_FALLBACK_SCSV = 0x5600  # RFC 7507: a signal, not a suite


@unique
class NamedGroup(IntEnum):
    """Key exchange groups (RFC 9846 section 4.3.7)."""

    secp256r1 = 0x0017
    secp384r1 = 0x0018
    secp521r1 = 0x0019
    x25519 = 0x001D
    x448 = 0x001E
    ffdhe2048 = 0x0100
    ffdhe3072 = 0x0101
    ffdhe4096 = 0x0102
    ffdhe6144 = 0x0103
    ffdhe8192 = 0x0104
    MLKEM512 = 0x0200  # draft-ietf-tls-mlkem
    MLKEM768 = 0x0201
    MLKEM1024 = 0x0202
    SecP256r1MLKEM768 = 0x11EB  # draft-ietf-tls-ecdhe-mlkem
    X25519MLKEM768 = 0x11EC
    SecP384r1MLKEM1024 = 0x11ED


@unique
class SignatureScheme(IntEnum):
    """Signature algorithms (RFC 9846 section 4.3.3)."""

    rsa_pkcs1_sha256 = 0x0401
    rsa_pkcs1_sha384 = 0x0501
    rsa_pkcs1_sha512 = 0x0601
    ecdsa_secp256r1_sha256 = 0x0403
    ecdsa_secp384r1_sha384 = 0x0503
    ecdsa_secp521r1_sha512 = 0x0603
    rsa_pss_rsae_sha256 = 0x0804
    rsa_pss_rsae_sha384 = 0x0805
    rsa_pss_rsae_sha512 = 0x0806
    ed25519 = 0x0807
    ed448 = 0x0808
    rsa_pss_pss_sha256 = 0x0809
    rsa_pss_pss_sha384 = 0x080A
    rsa_pss_pss_sha512 = 0x080B
    ecdsa_brainpoolP256r1tls13_sha256 = 0x081A  # RFC 8734
    ecdsa_brainpoolP384r1tls13_sha384 = 0x081B
    ecdsa_brainpoolP512r1tls13_sha512 = 0x081C
    mldsa44 = 0x0904  # draft-ietf-tls-mldsa
    mldsa65 = 0x0905
    mldsa87 = 0x0906
    rsa_pkcs1_sha1 = 0x0201
    ecdsa_sha1 = 0x0203


@unique
class PskKeyExchangeMode(IntEnum):
    """How a pre-shared key may be used (RFC 9846 section 4.3.9)."""

    psk_ke = 0
    psk_dhe_ke = 1


@unique
class KeyUpdateRequest(IntEnum):
    """Whether a KeyUpdate asks for one in return (RFC 9846 section 4.7.3)."""

    update_not_requested = 0
    update_requested = 1


@unique
class ServerNameType(IntEnum):
    """Kinds of server names (RFC 6066 section 3)."""

    host_name = 0


@unique
class CertificateStatusType(IntEnum):
    """Kinds of certificate status (RFC 6066 section 8; `ocsp_multi_RESERVED` was RFC 6961's)."""

    ocsp = 1
    ocsp_multi_RESERVED = 2


@unique
class CertificateType(IntEnum):
    """Kinds of certificates (RFC 9846 section 4.5.1, RFC 7250)."""

    X509 = 0
    OpenPGP_RESERVED = 1
    RawPublicKey = 2


@unique
class CertificateCompressionAlgorithm(IntEnum):
    """Compression of Certificate messages (RFC 8879 section 7.3)."""

    zlib = 1
    brotli = 2
    zstd = 3


@unique
class ConnectionIdUsage(IntEnum):
    """Whether a new connection id is to be used at once (RFC 9147 section 9)."""

    cid_immediate = 0
    cid_spare = 1


@unique
class KDFIdentifier(IntEnum):
    """What an imported pre-shared key is derived with, the "TLS KDF Identifiers" registry (RFC 9258 section 10)."""

    HKDF_SHA256 = 1
    HKDF_SHA384 = 2


@unique
class SRTPProtectionProfile(IntEnum):
    """What SRTP protects with (RFC 5764 section 4.1.2, RFC 7714 section 14.2), where it encrypts."""

    SRTP_AES128_CM_HMAC_SHA1_80 = 0x0001
    SRTP_AES128_CM_HMAC_SHA1_32 = 0x0002
    SRTP_AEAD_AES_128_GCM = 0x0007
    SRTP_AEAD_AES_256_GCM = 0x0008


@unique
class ECPointFormat(IntEnum):
    """Point formats of TLS 1.2 (RFC 8422 section 5.1.2)."""

    uncompressed = 0
    ansiX962_compressed_prime = 1
    ansiX962_compressed_char2 = 2


@unique
class ECCurveType(IntEnum):
    """How TLS 1.2 names the curve of a key exchange (RFC 8422 section 5.4)."""

    named_curve = 3


@unique
class ClientCertificateType(IntEnum):
    """Certificates that a TLS 1.2 server asks for (RFC 5246 section 7.4.4, RFC 8422 section 5.5)."""

    rsa_sign = 1
    ecdsa_sign = 64


@unique
class CompressionMethod(IntEnum):
    """The one compression method there is (RFC 3749, RFC 9846 section 4.2.2)."""

    null = 0


def is_grease(code: int) -> bool:
    """Tell whether a 16-bit code is one of 0x0A0A, 0x1A1A … 0xFAFA, reserved to be sent and ignored (RFC 8701)."""
    return code & 0x0F0F == 0x0A0A and code >> 8 == code & 0xFF
