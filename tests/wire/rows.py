"""Values and their bytes, in hexadecimal: what the tables of the tests and the seeds of the fuzzers are."""

from __future__ import annotations

from typing import Any

from caesura.wire import extensions as x
from caesura.wire import messages12 as m12
from caesura.wire.dtls import HelloVerifyRequest
from caesura.wire.extensions import Extension, Extensions
from caesura.wire.messages import (
    Certificate,
    CertificateEntry,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    CompressedCertificate,
    EncryptedExtensions,
    EndOfEarlyData,
    Finished,
    HandshakeMessage,
    KeyUpdate,
    NewSessionTicket,
    ServerHello,
)
from caesura.wire.registries import (
    CertificateCompressionAlgorithm,
    CertificateStatusType,
    CertificateType,
    CipherSuite,
    ClientCertificateType,
    KeyUpdateRequest,
    NamedGroup,
    PskKeyExchangeMode,
    SignatureScheme,
    Version,
)

SHARE = x.KeyShareEntry(NamedGroup.x25519, bytes(32))
PSKS = x.OfferedPsks((x.PskIdentity(b"a", 1), x.PskIdentity(b"bc", 2**32 - 1)), (bytes(32), bytes(48)))
OCSP = CertificateStatusType.ocsp
RANDOM = bytes(range(32))
GREASE_FIELD = "0007 2a2a 0003 616263"


def grease() -> Extensions:
    extensions = Extensions()
    extensions.put_data(0x2A2A, b"abc")
    return extensions


# extension, value, extension_data
EXTENSIONS: list[tuple[Extension[Any], Any, str]] = [
    (x.SUPPORTED_VERSIONS_CLIENT, (Version.TLS13, Version.TLS12), "04 0304 0303"),
    (x.SUPPORTED_VERSIONS_CLIENT, (0x7A7A, Version.DTLS13, 1), "06 7a7a fefc 0001"),
    (x.SUPPORTED_VERSIONS_SERVER, Version.TLS13, "0304"),
    (x.COOKIE, b"abc", "0003 616263"),
    (x.SIGNATURE_ALGORITHMS, (SignatureScheme.ed25519, 0x0A0A), "0004 0807 0a0a"),
    (x.SIGNATURE_ALGORITHMS_CERT, (SignatureScheme.rsa_pkcs1_sha256,), "0002 0401"),
    (x.CERTIFICATE_AUTHORITIES, (b"\x30\0", b"\x30"), "0007 0002 3000 0001 30"),
    (x.OID_FILTERS, (), "0000"),
    (x.OID_FILTERS, (x.OIDFilter(b"\x55\x1d\x0f", b""), x.OIDFilter(b"a", b"b")), "000b 03 551d0f 0000 01 61 0001 62"),
    (x.POST_HANDSHAKE_AUTH, True, ""),
    (x.SUPPORTED_GROUPS, (NamedGroup.X25519MLKEM768, NamedGroup.x25519), "0004 11ec 001d"),
    (x.KEY_SHARE_CLIENT, (), "0000"),
    (x.KEY_SHARE_CLIENT, (SHARE,), "0024 001d 0020" + "00" * 32),
    (x.KEY_SHARE_CLIENT, (x.KeyShareEntry(0x2A2A, b"\0"), SHARE), "0029 2a2a 0001 00 001d 0020" + "00" * 32),
    (x.KEY_SHARE_SERVER, SHARE, "001d 0020" + "00" * 32),
    (x.KEY_SHARE_RETRY, NamedGroup.secp256r1, "0017"),
    (x.PSK_KEY_EXCHANGE_MODES, (PskKeyExchangeMode.psk_dhe_ke, 0x0B), "02 01 0b"),
    (x.EARLY_DATA, True, ""),
    (x.EARLY_DATA_TICKET, 16384, "00004000"),
    (
        x.PRE_SHARED_KEY_CLIENT,
        PSKS,
        "000f 0001 61 00000001 0002 6263 ffffffff" + "0052 20" + "00" * 32 + "30" + "00" * 48,
    ),
    (x.PRE_SHARED_KEY_SERVER, 1, "0001"),
    (x.CONNECTION_ID, b"", "00"),
    (x.CONNECTION_ID, b"id", "02 6964"),
    (x.SERVER_NAME, "server", "0009 00 0006 736572766572"),  # as in RFC 8448 section 3
    (x.SERVER_NAME_ACCEPTED, True, ""),
    (x.STATUS_REQUEST, x.CertificateStatusRequest(OCSP, x.OCSPStatusRequest()), "01 0000 0000"),
    (x.STATUS_REQUEST, x.CertificateStatusRequest(OCSP, x.OCSPStatusRequest((b"r",), b"e")), "01 0003 0001 72 0001 65"),
    (x.STATUS_REQUEST_SERVER, True, ""),
    (x.STATUS_RESPONSE, b"der", "01 000003 646572"),
    (x.SIGNED_CERTIFICATE_TIMESTAMP, True, ""),
    (x.SIGNED_CERTIFICATE_TIMESTAMP_LIST, (b"a", b"bc"), "0007 0001 61 0002 6263"),
    (x.ALPN, (b"h2", b"http/1.1"), "000c 02 6832 08 687474702f312e31"),
    (x.ALPN, (b"\x0a\x0a", b"\0"), "0005 02 0a0a 01 00"),
    (x.ALPN_SERVER, b"h2", "0003 02 6832"),
    (x.CLIENT_CERTIFICATE_TYPES, (CertificateType.RawPublicKey, CertificateType.X509), "02 02 00"),
    (x.CLIENT_CERTIFICATE_TYPE, CertificateType.X509, "00"),
    (x.SERVER_CERTIFICATE_TYPES, (CertificateType.X509, 5), "02 00 05"),
    (x.SERVER_CERTIFICATE_TYPE, CertificateType.RawPublicKey, "02"),
    (x.COMPRESS_CERTIFICATE, (CertificateCompressionAlgorithm.brotli, 9), "04 0002 0009"),
    (x.USE_SRTP, x.UseSRTP((7, 1), b"id"), "0004 0007 0001 02 6964"),
    (x.RECORD_SIZE_LIMIT, 64, "0040"),
    (x.RECORD_SIZE_LIMIT, 16385, "4001"),
    (x.EXTENDED_MASTER_SECRET, True, ""),
    (x.RENEGOTIATION_INFO, b"", "00"),
    (x.EC_POINT_FORMATS, (0, 1, 2), "03 00 01 02"),
]
# These have no length of their own, so that no truncation of them shows.
UNBOUNDED_EXTENSIONS: list[tuple[Extension[Any], Any, str]] = [
    (x.PADDING, bytes(3), "000000"),
    (x.PADDING, b"", ""),
    (x.SESSION_TICKET, b"ticket", "7469636b6574"),
    (x.SESSION_TICKET, b"", ""),
    (x.QUIC_TRANSPORT_PARAMETERS, b"\x01\x01\x1e", "01011e"),
    (x.STATUS_REQUEST, x.CertificateStatusRequest(7, b"abc"), "07 616263"),
]

# message, its body
MESSAGES: list[tuple[HandshakeMessage, str]] = [
    (
        ClientHello(Version.TLS12, RANDOM, b"", (CipherSuite.TLS_AES_128_GCM_SHA256, 0x0A0A), b"\0", grease()),
        "0303" + RANDOM.hex() + "00" + "0004 1301 0a0a" + "01 00" + GREASE_FIELD,
    ),
    (
        ServerHello(Version.TLS12, RANDOM, b"id", 0x1302, 0, grease()),
        "0303" + RANDOM.hex() + "02 6964 1302 00" + GREASE_FIELD,
    ),
    (EncryptedExtensions(Extensions()), "0000"),
    (EncryptedExtensions(grease()), GREASE_FIELD),
    (CertificateRequest(b"", grease()), "00" + GREASE_FIELD),
    (CertificateRequest(b"ctx", Extensions()), "03 637478 0000"),
    (Certificate(b"", ()), "00 000000"),
    (
        Certificate(b"x", (CertificateEntry(b"leaf"), CertificateEntry(b"ca", grease()))),
        "01 78 000017" + "000004 6c656166 0000" + "000002 6361" + GREASE_FIELD,
    ),
    (CompressedCertificate(CertificateCompressionAlgorithm.zlib, 2**24 - 1, b"z"), "0001 ffffff 000001 7a"),
    (CompressedCertificate(0x0A0A, 0, b"ab"), "0a0a 000000 000002 6162"),
    (CertificateVerify(SignatureScheme.ed25519, b"s"), "0807 0001 73"),
    (CertificateVerify(0x0A0A, b""), "0a0a 0000"),
    (NewSessionTicket(604800, 2**32 - 1, b"", b"t", Extensions()), "00093a80 ffffffff 00 0001 74 0000"),
    (NewSessionTicket(0, 0, b"n", b"t", grease()), "00000000 00000000 01 6e 0001 74" + GREASE_FIELD),
    (KeyUpdate(KeyUpdateRequest.update_not_requested), "00"),
    (KeyUpdate(KeyUpdateRequest.update_requested), "01"),
    (EndOfEarlyData(), ""),
]
UNBOUNDED_MESSAGES: list[tuple[HandshakeMessage, str]] = [(Finished(b"\1\2\3"), "010203")]

# The messages of TLS 1.2 that have formats of their own.
MESSAGES12: list[tuple[HandshakeMessage, str]] = [
    (m12.HelloRequest(), ""),
    (m12.Certificate(()), "000000"),
    (m12.Certificate((b"leaf", b"ca")), "00000c 000004 6c656166 000002 6361"),
    (m12.RawPublicKeyCertificate(b"key"), "000003 6b6579"),
    (m12.RawPublicKeyCertificate(b""), "000000"),
    (m12.CertificateStatus(b"der"), "01 000003 646572"),
    (
        m12.ServerKeyExchange(m12.ServerECDHParams(NamedGroup.secp256r1, b"\4xy"), SignatureScheme.ed25519, b"s"),
        "03 0017 03 047879 0807 0001 73",
    ),
    (m12.ServerKeyExchange(m12.ServerECDHParams(0x2A2A, b"p"), 0x0A0A, b""), "03 2a2a 01 70 0a0a 0000"),
    (
        m12.CertificateRequest((ClientCertificateType.ecdsa_sign, 0x2A), (SignatureScheme.rsa_pkcs1_sha256,), ()),
        "02 40 2a 0002 0401 0000",
    ),
    (
        m12.CertificateRequest((1,), (SignatureScheme.ed25519, 0x0A0A), (b"\x30\0", b"\x30")),
        "01 01 0004 0807 0a0a 0007 0002 3000 0001 30",
    ),
    (m12.ServerHelloDone(), ""),
    (m12.ClientKeyExchange(b"\4xy"), "03 047879"),
    (m12.NewSessionTicket(7200, b"ticket"), "00001c20 0006 7469636b6574"),
    (m12.NewSessionTicket(0, b""), "00000000 0000"),
    (HelloVerifyRequest(0xFEFF, b"cookie"), "feff 06 636f6f6b6965"),
    (m12.PSKServerKeyExchange(b"hint"), "0004 68696e74"),
    (m12.PSKClientKeyExchange(b"who"), "0003 77686f"),
    (m12.ECDHEPSKServerKeyExchange(b"", m12.ServerECDHParams(NamedGroup.x25519, b"P")), "0000 03 001d 01 50"),
    (m12.ECDHEPSKClientKeyExchange(b"who", b"Q"), "0003 77686f 01 51"),
]
