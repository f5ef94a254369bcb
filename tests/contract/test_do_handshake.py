"""Contract E: SSL_do_handshake(3), SSL_read(3), SSL_write(3), SSL_shutdown(3), SSL_get_error(3) and BIO_s_bio(3).

Through the pages' own names. Where OpenSSL does otherwise the test says what it does.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from caesura import openssl as o
from caesura.bio import BIO, MemoryBIO, PairBIO, bio_pair
from caesura.errors import AlertDescription, CertificateVerifyError, PeerAlert, UsageError
from caesura.sslobject import SSL
from caesura.wire.data import Data
from tests.support.pki import pki
from tests.support.ssl_pair import (
    client,
    client_context,
    connected,
    handshake,
    pair,
    reason,
    server,
    server_context,
    wants,
)

CLOSE_NOTIFY = bytes.fromhex("15 0303 0002 01 00")


def over_memory(make: Callable[..., SSL] = client) -> tuple[SSL, MemoryBIO, MemoryBIO]:
    """An SSL with what it reads and what it has written."""
    incoming, outgoing = MemoryBIO(), MemoryBIO()
    return make(incoming, outgoing), incoming, outgoing


class Untouchable:
    """A BIO that fails the test when it is used."""

    pending = 0
    eof = False

    def read(self, size: int = -1, /) -> bytes:
        raise AssertionError("read")

    def write(self, data: Data, /) -> int:
        raise AssertionError("write")

    def write_eof(self) -> None:
        raise AssertionError("write_eof")


class Broken(Untouchable):
    """A BIO whose transport fails."""

    def read(self, size: int = -1, /) -> bytes:
        raise ConnectionResetError("the peer is gone")

    def write(self, data: Data, /) -> int:
        return len(data)


class Reluctant:
    """Gives and takes one byte, and nothing at all every other time."""

    def __init__(self, inner: BIO) -> None:
        self.inner = inner
        self.calls = 0

    @property
    def eof(self) -> bool:
        return self.inner.eof

    @property
    def pending(self) -> int:
        return self.inner.pending

    def _refuses(self) -> bool:
        self.calls += 1
        return bool(self.calls % 2)

    def read(self, size: int = -1, /) -> bytes:
        return b"" if self._refuses() else self.inner.read(1)

    def write(self, data: Data, /) -> int:
        return 0 if self._refuses() else self.inner.write(data[:1])

    def write_eof(self) -> None:
        self.inner.write_eof()


class TestHandshake:
    def test_E1_without_a_role_the_call_says_so(self) -> None:
        ssl = o.SSL_new(client_context())
        o.SSL_set_bio(ssl, *bio_pair())
        assert o.SSL_do_handshake(ssl) == -1
        assert o.SSL_get_error(ssl, -1) == o.SSL_ERROR_SSL
        assert "connection type not set" in reason(ssl)
        for call in (lambda: o.SSL_read(ssl, 1)[0], lambda: o.SSL_write(ssl, b"x"), lambda: o.SSL_shutdown(ssl)):
            assert wants(ssl, call()) == o.SSL_ERROR_SSL
            assert "uninitialized" in reason(ssl)

    @pytest.mark.parametrize("make", [client, server])
    def test_E2_without_a_bio_the_call_names_what_is_missing(self, make: Callable[..., SSL]) -> None:
        """OpenSSL says SYSCALL with nothing on the queue to a client, "record layer failure" to a server."""
        ssl = make()
        assert wants(ssl, o.SSL_do_handshake(ssl)) == o.SSL_ERROR_SSL
        assert isinstance(o.SSL_get_last_error(ssl), UsageError)
        assert "no read BIO" in reason(ssl)
        half, _ = bio_pair()
        o.SSL_set_bio(ssl, half, half)
        assert wants(ssl, o.SSL_do_handshake(ssl)) in (o.SSL_ERROR_WANT_READ, o.SSL_ERROR_WANT_WRITE)

    def test_E3_connect_and_accept_set_the_role_when_it_is_unset(self) -> None:
        one, two = o.SSL_new(client_context()), o.SSL_new(server_context())
        o.SSL_set1_host(one, "localhost")
        for ssl, half in zip((one, two), bio_pair(), strict=True):
            o.SSL_set_bio(ssl, half, half)
        assert wants(one, o.SSL_connect(one)) == o.SSL_ERROR_WANT_READ
        assert wants(two, o.SSL_accept(two)) == o.SSL_ERROR_WANT_READ
        assert (o.SSL_connect(one), o.SSL_accept(two)) == (1, 1)
        assert (o.SSL_is_server(one), o.SSL_is_server(two)) == (0, 1)

    def test_E3_setting_the_state_starts_over(self) -> None:
        one, two = connected()
        o.SSL_shutdown(one)
        o.SSL_read(two, 1)
        assert (o.SSL_get_shutdown(one), o.SSL_get_shutdown(two)) == (o.SSL_SENT_SHUTDOWN, o.SSL_RECEIVED_SHUTDOWN)
        assert o.SSL_set_connect_state(one) is None  # type: ignore[func-returns-value]
        assert o.SSL_set_accept_state(two) is None  # type: ignore[func-returns-value]
        assert (o.SSL_get_shutdown(one), o.SSL_get_shutdown(two)) == (0, 0)
        assert o.SSL_in_init(one) == o.SSL_in_init(two) == 1
        handshake(one, two)
        assert o.SSL_write(one, b"again") == 5
        assert o.SSL_read(two, 10) == (5, b"again")

    def test_E3_the_role_may_change(self) -> None:
        one, two = pair(
            client_settings={"identity": server_context().identity}, server_settings={"verify": o.Verify.NONE}
        )
        o.SSL_do_handshake(one)
        o.SSL_set_accept_state(one)
        o.SSL_set_connect_state(two)
        half, other = bio_pair()
        o.SSL_set_bio(one, half, half)
        o.SSL_set_bio(two, other, other)
        handshake(one, two)

    def test_E4_repeating_without_progress_changes_nothing(self) -> None:
        one, incoming, outgoing = over_memory()
        assert wants(one, o.SSL_do_handshake(one)) == o.SSL_ERROR_WANT_READ
        written = outgoing.pending
        for _ in range(3):
            assert wants(one, o.SSL_do_handshake(one)) == o.SSL_ERROR_WANT_READ
        assert outgoing.pending == written > 0
        two = server(outgoing, incoming)
        handshake(one, two)

    def test_E4_a_full_transport_is_want_write(self) -> None:
        half, other = bio_pair(10)
        one = client(half)
        for _ in range(3):
            assert wants(one, o.SSL_do_handshake(one)) == o.SSL_ERROR_WANT_WRITE
        assert other.pending == 10
        other.read()
        assert wants(one, o.SSL_do_handshake(one)) == o.SSL_ERROR_WANT_WRITE
        assert other.pending == 10

    def test_E5_output_goes_out_before_a_call_waits_for_input(self) -> None:
        half, other = bio_pair()
        one = client(half)
        assert wants(one, o.SSL_do_handshake(one)) == o.SSL_ERROR_WANT_READ
        assert other.pending > 0

    @pytest.mark.parametrize("size", [1, 7, 100, 1000])
    def test_E5_pairs_of_any_size_do_not_deadlock(self, size: int) -> None:
        one, two = pair(size=size)
        handshake(one, two)

    def test_E6_on_blocking_transports_a_call_returns_when_it_is_done(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            one, two = client(), server()
            assert o.SSL_set_fd(one, ours.fileno()) == o.SSL_set_fd(two, theirs.fileno()) == 1
            results: list[object] = []

            def serve() -> None:
                results.append(o.SSL_accept(two))
                results.append(o.SSL_read(two, 100))
                results.append(o.SSL_write(two, b"answer"))

            thread = threading.Thread(target=serve)
            thread.start()
            assert o.SSL_connect(one) == 1
            assert o.SSL_write(one, b"question") == 8
            assert o.SSL_read(one, 100) == (6, b"answer")
            thread.join()
            assert results == [1, (8, b"question"), 6]

    def test_E7_a_finished_handshake_is_finished(self) -> None:
        one, two = connected()
        for ssl in (one, two):
            o.SSL_set_bio(ssl, Untouchable(), Untouchable())
            assert o.SSL_do_handshake(ssl) == 1
            assert o.SSL_is_init_finished(ssl) == 1

    def test_E8_zero_is_a_controlled_shutdown(self) -> None:
        one, incoming, _ = over_memory()
        o.SSL_do_handshake(one)
        incoming.write(CLOSE_NOTIFY)
        assert o.SSL_do_handshake(one) == 0
        assert o.SSL_get_error(one, 0) == o.SSL_ERROR_ZERO_RETURN

    def test_E8_below_zero_is_a_failure_or_a_retry(self) -> None:
        one, incoming, _ = over_memory()
        assert o.SSL_do_handshake(one) == -1
        assert o.SSL_get_error(one, -1) == o.SSL_ERROR_WANT_READ
        incoming.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert o.SSL_do_handshake(one) == -1
        assert o.SSL_get_error(one, -1) == o.SSL_ERROR_SSL

    def test_E9_after_a_fatal_failure_every_call_fails_at_once(self) -> None:
        two, incoming, _ = over_memory(server)
        incoming.write(b"GET / HTTP/1.1\r\n\r\n")
        assert wants(two, o.SSL_do_handshake(two)) == o.SSL_ERROR_SSL
        first = o.SSL_get_last_error(two)
        o.SSL_set_bio(two, Untouchable(), Untouchable())
        for call in (
            lambda: o.SSL_do_handshake(two),
            lambda: o.SSL_read(two, 1)[0],
            lambda: o.SSL_write(two, b"x"),
            lambda: o.SSL_shutdown(two),
        ):
            assert call() == -1
            assert o.SSL_get_error(two, -1) == o.SSL_ERROR_SSL
            assert o.SSL_get_last_error(two) is first
        assert o.SSL_handle_events(two) == 1

    @pytest.mark.parametrize(
        ("settings", "name", "alert"),
        [
            ({}, "elsewhere.test", AlertDescription.bad_certificate),
            ({"trust": None}, "localhost", AlertDescription.unknown_ca),
        ],
    )
    def test_E10_a_certificate_that_is_refused(
        self, settings: dict[str, Any], name: str, alert: AlertDescription
    ) -> None:
        if "trust" in settings:
            settings = {"trust": o.TrustStore.load(pki().other_root.pem)}
        half, other = bio_pair()
        one, two = client(half, name=name, **settings), server(other)
        o.SSL_do_handshake(one)
        o.SSL_do_handshake(two)
        assert wants(one, o.SSL_do_handshake(one)) == o.SSL_ERROR_SSL
        error = o.SSL_get_last_error(one)
        assert isinstance(error, CertificateVerifyError)
        assert error.description is alert
        assert "certificate verify failed" in reason(one)
        assert o.SSL_get_verify_result(one) == error.verify_code != o.X509_V_OK
        assert wants(two, o.SSL_do_handshake(two)) == o.SSL_ERROR_SSL
        told = o.SSL_get_last_error(two)
        assert isinstance(told, PeerAlert)
        assert told.description is alert
        assert alert.name in reason(two)

    def test_E11_one_byte_at_a_time_over_a_transport_that_refuses_every_other_call(self) -> None:
        half, other = bio_pair()
        one, two = client(Reluctant(half)), server(Reluctant(other))
        handshake(one, two)
        data = bytes(range(256))
        while (ret := o.SSL_write(one, data)) < 0:
            assert o.SSL_get_error(one, ret) == o.SSL_ERROR_WANT_WRITE
        assert ret == 256
        received = b""
        while len(received) < 256:
            ret, piece = o.SSL_read(two, 100)
            assert ret > 0 or o.SSL_get_error(two, ret) == o.SSL_ERROR_WANT_READ
            received += piece
        assert received == data

    def test_E11_handshake_records_of_one_byte(self) -> None:
        one, incoming, outgoing = over_memory()
        to_server = MemoryBIO()
        two = server(to_server, incoming)
        o.SSL_do_handshake(one)
        hello = outgoing.read()
        for byte in hello[5:]:
            to_server.write(bytes((22, 3, 1, 0, 1, byte)))
        o.SSL_set_bio(one, incoming, to_server)
        handshake(one, two)

    def test_E12_read_and_write_perform_the_handshake(self) -> None:
        one, two = pair()
        for _ in range(10):
            ret, data = o.SSL_read(one, 100)
            if data:
                break
            assert wants(one, ret) == o.SSL_ERROR_WANT_READ  # it has written a hello, and then a Finished
            ret = o.SSL_write(two, b"from the server")
            assert ret == 15 or wants(two, ret) == o.SSL_ERROR_WANT_READ
        assert data == b"from the server"
        assert o.SSL_is_init_finished(one) == o.SSL_is_init_finished(two) == 1


class TestGetError:
    def test_E13_what_succeeded_has_no_error(self) -> None:
        one, _, _ = over_memory()
        assert o.SSL_do_handshake(one) == -1
        assert o.SSL_get_error(one, 1) == o.SSL_get_error(one, 100) == o.SSL_ERROR_NONE

    def test_E14_a_recorded_failure_comes_before_all(self) -> None:
        one, two = connected()
        o.SSL_shutdown(two)
        assert wants(one, o.SSL_read(one, 1)[0]) == o.SSL_ERROR_ZERO_RETURN
        o.SSL_shutdown(one)
        assert wants(one, o.SSL_write(one, b"x")) == o.SSL_ERROR_SSL  # although the peer has closed

    def test_E14_a_transport_that_fails_is_the_systems_error(self) -> None:
        one, _ = connected()
        o.SSL_set_bio(one, Broken(), Broken())
        assert wants(one, o.SSL_read(one, 1)[0]) == o.SSL_ERROR_SYSCALL
        assert isinstance(o.SSL_get_last_error(one), ConnectionResetError)

    def test_E14_then_what_the_transport_waits_for(self) -> None:
        half, _ = bio_pair(10)
        one = client(half)
        assert wants(one, o.SSL_do_handshake(one)) == o.SSL_ERROR_WANT_WRITE
        one, _, _ = over_memory()
        assert wants(one, o.SSL_do_handshake(one)) == o.SSL_ERROR_WANT_READ

    def test_E14_then_the_peers_close_and_else_the_system(self) -> None:
        one, two = connected()
        assert o.SSL_get_error(one, 0) == o.SSL_ERROR_SYSCALL
        o.SSL_shutdown(two)
        o.SSL_read(one, 1)
        assert o.SSL_do_handshake(one) == 1
        assert o.SSL_get_error(one, 0) == o.SSL_ERROR_ZERO_RETURN

    def test_E15_an_error_of_another_connection_does_not_show(self) -> None:
        """Up to OpenSSL 3 a stale entry in the thread's queue turned WANT_READ into SSL."""
        waiting, _, _ = over_memory()
        assert o.SSL_do_handshake(waiting) == -1
        failed, incoming, _ = over_memory(server)
        incoming.write(b"GET / HTTP/1.1\r\n\r\n")
        assert wants(failed, o.SSL_do_handshake(failed)) == o.SSL_ERROR_SSL
        assert o.SSL_get_error(waiting, -1) == o.SSL_ERROR_WANT_READ
        assert o.SSL_get_error(failed, -1) == o.SSL_ERROR_SSL

    def test_E15_an_error_does_not_outlive_its_call(self) -> None:
        one, two = connected()
        assert o.SSL_read(one, 1)[0] == -1
        assert o.SSL_write(two, b"x") == 1
        assert o.SSL_read(one, 1) == (1, b"x")
        assert o.SSL_get_last_error(one) is None


class TestData:
    def test_E16_the_end_of_the_transport_without_close_notify_is_an_error(self) -> None:
        one, two = connected()
        o.SSL_write(two, b"cut sh")
        rbio = o.SSL_get_wbio(two)
        assert rbio is not None
        o.BIO_shutdown_wr(rbio)
        assert o.SSL_read(one, 100) == (6, b"cut sh")
        for _ in range(2):
            assert o.SSL_read(one, 100) == (0, b"")
            assert o.SSL_get_error(one, 0) == o.SSL_ERROR_SSL
            assert "EOF" in type(o.SSL_get_last_error(one)).__name__

    def test_E16_so_it_is_in_the_handshake(self) -> None:
        one, incoming, _ = over_memory()
        incoming.write_eof()
        assert wants(one, o.SSL_do_handshake(one)) == o.SSL_ERROR_SSL

    def test_E17_after_close_notify_each_read_says_so(self) -> None:
        one, two = connected()
        o.SSL_write(two, b"last")
        o.SSL_shutdown(two)
        assert o.SSL_read(one, 100) == (4, b"last")
        for _ in range(3):
            assert o.SSL_read(one, 100) == (0, b"")
            assert o.SSL_get_error(one, 0) == o.SSL_ERROR_ZERO_RETURN

    def test_E18_nothing_is_written_after_ones_own_shutdown(self) -> None:
        one, two = connected()
        assert o.SSL_shutdown(one) == 0
        for _ in range(2):
            assert wants(one, o.SSL_write(one, b"late")) == o.SSL_ERROR_SSL
            assert "protocol is shutdown" in reason(one)
        assert wants(two, o.SSL_read(two, 100)[0]) == o.SSL_ERROR_ZERO_RETURN
        assert o.SSL_write(two, b"the other direction is open") == 27
        assert o.SSL_read(one, 100) == (27, b"the other direction is open")

    def test_E19_tickets_alone_give_nothing_to_read(self) -> None:
        one, _ = connected(server_settings={"ticket_count": 2}, client_settings={"sessions": server_context().sessions})
        rbio = o.SSL_get_rbio(one)
        assert isinstance(rbio, PairBIO)
        assert o.BIO_pending(rbio) > 0
        assert o.SSL_get_session(one) is None
        assert wants(one, o.SSL_read(one, 100)[0]) == o.SSL_ERROR_WANT_READ
        assert o.BIO_pending(rbio) == 0
        assert o.SSL_get_session(one) is not None

    def test_E20_a_write_that_waits_is_finished_with_the_same_bytes(self) -> None:
        one, two = pair(size=200)
        handshake(one, two)
        data = bytes(range(256)) * 4
        assert wants(one, o.SSL_write(one, data)) == o.SSL_ERROR_WANT_WRITE
        assert wants(one, o.SSL_write(one, b"other bytes")) == o.SSL_ERROR_SSL
        assert "a write of 1024 bytes is not finished" in reason(one)
        received = b""
        ret = -1
        while ret < 0:
            received += o.SSL_read(two, 2000)[1]
            ret = o.SSL_write(one, bytearray(data))  # the same bytes, though in another place
            assert ret > 0 or o.SSL_get_error(one, ret) == o.SSL_ERROR_WANT_WRITE
        assert ret == len(data)
        assert received + o.SSL_read(two, 2000)[1] == data
        assert o.SSL_write(one, b"next") == 4
        assert o.SSL_read(two, 2000) == (4, b"next")

    def test_E20_what_another_call_has_pushed_out_is_not_sent_twice(self) -> None:
        one, two = pair(size=200)
        handshake(one, two)
        data = bytes(300)
        assert wants(one, o.SSL_write(one, data)) == o.SSL_ERROR_WANT_WRITE
        assert wants(two, o.SSL_read(two, 2000)[0]) == o.SSL_ERROR_WANT_READ
        assert wants(one, o.SSL_read(one, 1)[0]) == o.SSL_ERROR_WANT_READ  # pushes the rest
        assert o.SSL_read(two, 2000) == (300, data)
        assert o.SSL_write(one, data) == 300
        assert wants(two, o.SSL_read(two, 2000)[0]) == o.SSL_ERROR_WANT_READ

    def test_E21_a_session_is_used_once(self) -> None:
        settings = {"server_settings": {"ticket_count": 1}, "client_settings": {"sessions": server_context().sessions}}
        one, two = connected(**settings)
        o.SSL_read(one, 1)
        session = o.SSL_get1_session(one)
        assert session is not None
        assert o.SSL_SESSION_is_resumable(session) == 1
        o.SSL_shutdown(one)
        o.SSL_free(one)
        assert o.SSL_SESSION_is_resumable(session) == 1
        results = []
        for _ in range(2):
            half, other = bio_pair()
            three, four = o.SSL(one.context, half, server_side=False), o.SSL(two.context, other, server_side=True)
            three.context.sessions = None
            o.SSL_set1_host(three, "localhost")
            assert o.SSL_set_session(three, session) == 1
            handshake(three, four)
            results.append(o.SSL_session_reused(three))
            assert o.SSL_SESSION_is_resumable(session) == 0
        assert results == [1, 0]

    def test_E21_a_connection_that_was_not_closed_spoils_its_session(self) -> None:
        one, _ = connected(server_settings={"ticket_count": 1}, client_settings={"sessions": server_context().sessions})
        o.SSL_read(one, 1)
        session = o.SSL_get1_session(one)
        assert session is not None
        o.SSL_free(one)
        assert o.SSL_SESSION_is_resumable(session) == 0


class TestShutdown:
    def test_E22_there_is_no_shutdown_in_a_handshake(self) -> None:
        one, _, _ = over_memory()
        assert wants(one, o.SSL_shutdown(one)) == o.SSL_ERROR_SSL
        assert "shutdown while in init" in reason(one)
        o.SSL_do_handshake(one)
        assert wants(one, o.SSL_shutdown(one)) == o.SSL_ERROR_SSL
        assert "shutdown while in init" in reason(one)

    def test_E23_the_first_call_sends_close_notify(self) -> None:
        one, two = connected()
        assert o.SSL_shutdown(one) == 0
        assert wants(two, o.SSL_read(two, 1)[0]) == o.SSL_ERROR_ZERO_RETURN
        assert o.SSL_shutdown(two) == 1
        assert o.SSL_get_shutdown(two) == o.SSL_SENT_SHUTDOWN | o.SSL_RECEIVED_SHUTDOWN

    def test_E24_the_second_call_waits_for_the_peer(self) -> None:
        one, two = connected()
        assert o.SSL_shutdown(one) == 0
        assert wants(one, o.SSL_shutdown(one)) == o.SSL_ERROR_WANT_READ
        o.SSL_write(two, b"wait")
        assert wants(one, o.SSL_shutdown(one)) == o.SSL_ERROR_SSL
        assert "application data after close notify" in reason(one)
        assert o.SSL_read(one, 100) == (4, b"wait")
        o.SSL_shutdown(two)
        assert o.SSL_shutdown(one) == 1
        assert o.SSL_shutdown(one) == 1

    def test_E25_a_blocked_shutdown(self) -> None:
        half, other = bio_pair(30)
        one, two = client(half), server(other)
        handshake(one, two)
        assert o.SSL_write(one, b"12345678") == 8  # 30 bytes with header, type and tag: the pair is full
        for _ in range(3):
            assert wants(one, o.SSL_shutdown(one)) == o.SSL_ERROR_WANT_WRITE
        assert o.SSL_read(two, 100) == (8, b"12345678")
        assert o.SSL_shutdown(one) == 0
        assert wants(two, o.SSL_read(two, 100)[0]) == o.SSL_ERROR_ZERO_RETURN
        assert o.SSL_shutdown(two) == 1
        assert o.SSL_shutdown(one) == 1

    def test_E26_the_flag_is_set_by_the_attempt(self) -> None:
        half, other = bio_pair(30)
        one, two = client(half), server(other)
        handshake(one, two)
        o.SSL_write(one, b"12345678")
        assert o.SSL_get_shutdown(one) == 0
        assert wants(one, o.SSL_shutdown(one)) == o.SSL_ERROR_WANT_WRITE
        assert o.SSL_get_shutdown(one) == o.SSL_SENT_SHUTDOWN


class TestBytePair:
    def test_E27_a_byte_pair(self) -> None:
        ret, one, two = o.BIO_new_bio_pair(0, 0)
        assert ret == 1
        assert one is not None
        assert two is not None
        assert o.BIO_get_write_guarantee(one) == 17 * 1024
        assert o.BIO_read(one, 10) == (-1, b"")
        assert o.BIO_write(one, bytes(20_000)) == 17 * 1024
        assert o.BIO_write(one, b"x") == -1
        assert (o.BIO_pending(two), o.BIO_wpending(one)) == (17 * 1024, 17 * 1024)
        assert o.BIO_read(two, 1000) == (1000, bytes(1000))
        assert o.BIO_write(two, b"back") == 4
        assert o.BIO_reset(one) == 1
        assert (o.BIO_pending(two), o.BIO_pending(one)) == (0, 4)
        assert o.BIO_write(one, b"last") == 4
        assert o.BIO_shutdown_wr(one) == 1
        assert o.BIO_write(one, b"x") == -1
        assert o.BIO_eof(two) == 0
        assert o.BIO_read(two, 100) == (4, b"last")
        assert o.BIO_read(two, 100) == (0, b"")
        assert o.BIO_eof(two) == 1
        assert o.BIO_free(one) == 1
        assert o.BIO_write(two, b"x") == -1
        assert o.BIO_new_bio_pair(-1, 0) == (0, None, None)

    def test_E28_the_read_request(self) -> None:
        _, one, two = o.BIO_new_bio_pair(100, 100)
        assert one is not None
        assert two is not None
        assert o.BIO_get_read_request(one) == 0
        o.BIO_read(two, 5)
        assert o.BIO_get_read_request(one) == 5
        o.BIO_write(one, b"abc")
        assert o.BIO_get_read_request(one) == 0
        o.BIO_read(two, 3)
        assert o.BIO_get_read_request(one) == 0
        o.BIO_read(two, 3)
        o.BIO_ctrl_reset_read_request(one)
        assert o.BIO_get_read_request(one) == 0
