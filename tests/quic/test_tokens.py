"""Address validation tokens and stateless resets (RFC 9000 sections 8.1 and 10.3)."""

from __future__ import annotations

from itertools import count

import pytest

from caesura.crypto.quic import ResetKey
from caesura.crypto.tickets import TicketKeys
from caesura.errors import ConfigError, InvalidToken
from caesura.quic import stateless_reset
from caesura.quic.tokens import AddressTokens, Validated

HOST, ADDRESS = b"192.0.2.1", b"192.0.2.1:4000"
WALL = 1.8e9


class Server:
    def __init__(self, keys: TicketKeys | None = None, remembered: int = 10) -> None:
        self.tokens = AddressTokens(keys or TicketKeys(), 15.0, 86_400.0, remembered)
        self.nonces = count()

    def retry(self) -> bytes:
        return self.tokens.retry(1, ADDRESS, b"original", b"retry id", self.nonce(), WALL)

    def new_token(self) -> bytes:
        return self.tokens.new_token(1, HOST, self.nonce(), WALL)

    def nonce(self) -> bytes:
        return next(self.nonces).to_bytes(8, "big")

    def check(
        self,
        token: bytes,
        version: int = 1,
        address: bytes = ADDRESS,
        host: bytes = HOST,
        destination: bytes = b"retry id",
        after: float = 1.0,
    ) -> Validated | None:
        return self.tokens.check_untrusted(token, version, address, host, destination, WALL + after)


def test_a_retry_token_brings_the_ids_back() -> None:
    server = Server()
    assert server.check(server.retry()) == Validated(b"original", b"retry id")


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"address": b"192.0.2.1:4001"},
        {"destination": b"another"},
        {"after": 15.1},
        {"after": -15.1},
    ],
)
def test_a_retry_token_that_is_not_good_ends_the_attempt(change: dict[str, object]) -> None:
    server = Server()
    with pytest.raises(InvalidToken):
        server.check(server.retry(), **change)  # type: ignore[arg-type]


def test_a_token_for_the_next_time_is_good_once_from_any_port() -> None:
    server = Server()
    token = server.new_token()
    assert server.check(token, address=b"192.0.2.1:9", destination=b"x", after=80_000) == Validated()
    assert server.check(token) is None
    assert server.check(server.new_token()) == Validated()


@pytest.mark.parametrize("change", [{"version": 2}, {"host": b"192.0.2.2"}, {"after": 86_401}, {"after": -16}])
def test_a_token_for_the_next_time_that_is_not_good_is_as_good_as_none(change: dict[str, object]) -> None:
    server = Server()
    token = server.new_token()
    assert server.check(token, **change) is None  # type: ignore[arg-type]
    assert server.check(token) == Validated()  # it was not used up


def test_tokens_tell_nothing_and_are_never_the_same() -> None:
    server = Server()
    tokens = {server.new_token() for _ in range(20)}
    assert len(tokens) == 20
    assert not any(HOST in token for token in tokens)


@pytest.mark.parametrize("token", [b"", b"x", bytes(100), bytes(2000)])
def test_what_is_no_token_of_ours(token: bytes) -> None:
    assert Server().check(token) is None


def test_every_changed_bit_and_every_shorter_piece_is_no_token() -> None:
    server = Server()
    token = server.retry()
    for at in range(len(token)):
        changed = bytearray(token)
        changed[at] ^= 1
        assert server.check(bytes(changed)) is None
        assert server.check(token[:at]) is None


def test_what_else_the_keys_have_sealed_is_no_token() -> None:
    keys = TicketKeys()
    assert Server(keys).check(keys.seal(b"a session ticket", WALL)) is None


def test_servers_with_the_same_keys_know_each_other_s_tokens() -> None:
    keys = TicketKeys([bytes(32)])
    assert Server(keys).check(Server(keys).retry()) == Validated(b"original", b"retry id")


def test_of_used_tokens_so_many_are_remembered() -> None:
    server = Server(remembered=3)
    tokens = [server.new_token() for _ in range(4)]
    for token in tokens:
        assert server.check(token) == Validated()
    assert server.check(tokens[3]) is None
    assert server.check(tokens[1]) is None
    assert server.check(tokens[0]) == Validated()


# --- stateless resets -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("received", "size"), [(22, 21), (30, 29), (43, 42), (44, 43), (1200, 43), (65_000, 43)])
@pytest.mark.parametrize("noise", [b"\x00", b"\xff", b"\x80"])
def test_a_reset_is_shorter_than_what_it_answers(received: int, size: int, noise: bytes) -> None:
    key = ResetKey(bytes(32))
    datagram = stateless_reset.encode(key.token(b"id"), received, lambda size: noise * size)
    assert datagram is not None
    assert len(datagram) == size
    assert datagram[0] & 0xC0 == 0x40
    assert stateless_reset.token_of(datagram) == key.token(b"id")


def test_what_is_too_short_is_neither_answered_nor_a_reset() -> None:
    assert stateless_reset.encode(bytes(16), 21, bytes) is None
    assert stateless_reset.token_of(bytes(20)) is None
    assert stateless_reset.token_of(bytes(21)) == bytes(16)


def test_reset_keys() -> None:
    assert ResetKey(bytes(32)).token(b"id") == ResetKey(bytes(32)).token(b"id")
    assert ResetKey().token(b"id") != ResetKey().token(b"id")
    with pytest.raises(ConfigError, match="reset_key"):
        ResetKey(bytes(31))
