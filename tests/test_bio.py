"""BIOs: one convention for "nothing now", "full now" and "the end", held by every kind, `ssl.MemoryBIO` included."""

from __future__ import annotations

import errno
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caesura.bio import (
    PAIR_SIZE,
    DatagramBIO,
    MemoryBIO,
    SocketBIO,
    bio_pair,
    borrow_socket,
    datagram_pair,
)
from caesura.errors import ConfigError, UsageError


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


class TestMemoryBIO:
    @pytest.mark.parametrize("kind", [MemoryBIO, ssl.MemoryBIO])
    def test_nothing_now_is_not_the_end(self, kind: Callable[[], MemoryBIO]) -> None:
        bio = kind()
        assert (bio.read(10), bio.eof, bio.pending) == (b"", False, 0)
        bio.write(b"ab")
        bio.write_eof()
        assert (bio.eof, bio.pending) == (False, 2)
        assert (bio.read(10), bio.eof) == (b"ab", True)
        assert bio.read() == b""
        with pytest.raises(ssl.SSLError):
            bio.write(b"c")

    @given(st.lists(st.one_of(st.binary(max_size=20), st.integers(-1, 30)), max_size=40))
    def test_it_does_what_the_standard_library_does(self, steps: list[bytes | int]) -> None:
        ours, theirs = MemoryBIO(), ssl.MemoryBIO()
        for step in steps:
            if isinstance(step, bytes):
                assert ours.write(step) == theirs.write(step)
            else:
                assert ours.read(step) == theirs.read(step)
            assert ours.pending == theirs.pending

    def test_later_changes_to_what_was_written_do_not_reach_it(self) -> None:
        bio = MemoryBIO()
        source = bytearray(b"before")
        bio.write(source)
        bio.write(memoryview(source))
        source[:] = b"after!"
        assert bio.read() == b"beforebefore"

    def test_a_piece_passes_through_without_a_copy(self) -> None:
        bio = MemoryBIO()
        piece = bytes(16_406)
        bio.write(piece)
        assert bio.read(16_645) is piece

    def test_writing_after_the_end_is_a_mistake_that_is_named(self) -> None:
        bio = MemoryBIO()
        bio.write_eof()
        with pytest.raises(UsageError, match="write_eof"):
            bio.write(b"x")


class TestPair:
    def test_a_half_reads_what_the_other_wrote(self) -> None:
        one, two = bio_pair()
        assert one.write(b"forth") == 5
        assert two.write(b"back") == 4
        assert (two.pending, one.wpending) == (5, 5)
        assert two.read(2) == b"fo"
        assert two.read() == b"rth"
        assert one.read(100) == b"back"

    def test_a_write_takes_what_fits(self) -> None:
        one, two = bio_pair(4, 0)
        assert one.write(b"abcdef") == 4
        assert one.write(b"ef") == 0
        assert two.read(3) == b"abc"
        assert one.get_write_guarantee() == 3
        assert one.write(b"ef") == 2
        assert two.read() == b"def"
        assert two.get_write_guarantee() == PAIR_SIZE

    def test_reset_drops_only_ones_own_outgoing_bytes(self) -> None:
        one, two = bio_pair()
        one.write(b"mine")
        two.write(b"theirs")
        one.reset()
        assert two.read() == b""
        assert one.read() == b"theirs"

    def test_after_write_eof_the_reader_drains_and_then_sees_the_end(self) -> None:
        one, two = bio_pair()
        one.write(b"last")
        one.write_eof()
        assert one.get_write_guarantee() == 0
        with pytest.raises(BrokenPipeError, match="shut down"):
            one.write(b"more")
        assert not two.eof
        assert two.read() == b"last"
        assert two.eof
        two.write(b"the other direction lives")
        assert one.read() == b"the other direction lives"

    def test_closing_a_half_breaks_the_pair(self) -> None:
        one, two = bio_pair()
        one.write(b"unread")
        one.close()
        assert (two.read(), two.eof, two.pending) == (b"", True, 0)
        with pytest.raises(BrokenPipeError, match="broken"):
            two.write(b"x")
        with pytest.raises(BrokenPipeError, match="broken"):
            one.write(b"x")

    def test_read_request(self) -> None:
        one, two = bio_pair(100, 100)
        assert one.get_read_request() == 0
        two.read(7)
        assert one.get_read_request() == 7
        two.read(1000)
        assert one.get_read_request() == 100
        two.read()
        assert one.get_read_request() == 100
        one.reset_read_request()
        assert one.get_read_request() == 0
        two.read(7)
        one.write(b"abc")
        assert one.get_read_request() == 0
        two.read(2)
        assert one.get_read_request() == 0

    def test_a_size_below_nothing_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="size"):
            bio_pair(-1)

    @given(st.lists(st.binary(max_size=30), max_size=30), st.integers(1, 20), st.integers(1, 20))
    def test_bytes_come_out_as_they_went_in(self, pieces: list[bytes], size: int, step: int) -> None:
        one, two = bio_pair(size)
        received = bytearray()
        for piece in pieces:
            rest = piece
            while rest:
                rest = rest[one.write(rest) :]
                assert one.wpending <= size
                received += two.read(step)
        received += two.read()
        assert received == b"".join(pieces)


class TestSocketBIO:
    def test_a_socket_that_would_block_has_nothing_now(self, sockets: tuple[socket.socket, socket.socket]) -> None:
        ours, theirs = sockets
        bio = SocketBIO(ours)
        assert (bio.read(10), bio.eof) == (b"", False)
        theirs.sendall(b"abc")
        assert bio.read(2) == b"ab"
        assert bio.read(0) == b""
        assert not bio.eof
        assert bio.read() == b"c"
        theirs.close()
        assert (bio.read(10), bio.eof) == (b"", True)

    def test_a_full_socket_takes_a_part(self, sockets: tuple[socket.socket, socket.socket]) -> None:
        ours, theirs = sockets
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        bio = SocketBIO(ours)
        data = bytes(range(256)) * 8192
        taken = bio.write(data)
        assert 0 < taken < len(data)
        assert bio.write(data[taken:]) == 0
        received = bytearray()
        while taken < len(data):
            received += theirs.recv(65_536)
            taken += bio.write(data[taken:])
        bio.write_eof()
        while piece := theirs.recv(65_536):
            received += piece
        assert received == data

    def test_a_blocking_socket_takes_everything(self) -> None:
        class Trickle:
            """A blocking socket that takes three bytes at a time and is interrupted in between."""

            def __init__(self) -> None:
                self.sent = bytearray()
                self.interrupt = False

            def send(self, data: memoryview) -> int:
                self.interrupt = not self.interrupt
                if self.interrupt:
                    raise InterruptedError
                self.sent += data[:3]
                return len(data[:3])

        sock = Trickle()
        assert SocketBIO(sock).write(b"0123456789") == 10  # type: ignore[arg-type]
        assert sock.sent == b"0123456789"

    def test_an_interrupted_read_is_repeated(self) -> None:
        class Interrupted:
            calls = 0

            def recv(self, size: int) -> bytes:
                self.calls += 1
                if self.calls == 1:
                    raise InterruptedError
                return b"data"

        assert SocketBIO(Interrupted()).read(4) == b"data"  # type: ignore[arg-type]

    def test_what_was_sent_before_a_timeout_counts(self) -> None:
        class Slow:
            calls = 0

            def send(self, data: memoryview) -> int:
                self.calls += 1
                if self.calls != 1:
                    raise TimeoutError
                return 3

        bio = SocketBIO(Slow())  # type: ignore[arg-type]
        assert bio.write(b"abcdef") == 3
        with pytest.raises(TimeoutError):
            bio.write(b"def")

    def test_a_broken_connection_is_the_sockets_own_error(self, sockets: tuple[socket.socket, socket.socket]) -> None:
        ours, theirs = sockets
        theirs.close()
        with pytest.raises(BrokenPipeError):
            SocketBIO(ours).write(b"x")

    def test_a_borrowed_descriptor_stays_open(self, sockets: tuple[socket.socket, socket.socket]) -> None:
        ours, theirs = sockets
        bio = borrow_socket(ours.fileno())
        assert bio.fileno() == ours.fileno()
        bio.write(b"borrowed")
        del bio
        ours.send(b", not taken")
        assert theirs.recv(100) == b"borrowed, not taken"


class TestDatagrams:
    def test_a_datagram_moves_whole(self) -> None:
        one, two = datagram_pair()
        assert one.write(b"first") == 5
        assert one.write(b"second") == 6
        assert two.pending == 5
        assert two.read(3) == b"fir"  # the rest of it is gone, as with a socket
        assert two.read() == b"second"
        assert (two.read(), two.eof) == (b"", False)

    def test_it_is_taken_whole_or_not_at_all(self) -> None:
        one, two = datagram_pair(datagrams=1)
        assert one.write(b"a") == 1
        assert one.write(b"b") == 0
        assert two.read() == b"a"
        assert one.write(b"b") == 1

    def test_the_end(self) -> None:
        one, two = datagram_pair()
        one.write(b"last")
        one.write_eof()
        with pytest.raises(BrokenPipeError):
            one.write(b"more")
        assert not two.eof
        two.read()
        assert two.eof
        assert not one.eof

    def test_an_empty_pair_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="datagrams"):
            datagram_pair(0)

    def test_a_socket_with_an_address_hears_only_that_peer(self) -> None:
        ours, peer, stranger = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3))
        with ours, peer, stranger:
            for sock in (ours, peer, stranger):
                sock.bind(("127.0.0.1", 0))
            ours.setblocking(False)
            bio = DatagramBIO(ours, peer.getsockname())
            assert bio.read(100) == b""
            stranger.sendto(b"forged", ours.getsockname())
            peer.sendto(b"true", ours.getsockname())
            ours.setblocking(True)
            assert bio.read(100) == b"true"
            assert bio.write(b"answer") == 6
            assert peer.recv(100) == b"answer"
            assert not bio.eof

    def test_strangers_do_not_keep_a_read(self) -> None:
        """One that must not wait passes over so many of their datagrams; the next one goes on."""
        ours, peer, stranger = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3))
        with ours, peer, stranger:
            for sock in (ours, peer, stranger):
                sock.bind(("127.0.0.1", 0))
            ours.setblocking(False)
            for _ in range(100):
                stranger.sendto(b"", ours.getsockname())
            peer.sendto(b"true", ours.getsockname())
            bio = DatagramBIO(ours, peer.getsockname())
            assert bio.read(100) == b""
            assert bio.read(100) == b"true"

    def test_a_refused_datagram_ends_nothing(self) -> None:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone,
        ):
            gone.bind(("127.0.0.1", 0))
            ours.connect(gone.getsockname())
            ours.setblocking(False)
            gone.close()
            bio = DatagramBIO(ours)
            for _ in range(3):
                assert bio.write(b"anybody there?") == 14
                assert (bio.read(100), bio.eof) == (b"", False)

    @pytest.mark.parametrize(
        "number", [errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENOPROTOOPT, errno.EACCES]
    )
    def test_what_icmp_says_ends_nothing(self, number: int) -> None:
        with Told(socket.AF_INET, socket.SOCK_DGRAM) as ours, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            for sock in (ours, peer):
                sock.bind(("127.0.0.1", 0))
            ours.setblocking(False)
            bio = DatagramBIO(ours, peer.getsockname())
            ours.errors = [OSError(number, "said of an earlier datagram")]
            assert bio.read() == b""
            assert ours.errors == []
            ours.errors = [OSError(number, "said of an earlier datagram")]
            assert bio.write(b"hello") == 5
            assert peer.recv(100) == b"hello"
            ours.errors = [OSError(number, "of this one")] * 2
            with pytest.raises(OSError, match="of this one"):
                bio.write(b"hello")
            ours.errors = [OSError(number, "again and again")] * 1000
            with pytest.raises(OSError, match="again and again"):
                bio.read()

    def test_what_a_socket_says_of_itself_is_raised(self) -> None:
        with Told(socket.AF_INET, socket.SOCK_DGRAM) as ours:
            ours.setblocking(False)
            bio = DatagramBIO(ours, ("127.0.0.1", 1))
            for call in (bio.read, lambda: bio.write(b"x")):
                ours.errors = [OSError(errno.EBADF, "no socket")]
                with pytest.raises(OSError, match="no socket"):
                    call()


class Told(socket.socket):
    """A socket that is told of errors, as by ICMP."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.errors: list[OSError] = []

    def recvfrom(self, *arguments: Any) -> Any:
        if self.errors:
            raise self.errors.pop()
        return super().recvfrom(*arguments)

    def sendto(self, *arguments: Any) -> Any:
        if self.errors:
            raise self.errors.pop()
        return super().sendto(*arguments)


@pytest.mark.skipif(sys.platform != "linux", reason="where the system tells of marks")
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_marks_of_ecn(family: socket.AddressFamily) -> None:
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    with socket.socket(family, socket.SOCK_DGRAM) as one, socket.socket(family, socket.SOCK_DGRAM) as two:
        for each in (one, two):
            try:
                each.bind((host, 0))
            except OSError:
                pytest.skip("no such addresses here")
        two.setblocking(False)
        here, there = DatagramBIO(one, two.getsockname()), DatagramBIO(two)
        here.set_ecn(2)
        here.write(b"nobody asks")
        assert there.read_from()[0] == b"nobody asks"
        assert there.received_ecn == 0
        there.tell_ecn()
        for ecn in (2, 3, 3, 0, 1):
            here.set_ecn(ecn)
            here.write(b"x")
            assert there.read() == b"x"
            assert there.received_ecn == ecn
        assert there.read() == b""
