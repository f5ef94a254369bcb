"""Many threads, each with streams of its own, over one assisted connection: nobody waits in vain or for another."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import caesura
from caesura import PollEvent, assist
from caesura.bio import DatagramBIO
from caesura.sslobject.quic import QUICSSL
from caesura.sslobject.quic_stream import QUICStream
from tests.contract.test_quic_assist import ASSISTED, ValidClock
from tests.support import ssl_pair
from tests.support.quic_ssl import settings
from tests.support.ssl_pair import StoppedClock
from tests.support.udp import datagram_sockets, everything

THREADS, STREAMS = 6, 10


class Threads:
    """Threads whose failures are the test's."""

    def __init__(self) -> None:
        self.failures: list[BaseException] = []
        self.all: list[threading.Thread] = []

    def start(self, function: Callable[..., object], *args: Any) -> None:
        def run() -> None:
            try:
                function(*args)
            except BaseException as error:  # noqa: BLE001 - raised below
                self.failures.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.all.append(thread)

    def join(self) -> None:
        while self.all:
            thread = self.all.pop()
            thread.join(60)
            assert not thread.is_alive(), "somebody waits for ever"
        if self.failures:
            raise self.failures[0]


@pytest.mark.parametrize("both", [False, True])
def test_many_threads(both: bool) -> None:
    with closing_all(*datagram_sockets()) as sockets:
        talk(sockets, both=both)


@contextmanager
def closing_all(*sockets: socket.socket) -> Iterator[tuple[socket.socket, ...]]:
    try:
        yield sockets
    finally:
        for each in sockets:
            each.close()


def talk(sockets: tuple[socket.socket, ...], *, both: bool) -> None:
    common = {**settings(StoppedClock()), "clock": ValidClock()}
    client = ssl_pair.client(DatagramBIO(sockets[0]), **{**common, "quic": ASSISTED})
    server = ssl_pair.server(DatagramBIO(sockets[1]), **{**common, "quic": ASSISTED if both else {}})
    assert isinstance(client, QUICSSL)
    assert isinstance(server, QUICSSL)
    threads, opening = Threads(), threading.Lock()
    threads.start(server.do_handshake)
    client.do_handshake()
    threads.join()

    def answer(stream: QUICStream) -> None:
        stream.write(everything(stream)[::-1], conclude=True)

    def accept() -> None:
        while (stream := server.accept_stream()) is not None:  # and what was written moves while this waits
            threads.start(answer, stream)

    def ask(number: int) -> None:
        dice = random.Random(number)
        for _ in range(STREAMS):
            with opening:
                stream = client.new_stream()
            assert stream is not None
            data = dice.randbytes(dice.choice([1, 1000, 20_000, 100_000]))
            stream.write(data, conclude=True)
            if dice.random() < 0.5:
                assert caesura.poll([(stream, PollEvent.RE)], 60) == [PollEvent.R]
            assert everything(stream) == data[::-1]

    accepting = Threads()
    accepting.start(accept)
    for number in range(THREADS):
        threads.start(ask, number)
    threads.join()
    client.shutdown(rapid=True)
    accepting.join()
    server.close()
    client.close()
    thread = assist._assist.thread
    if thread is not None:
        thread.join(20)
        assert not thread.is_alive()
