"""The sample packets of RFC 9001 appendix A and RFC 9369 appendix A, sealed and opened byte for byte."""

from __future__ import annotations

import pytest

from caesura.crypto.quic import initial_secrets, packet_protection
from caesura.crypto.secrets import TrafficSecret
from caesura.crypto.suites import SUITES
from caesura.quic import packets
from caesura.quic.key_update import KeyPhases
from caesura.quic.levels import INITIAL
from caesura.quic.protection import ReadKey, WriteKey
from caesura.quic.versions import RETRY, VERSIONS
from caesura.wire.registries import CipherSuite
from tests.vectors import rfc9001
from tests.vectors.rfc9001 import VERSION1, VERSION2, Sample

CLIENT_FRAMES = rfc9001.CLIENT_PAYLOAD.ljust(rfc9001.CLIENT_PAYLOAD_LENGTH, b"\0")
SERVER_ID = bytes.fromhex("f067a5502a4262b5")

both = pytest.mark.parametrize("sample", [VERSION1, VERSION2], ids=["version 1", "version 2"])


def short_secret(sample: Sample, value: bytes = rfc9001.SECRET) -> TrafficSecret:
    return TrafficSecret(value, SUITES[CipherSuite.TLS_CHACHA20_POLY1305_SHA256])


@both
def test_initial_secrets(sample: Sample) -> None:
    salt = VERSIONS[sample.version].initial_salt
    client, server = initial_secrets(salt, rfc9001.CONNECTION_ID)
    assert (client.reveal(), server.reveal()) == (sample.client_secret, sample.server_secret)


@both
@pytest.mark.parametrize("side", ["client", "server"])
def test_initial_packets(sample: Sample, side: str) -> None:
    parameters = VERSIONS[sample.version]
    client, server = initial_secrets(parameters.initial_salt, rfc9001.CONNECTION_ID)
    if side == "client":
        secret, header, packet, number, length = client, sample.client_header, sample.client_packet, 2, 4
        frames, ids = CLIENT_FRAMES, (rfc9001.CONNECTION_ID, b"")
    else:
        secret, header, packet, number, length = server, sample.server_header, sample.server_packet, 1, 2
        frames, ids = rfc9001.SERVER_PAYLOAD, (b"", SERVER_ID)
    sealed = WriteKey(secret, parameters.label).seal(header[0], header[1:-length], number, frames)
    assert sealed == packet
    found = packets.read_long(packet, 0)
    assert found is not None
    assert (found.parameters, found.kind, found.token) == (parameters, INITIAL, b"")
    assert (found.destination, found.source) == ids
    assert (found.start, found.number_at, found.stop) == (0, len(header) - length, len(packet))
    opened = ReadKey(secret, parameters.label).open_untrusted(packet, 0, found.number_at, found.stop, -1)
    assert opened == (number, frames)
    prefix = packets.long_header(parameters, INITIAL, *ids, b"")
    assert prefix[0] | length - 1 == header[0]
    assert header[1:].startswith(prefix[1:])


@both
def test_retry(sample: Sample) -> None:
    parameters = VERSIONS[sample.version]
    made = packets.encode_retry(parameters, b"", SERVER_ID, rfc9001.CONNECTION_ID, b"token", sample.retry[0])
    assert made == sample.retry
    found = packets.read_long(sample.retry, 0)
    assert found is not None
    assert (found.kind, found.token, found.source) == (RETRY, b"token", SERVER_ID)
    assert packets.retry_is_genuine(found, sample.retry, rfc9001.CONNECTION_ID)
    assert not packets.retry_is_genuine(found, sample.retry, b"another")
    for at in range(len(sample.retry)):
        changed = bytearray(sample.retry)
        changed[at] ^= 1
        other = packets.read_long(bytes(changed), 0)
        assert other is None or not packets.retry_is_genuine(other, bytes(changed), rfc9001.CONNECTION_ID)


@both
def test_a_short_header_with_chacha20(sample: Sample) -> None:
    label, header = VERSIONS[sample.version].label, rfc9001.SHORT_HEADER
    key = WriteKey(short_secret(sample), label)
    sealed = key.seal(header[0], b"", rfc9001.SHORT_NUMBER, rfc9001.SHORT_PAYLOAD)
    assert sealed == sample.short_packet
    phases = KeyPhases(key, short_secret(sample), label, lambda: 1.0)
    opened = phases.open_untrusted(sealed, 1, rfc9001.SHORT_NUMBER - 1, 0.0)
    assert opened == (rfc9001.SHORT_NUMBER, rfc9001.SHORT_PAYLOAD)


@both
def test_the_secret_after_a_key_update(sample: Sample) -> None:
    label = VERSIONS[sample.version].label
    updated = packet_protection(short_secret(sample), label)[0].next_phase()
    expected, _ = packet_protection(short_secret(sample, sample.updated_secret), label)
    assert updated.iv == expected.iv
    assert updated.encrypt(bytes(12), b"data", b"header") == expected.encrypt(bytes(12), b"data", b"header")
