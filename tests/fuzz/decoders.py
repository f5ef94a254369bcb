"""What fuzzers call: one plain function per decoder, and inputs to begin with.

Each takes bytes as the network would send them. It returns whether they were accepted, and raises nothing: a
`caesura.Error` is a refusal. What was accepted is written and read again, and must be the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from caesura.errors import Error
from caesura.wire import extensions as x
from caesura.wire import messages12 as m12
from caesura.wire.dtls import HelloVerifyRequest
from caesura.wire.extensions import Extension, Extensions
from caesura.wire.messages import (
    Certificate,
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
    decode_message,
)
from caesura.wire.records import HEADER_LENGTH, MAX_CIPHERTEXT, split_records
from caesura.wire.registries import HandshakeType
from tests.fuzz import quic
from tests.wire import rfc8448
from tests.wire.rows import EXTENSIONS, MESSAGES, MESSAGES12, UNBOUNDED_EXTENSIONS, UNBOUNDED_MESSAGES

Target = Callable[[bytes], bool]


def records(data: bytes) -> bool:
    """Split a stream into records, as a connection does: from where the last stopped."""
    pos = 0
    try:
        while found := split_records(data, pos):
            for _content_type, start, stop in found:
                assert start == pos + HEADER_LENGTH
                assert start <= stop <= min(len(data), start + MAX_CIPHERTEXT)
                pos = stop
    except Error:
        return False
    return True


def message(cls: type[HandshakeMessage], data: bytes) -> bool:
    """Read a handshake message from its body, and check the extensions that it or its parts carry."""
    try:
        read = cls.decode(data)
        for place, extensions in extensions_of(read):
            extensions.check(place)
    except Error:
        return False
    raw = read.raw
    assert raw[4:] == data
    assert decode_message(cls, read.encode()) == read
    if isinstance(read, ClientHello) and read.extensions.get(x.PRE_SHARED_KEY_CLIENT) is not None:
        assert raw.startswith(read.without_binders(raw))
    return True


def extensions_of(read: HandshakeMessage) -> Iterable[tuple[HandshakeType, Extensions]]:
    if isinstance(read, ServerHello) and read.is_retry:
        return [(HandshakeType.hello_retry_request, read.extensions)]
    if isinstance(read, Certificate):
        return [(read.msg_type, entry.extensions) for entry in read.certificate_list]
    return [(read.msg_type, read.extensions)] if hasattr(read, "extensions") else []


def extension(row: Extension[Any], data: bytes) -> bool:
    """Read one extension_data."""
    try:
        value = row.decode(data)
    except Error:
        return False
    assert row.decode(row.encode(value)) == value
    return True


_CLASSES = (
    ClientHello,
    ServerHello,
    EncryptedExtensions,
    CertificateRequest,
    Certificate,
    CompressedCertificate,
    CertificateVerify,
    Finished,
    EndOfEarlyData,
    NewSessionTicket,
    KeyUpdate,
)
_CLASSES12 = (
    m12.Certificate,
    m12.RawPublicKeyCertificate,
    m12.CertificateStatus,
    m12.ServerKeyExchange,
    m12.CertificateRequest,
    m12.ClientKeyExchange,
    m12.NewSessionTicket,
    m12.PSKServerKeyExchange,
    m12.PSKClientKeyExchange,
    m12.ECDHEPSKServerKeyExchange,
    m12.ECDHEPSKClientKeyExchange,
    HelloVerifyRequest,
)
_TRACES: dict[type[HandshakeMessage], tuple[bytes, ...]] = {
    ClientHello: (rfc8448.CLIENT_HELLO, rfc8448.RESUMED_CLIENT_HELLO),
    ServerHello: (rfc8448.SERVER_HELLO, rfc8448.HELLO_RETRY_REQUEST),
    EncryptedExtensions: (rfc8448.ENCRYPTED_EXTENSIONS,),
    Certificate: (rfc8448.CERTIFICATE,),
    CertificateVerify: (rfc8448.CERTIFICATE_VERIFY,),
    Finished: (rfc8448.FINISHED,),
    NewSessionTicket: (rfc8448.NEW_SESSION_TICKET,),
}
_ROW_NAMES = {row: name for name, row in vars(x).items() if isinstance(row, Extension)}

TARGETS: dict[str, Target] = {
    "records": records,
    **{cls.__name__: partial(message, cls) for cls in _CLASSES},
    **{f"{cls.__name__}12": partial(message, cls) for cls in _CLASSES12},
    **{f"extension.{_ROW_NAMES[row]}": partial(extension, row) for row in x.TABLE},
    **quic.TARGETS,
}

SEEDS: dict[str, tuple[bytes, ...]] = {
    "records": (b"\x16\3\1\0\2ab\x14\3\3\0\1\1\x17\3\3\0\0", b"\x15\3\3\0\2\2\x28\x17\3\3"),
    **{
        cls.__name__: (
            *(raw[4:] for raw in _TRACES.get(cls, ())),
            *(bytes.fromhex(body) for each, body in MESSAGES + UNBOUNDED_MESSAGES if cls is type(each)),
        )
        for cls in _CLASSES
    },
    **{
        f"{cls.__name__}12": tuple(bytes.fromhex(body) for each, body in MESSAGES12 if cls is type(each))
        for cls in _CLASSES12
    },
    **{
        f"extension.{_ROW_NAMES[row]}": tuple(
            bytes.fromhex(body) for each, _value, body in EXTENSIONS + UNBOUNDED_EXTENSIONS if each is row
        )
        for row in x.TABLE
    },
    **quic.SEEDS,
}
