"""Contract F19: any single record lost, doubled, or overtaken, in every shape of a handshake: it still completes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.dtls.shapes import SHAPES, Shape
from tests.support.datagram_link import DatagramLink, Network, received

MOST = 60  # records: more than any of these handshakes has without a fault


def split(datagram: bytes, id_length: int) -> list[bytes]:
    """The records in a datagram of ours."""
    records, pos = [], 0
    while pos < len(datagram):
        if datagram[pos] & 0xE0 == 0x20:
            length_at = pos + 3 + (id_length if datagram[pos] & 0x10 else 0)
        else:
            length_at = pos + 11 + (id_length if datagram[pos] == 25 else 0)
        stop = length_at + 2 + int.from_bytes(datagram[length_at : length_at + 2], "big")
        records.append(datagram[pos:stop])
        pos = stop
    return records


Fault = Callable[[list[bytes], int], list[tuple[float, bytes]]]


def lost(records: list[bytes], at: int) -> list[tuple[float, bytes]]:
    return [(0.0, b"".join(records[:at] + records[at + 1 :]))]


def doubled(records: list[bytes], at: int) -> list[tuple[float, bytes]]:
    return [(0.0, b"".join(records[: at + 1] + records[at:]))]


def doubled_later(records: list[bytes], at: int) -> list[tuple[float, bytes]]:
    return [(0.0, b"".join(records)), (0.5, records[at])]


def swapped(records: list[bytes], at: int) -> list[tuple[float, bytes]]:
    other = (at + 1) % len(records)
    records = list(records)
    records[at], records[other] = records[other], records[at]
    return [(0.0, b"".join(records))]


def overtaken(records: list[bytes], at: int) -> list[tuple[float, bytes]]:
    return [*lost(records, at), (0.025, records[at])]


def very_late(records: list[bytes], at: int) -> list[tuple[float, bytes]]:
    return [*lost(records, at), (1.7, records[at])]


FAULTS: tuple[Fault, ...] = (lost, doubled, doubled_later, swapped, overtaken, very_late)


@dataclass
class OneFault(Network):
    """A network that does something to one record."""

    target: int = -1
    fault: Fault = lost
    records: int = 0
    id_lengths: tuple[int, int] = (0, 0)

    def carry(self, number: int, to_server: bool, datagram: bytes) -> list[tuple[float, bytes]]:
        records = split(datagram, self.id_lengths[to_server])
        first, self.records = self.records, self.records + len(records)
        if not first <= self.target < self.records:
            return [(self.delay, datagram)]
        return [(self.delay + late, data) for late, data in self.fault(records, self.target - first) if data]


def made(shape: Shape, network: OneFault) -> DatagramLink:
    if shape.__name__.startswith("connection_ids"):
        network.id_lengths = (4, 7)
    return shape(network)


def completes(link: DatagramLink) -> None:
    """Both sides are done, quiet, and can talk."""
    link.start().run()
    for side in (link.client, link.server):
        assert side.error is None
        assert side.handshake_complete
        assert side.timeout() is None
    link.client.write(b"from the client")
    link.server.write(b"from the server")
    link.run()
    assert received(link.client_events) == [b"from the server"]
    assert received(link.server_events) == [b"from the client"]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_any_single_record(shape: Shape, fault: Fault) -> None:
    clean = OneFault()
    completes(made(shape, clean))
    assert 3 < clean.records - 2 < MOST
    for target in range(clean.records - 2):  # the last two are the data
        completes(made(shape, OneFault(target=target, fault=fault)))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_all_of_it_one_record_at_a_time(shape: Shape) -> None:
    """Every record in a datagram of its own, each time in the opposite order."""

    @dataclass
    class Backwards(OneFault):
        def carry(self, number: int, to_server: bool, datagram: bytes) -> list[tuple[float, bytes]]:
            records = split(datagram, self.id_lengths[to_server])
            return [(self.delay + 0.001 * late, record) for late, record in enumerate(reversed(records))]

    completes(made(shape, Backwards()))
