from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caesura.errors import DecodeError, IllegalParameter, UnsupportedExtension
from caesura.wire import extensions as x
from caesura.wire.codec import Remembered
from caesura.wire.extensions import Extension, Extensions
from caesura.wire.registries import ExtensionType, HandshakeType, NamedGroup
from tests.wire.rows import EXTENSIONS, UNBOUNDED_EXTENSIONS
from tests.wire.strategies import GREASE, extensions_in, values

CH = HandshakeType.client_hello
SH = HandshakeType.server_hello
HRR = HandshakeType.hello_retry_request
EE = HandshakeType.encrypted_extensions
CR = HandshakeType.certificate_request
CT = HandshakeType.certificate
NST = HandshakeType.new_session_ticket
IN = {"CH": CH, "SH": SH, "HRR": HRR, "EE": EE, "CR": CR, "CT": CT, "NST": NST}

# The table of RFC 9846 section 4.3, as far as the extensions are known here, in its own order and notation. Below it
# those that the IANA registry has beyond that table: RFC 6962 section 3.3 and RFC 8446 section 4.2 for the first, and
# "-" in the column for TLS 1.3 for the others, which clients that also speak TLS 1.2 put in the same hello. The last
# two are DTLS's (RFC 9147 section 9) and QUIC's (RFC 9001 section 8.2).
RFC_9846_SECTION_4_3 = """
    server_name                            | CH, EE, CR
    status_request                         | CH, CR, CT
    supported_groups                       | CH, EE
    signature_algorithms                   | CH, CR
    application_layer_protocol_negotiation | CH, EE
    client_certificate_type                | CH, EE
    server_certificate_type                | CH, EE
    padding                                | CH
    compress_certificate                   | CH, CR
    record_size_limit                      | CH, EE
    use_srtp                               | CH, EE
    pre_shared_key                         | CH, SH
    early_data                             | CH, EE, NST
    supported_versions                     | CH, SH, HRR
    cookie                                 | CH, HRR
    psk_key_exchange_modes                 | CH
    certificate_authorities                | CH, CR
    oid_filters                            | CR
    post_handshake_auth                    | CH
    signature_algorithms_cert              | CH, CR
    key_share                              | CH, SH, HRR

    signed_certificate_timestamp           | CH, CR, CT
    extended_master_secret                 | CH
    renegotiation_info                     | CH
    session_ticket                         | CH
    ec_point_formats                       | CH
    connection_id                          | CH, SH
    quic_transport_parameters              | CH, EE
"""
ALLOWED = {
    ExtensionType[name.strip()]: {IN[message.strip()] for message in messages.split(",")}
    for name, messages in (line.split("|") for line in RFC_9846_SECTION_4_3.splitlines() if line.strip())
}


def name(value: object) -> str | None:
    return next((name for name, row in vars(x).items() if row is value), None) if isinstance(value, Extension) else None


def sample(code: int, message: HandshakeType) -> bytes:
    """The first data above that is well-formed for the code in the message, or any of it."""
    rows = [row for row in EXTENSIONS + UNBOUNDED_EXTENSIONS if row[0].code == code]
    fits = [row for row in rows if message in row[0].messages]
    return bytes.fromhex((fits or rows)[0][2])


def of(*items: tuple[int, bytes]) -> Extensions:
    extensions = Extensions()
    for code, data in items:
        extensions.put_data(code, data)
    return extensions


def test_every_row_of_the_table_is_tried() -> None:
    assert {extension for extension, _value, _data in EXTENSIONS + UNBOUNDED_EXTENSIONS} == set(x.TABLE)


@pytest.mark.parametrize(("extension", "value", "text"), EXTENSIONS + UNBOUNDED_EXTENSIONS, ids=name)
def test_read(extension: Extension[Any], value: object, text: str) -> None:
    assert extension.decode(bytes.fromhex(text)) == value


def unchangeable(value: object) -> bool:
    if dataclasses.is_dataclass(value):
        frozen = value.__dataclass_params__.frozen  # type: ignore[attr-defined]
        return frozen and all(unchangeable(getattr(value, each.name)) for each in dataclasses.fields(value))
    if isinstance(value, tuple):
        return all(map(unchangeable, value))
    return isinstance(value, int | str | bytes)


def test_what_comes_to_several_connections_none_can_change() -> None:
    shared = [row for row in EXTENSIONS + UNBOUNDED_EXTENSIONS if isinstance(row[0].codec, Remembered)]
    assert shared
    for extension, _value, text in shared:
        assert unchangeable(extension.decode(bytes.fromhex(text))), extension


@pytest.mark.parametrize(("extension", "value", "text"), EXTENSIONS + UNBOUNDED_EXTENSIONS, ids=name)
def test_written(extension: Extension[Any], value: object, text: str) -> None:
    assert extension.encode(value) == bytes.fromhex(text)


@pytest.mark.parametrize(("extension", "value", "text"), EXTENSIONS, ids=name)
def test_every_truncation_fails(extension: Extension[Any], value: object, text: str) -> None:
    data = bytes.fromhex(text)
    for length in range(len(data)):
        with pytest.raises(DecodeError, match=extension.code.name):
            extension.decode(data[:length])


@pytest.mark.parametrize(("extension", "value", "text"), EXTENSIONS, ids=name)
def test_a_byte_too_many_fails(extension: Extension[Any], value: object, text: str) -> None:
    with pytest.raises(DecodeError, match=extension.code.name):
        extension.decode(bytes.fromhex(text) + b"\0")


@pytest.mark.parametrize("extension", x.TABLE, ids=name)
@settings(max_examples=30)
@given(data=st.data())
def test_round_trip(extension: Extension[Any], data: st.DataObject) -> None:
    value = data.draw(values(extension.codec))
    assert extension.decode(extension.encode(value)) == value


@pytest.mark.parametrize(
    ("extension", "text"),
    [
        (x.SUPPORTED_VERSIONS_CLIENT, "00"),
        (x.SUPPORTED_VERSIONS_CLIENT, "03 030403"),
        (x.SUPPORTED_VERSIONS_CLIENT, "ff" + "00" * 255),
        (x.COOKIE, "0000"),
        (x.SIGNATURE_ALGORITHMS, "0000"),
        (x.SIGNATURE_ALGORITHMS_CERT, "0000"),
        (x.CERTIFICATE_AUTHORITIES, "0000"),
        (x.CERTIFICATE_AUTHORITIES, "0002 0000"),
        (x.OID_FILTERS, "0003 00 0000"),
        (x.SUPPORTED_GROUPS, "0000"),
        (x.KEY_SHARE_CLIENT, "0004 001d 0000"),
        (x.KEY_SHARE_SERVER, "001d 0000"),
        (x.PSK_KEY_EXCHANGE_MODES, "00"),
        (x.PRE_SHARED_KEY_CLIENT, "0000 0021 20" + "00" * 32),
        (x.PRE_SHARED_KEY_CLIENT, "0006 0000 00000000 0021 20" + "00" * 32),
        (x.PRE_SHARED_KEY_CLIENT, "0007 0001 61 00000000 0000"),
        (x.PRE_SHARED_KEY_CLIENT, "0007 0001 61 00000000 0020 1f" + "00" * 31),
        (x.SERVER_NAME, "0000"),
        (x.SERVER_NAME, "0003 00 0000"),
        (x.SERVER_NAME, "0004 01 0001 61"),  # no host_name
        (x.SERVER_NAME, "0008 00 0001 61 00 0001 62"),  # two
        (x.SERVER_NAME, "0005 00 0002 612e"),  # trailing dot
        (x.SERVER_NAME, "0005 00 0002 6100"),  # NUL
        (x.SERVER_NAME, "0005 00 0002 610a"),  # line feed
        (x.SERVER_NAME, "0005 00 0002 6120"),  # space
        (x.SERVER_NAME, "0005 00 0002 617f"),  # delete
        (x.SERVER_NAME, "0005 00 0002 c3a4"),  # not ASCII
        (x.SERVER_NAME_ACCEPTED, "0000"),
        (x.STATUS_REQUEST, "01 0002 0000 0000"),  # an empty responder
        (x.STATUS_RESPONSE, "01 000000"),
        (x.STATUS_RESPONSE, "02 000001 61"),
        (x.SIGNED_CERTIFICATE_TIMESTAMP_LIST, "0000"),
        (x.SIGNED_CERTIFICATE_TIMESTAMP_LIST, "0002 0000"),
        (x.ALPN, "0000"),
        (x.ALPN, "0001 00"),
        (x.ALPN, "0003 00 01 61"),
        (x.ALPN_SERVER, "0006 02 6832 02 6833"),
        (x.CLIENT_CERTIFICATE_TYPES, "00"),
        (x.SERVER_CERTIFICATE_TYPES, "00"),
        (x.COMPRESS_CERTIFICATE, "00"),
        (x.EC_POINT_FORMATS, "00"),
    ],
    ids=name,
)
def test_what_the_rfc_forbids_is_a_decode_error(extension: Extension[Any], text: str) -> None:
    with pytest.raises(DecodeError, match=extension.code.name):
        extension.decode(bytes.fromhex(text))


@pytest.mark.parametrize(
    ("extension", "text", "section"),
    [
        (x.KEY_SHARE_CLIENT, "000a 001d 0001 00 001d 0001 01", "RFC 9846 section 4.3.8"),
        (x.KEY_SHARE_CLIENT, "000a 0a0a 0001 00 0a0a 0001 01", "RFC 9846 section 4.3.8"),
        (x.OID_FILTERS, "0008 01 61 0000 01 61 0000", "RFC 9846 section 4.3.5"),
        (x.RECORD_SIZE_LIMIT, "003f", "RFC 8449 section 4"),
        (x.COMPRESS_CERTIFICATE, "06 0001 0002 0001", "RFC 8879 section 3"),
        (x.CLIENT_CERTIFICATE_TYPES, "01 00", "RFC 7250 section 4.1"),
        (x.SERVER_CERTIFICATE_TYPES, "01 00", "RFC 7250 section 4.1"),
    ],
    ids=name,
)
def test_what_contradicts_itself_is_an_illegal_parameter(extension: Extension[Any], text: str, section: str) -> None:
    with pytest.raises(IllegalParameter) as caught:
        extension.decode(bytes.fromhex(text))
    assert caught.value.section == section


@pytest.mark.parametrize("host", ["", "a.", "a b", "a\0", "münchen.example", "x" * 65536])
def test_a_host_name_that_cannot_be_read_is_not_written(host: str) -> None:
    with pytest.raises(ValueError):
        x.SERVER_NAME.encode(host)


# --- where they may stand ------------------------------------------------------------------------------------------


def test_the_table_of_the_rfc_is_the_table_of_the_code() -> None:
    here: dict[int, set[HandshakeType]] = {}
    for row in x.TABLE:
        here.setdefault(row.code, set()).update(row.messages)
    assert here == ALLOWED


@pytest.mark.parametrize("message", IN.values(), ids=lambda message: message.name)
@pytest.mark.parametrize("code", ALLOWED, ids=lambda code: code.name)
def test_every_extension_in_every_message(code: ExtensionType, message: HandshakeType) -> None:
    extensions = of((code, sample(code, message)))
    if message in ALLOWED[code]:
        extensions.check(message)
        extensions.check(message, {code})
    else:
        with pytest.raises(IllegalParameter, match=f"{code.name} in {message.name}"):
            extensions.check(message)


@pytest.mark.parametrize(
    ("code", "message"),
    [(code, message) for code in ALLOWED for message in (SH, HRR, EE, CT) if message in ALLOWED[code]],
    ids=lambda value: value.name,
)
def test_no_answer_to_what_was_not_asked(code: ExtensionType, message: HandshakeType) -> None:
    extensions = of((code, sample(code, message)))
    if (code, message) == (ExtensionType.cookie, HRR):  # the exception of section 4.3
        extensions.check(message, ())
    else:
        with pytest.raises(UnsupportedExtension, match=code.name):
            extensions.check(message, ())


@pytest.mark.parametrize("code", [*GREASE, 0x1234])
def test_unknown_extensions(code: int) -> None:
    extensions = of((code, b"\0\1\2"))
    for message in (CH, CR, NST):
        extensions.check(message)  # ignored where nothing was asked
    for message in (SH, HRR, EE, CT):
        extensions.check(message, {code})  # somebody else knows what was asked
        with pytest.raises(UnsupportedExtension):
            extensions.check(message, {0})


def test_what_was_offered_may_be_the_extensions_themselves() -> None:
    hello = of((ExtensionType.server_name, b""))
    of((ExtensionType.server_name, b"")).check(EE, hello)
    with pytest.raises(UnsupportedExtension):
        of((ExtensionType.early_data, b"")).check(EE, hello)


def test_pre_shared_key_is_last_in_a_client_hello_and_anywhere_in_a_server_hello() -> None:
    versions = ExtensionType.supported_versions
    psk = ExtensionType.pre_shared_key
    of((versions, sample(versions, CH)), (psk, sample(psk, CH))).check(CH)
    for behind in ((versions, sample(versions, CH)), (0x0A0A, b"")):
        with pytest.raises(IllegalParameter, match="not last"):
            of((psk, sample(psk, CH)), behind).check(CH)
    of((psk, sample(psk, SH)), (versions, sample(versions, SH))).check(SH)


ANY_BYTES_WILL_DO = (x.PADDING, x.SESSION_TICKET, x.QUIC_TRANSPORT_PARAMETERS)


@pytest.mark.parametrize("row", [row for row in x.TABLE if row not in ANY_BYTES_WILL_DO], ids=name)
def test_a_malformed_extension_fails_though_nobody_asks_for_it(row: Extension[Any]) -> None:
    for message in row.messages:
        with pytest.raises(DecodeError, match=row.code.name):
            of((row.code, b"\1\xff\xff\xff\xff")).check(message)


@pytest.mark.parametrize("message", IN.values(), ids=lambda message: message.name)
@given(data=st.data())
def test_what_may_stand_somewhere_passes_and_comes_back(message: HandshakeType, data: st.DataObject) -> None:
    sent = data.draw(extensions_in(message))
    received = Extensions.decode(sent.encode())
    received.check(message, sent)
    assert received == sent
    assert received.codes == sent.codes
    assert received.encode() == sent.encode()
    for row in x.TABLE:
        if message in row.messages:
            assert received.get(row) == sent.get(row)


# --- the container -------------------------------------------------------------------------------------------------


def test_the_field() -> None:
    extensions = of((0, b"ab"), (0xFFFF, b""))
    assert extensions.encode().hex() == "000a" + "00000002" + "6162" + "ffff0000"
    assert Extensions.decode(extensions.encode()) == extensions
    assert Extensions().encode() == b"\0\0"
    assert len(Extensions.decode(b"\0\0")) == 0


def test_every_truncation_of_the_field_fails() -> None:
    data = of((0, b"ab"), (0xFFFF, b""), (7, b"xyz")).encode()
    for length in range(len(data)):
        with pytest.raises(DecodeError):
            Extensions.decode(data[:length])
        if length > 2:  # whole outside, cut inside
            body = data[2:length]
            if length not in (2 + 6, 2 + 6 + 4):  # the borders between extensions
                with pytest.raises(DecodeError):
                    Extensions.decode(len(body).to_bytes(2, "big") + body)
    with pytest.raises(DecodeError):
        Extensions.decode(data + b"\0")


@pytest.mark.parametrize("code", [ExtensionType.server_name, 0x0A0A, 0xFFFF])
def test_an_extension_twice(code: int) -> None:
    one = code.to_bytes(2, "big") + b"\0\0"
    with pytest.raises(IllegalParameter, match="twice"):
        Extensions.decode(b"\0\x0c" + one + b"\x12\x34\0\0" + one)


def test_a_field_too_long_is_not_written() -> None:
    with pytest.raises(ValueError):
        of((1, bytes(65000)), (2, bytes(1000))).encode()


def test_get_and_put() -> None:
    extensions = Extensions()
    assert extensions.get(x.COOKIE) is None
    extensions.put(x.COOKIE, b"old")
    extensions.put(x.EARLY_DATA, True)
    assert extensions.get(x.COOKIE) == b"old"
    extensions.put(x.COOKIE, b"new")
    assert extensions.get(x.COOKIE) == b"new"
    assert extensions.codes == (ExtensionType.cookie, ExtensionType.early_data)  # in its old place
    assert extensions.get_data(ExtensionType.cookie) == b"\0\3new"
    assert ExtensionType.cookie in extensions
    extensions.remove(ExtensionType.cookie)
    extensions.remove(ExtensionType.cookie)
    assert extensions.get(x.COOKIE) is None
    assert extensions.get_data(ExtensionType.cookie) is None
    assert extensions.codes == (ExtensionType.early_data,)


def test_a_replaced_value_is_not_remembered() -> None:
    extensions = Extensions()
    extensions.put(x.KEY_SHARE_RETRY, 23)
    extensions.put_data(ExtensionType.key_share, b"\0\x1d\0\1\0")
    assert extensions.get(x.KEY_SHARE_SERVER) == x.KeyShareEntry(NamedGroup.x25519, b"\0")
    with pytest.raises(DecodeError):
        extensions.get(x.KEY_SHARE_RETRY)


def test_a_value_is_decoded_once() -> None:
    extensions = of((ExtensionType.key_share, sample(ExtensionType.key_share, SH)))
    assert extensions.get(x.KEY_SHARE_SERVER) is extensions.get(x.KEY_SHARE_SERVER)


def test_a_copy_is_independent() -> None:
    extensions = Extensions()
    extensions.put(x.COOKIE, b"a")
    copy = extensions.copy()
    assert copy == extensions
    copy.put(x.COOKIE, b"b")
    copy.put(x.EARLY_DATA, True)
    assert extensions.get(x.COOKIE) == b"a"
    assert extensions.codes == (ExtensionType.cookie,)


def test_order_counts() -> None:
    assert of((1, b""), (2, b"")) != of((2, b""), (1, b""))
    assert Extensions() != object()


def test_a_row_and_a_block_say_what_they_are() -> None:
    assert repr(x.KEY_SHARE_RETRY) == "<Extension key_share in hello_retry_request>"
    assert repr(of((0, b""), (0x0A0A, b""))) == "<Extensions server_name extension 0x0a0a>"
