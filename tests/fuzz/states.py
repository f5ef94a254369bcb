"""Fuzz targets for connections: every state of both roles of TLS 1.3, fed with whatever there is.

Each target takes bytes; the first says which state a fresh connection is brought into. `wire` hands it the rest as it
is, `messages` as handshake messages under the right keys, `script` reads the rest as a list of things that a peer and
an application may do. None of them knows what should come of it, only what must not: anything but an error of ours, a
failure inside, a word behind the alert, bytes without bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from caesura.errors import Error, InternalError, OperationFailed, UsageError
from caesura.tls import TLSConnection
from caesura.tls.records import ALERT, APPLICATION_DATA, HANDSHAKE
from caesura.wire.records import MAX_CIPHERTEXT
from tests.support.link import drain
from tests.tls.messages import MESSAGES
from tests.tls.puppet import CCS, Puppet, PuppetClient, PuppetServer
from tests.tls.states import STATES

_STATES = tuple(STATES)
_MESSAGES = tuple(MESSAGES)


def hold(connection: TLSConnection) -> bool:
    """What must be true at any time. Whether the connection lives."""
    error = connection.error
    assert error is None or isinstance(error, Error)
    assert not isinstance(error, InternalError | OperationFailed | UsageError), error
    assert connection._reader.buffered <= MAX_CIPHERTEXT + 5
    assert not connection.waiting_for_async
    return error is None


def end(connection: TLSConnection) -> bool:
    """The end of a run: what is left to be said is said, and then there is silence."""
    alive = hold(connection)
    connection.data_to_send(0.0)
    drain(connection)
    assert connection.data_to_send(0.0) == b""
    assert connection.next_event() is None
    if not alive:
        connection.receive_data(b"\x16\x03\x03\x00\x00", 0.0)
        connection.receive_eof(0.0)
        connection.shutdown()
        assert connection.data_to_send(0.0) == b""
        assert connection.next_event() is None
    connection.close()
    return alive


def state_of(data: bytes) -> Puppet:
    return _STATES[data[0] % len(_STATES)]()


def wire(data: bytes) -> bool:
    """Bytes of the transport, in two pieces."""
    if not data:
        return False
    puppet = state_of(data)
    middle = 1 + len(data) // 2
    for piece in (data[1:middle], data[middle:]):
        puppet.feed(piece)
        hold(puppet.connection)
    return end(puppet.connection)


def messages(data: bytes) -> bool:
    """Handshake bytes in records, under keys where there are keys; the second byte says how long the records are."""
    if len(data) < 2:
        return False
    puppet = state_of(data)
    size = data[1] * 16 or 2**14
    for start in range(2, len(data), size):
        puppet.send(HANDSHAKE, data[start : start + size])
        hold(puppet.connection)
    return end(puppet.connection)


def script(data: bytes) -> bool:
    """A list of steps; each takes a few bytes."""
    if not data:
        return False
    puppet = state_of(data)
    bytes_left = iter(data[1:])
    connection = puppet.connection
    for step in bytes_left:
        try:
            _STEPS[step % len(_STEPS)](puppet, bytes_left)
        except (AssertionError, UsageError, Error):  # the puppet has lost the thread, or the application was refused
            hold(connection)
            break
        hold(connection)
    return end(connection)


def _take(source: Iterator[int], number: int) -> bytes:
    return bytes(byte for byte, _ in zip(source, range(number), strict=False))


def _say(puppet: Puppet, source: Iterator[int]) -> None:
    """A genuine message, right or wrong at this point."""
    which = next(source, 0)
    puppet.say(MESSAGES[_MESSAGES[which % len(_MESSAGES)]](puppet))


def _say_changed(puppet: Puppet, source: Iterator[int]) -> None:
    """A genuine message with one byte changed; its length stays right."""
    which, where, what = (next(source, 0) for _ in range(3))
    message = MESSAGES[_MESSAGES[which % len(_MESSAGES)]](puppet)
    raw = bytearray(message if isinstance(message, bytes) else message.encode())
    raw[4 + where % max(len(raw) - 4, 1) if len(raw) > 4 else 0] = what
    puppet.say(bytes(raw))


def _say_cut(puppet: Puppet, source: Iterator[int]) -> None:
    """The beginning of a genuine message, as if that were all of it."""
    which, keep = (next(source, 0) for _ in range(2))
    message = MESSAGES[_MESSAGES[which % len(_MESSAGES)]](puppet)
    raw = message if isinstance(message, bytes) else message.encode()
    body = raw[4 : 4 + keep]
    puppet.say(raw[:1] + len(body).to_bytes(3, "big") + body)


def _go_on(puppet: Puppet, source: Iterator[int]) -> None:
    """Hear what the connection says, and follow it."""
    puppet.pull()
    if isinstance(puppet, PuppetClient | PuppetServer) and next(source, 0) % 2 and puppet.handshake is not None:
        puppet.finish()


def _record(puppet: Puppet, source: Iterator[int]) -> None:
    """A record of any type, padded or not."""
    content_type, size, padding = (next(source, 0) for _ in range(3))
    puppet.send(content_type, _take(source, size % 64), padding % 32 if puppet.write_key is not None else 0)


def _raw(puppet: Puppet, source: Iterator[int]) -> None:
    puppet.feed(_take(source, next(source, 0)))


def _in_the_clear(puppet: Puppet, source: Iterator[int]) -> None:
    content = _take(source, next(source, 0) % 16)
    puppet.feed(bytes((next(source, 0), 3, 3, 0, len(content))) + content)


def _alert(puppet: Puppet, source: Iterator[int]) -> None:
    puppet.send(ALERT, _take(source, 2))


def _data(puppet: Puppet, source: Iterator[int]) -> None:
    puppet.send(APPLICATION_DATA, _take(source, next(source, 0) % 32))


_STEPS: tuple[Callable[[Puppet, Iterator[int]], None], ...] = (
    _say,
    _say_changed,
    _say_cut,
    _go_on,
    _record,
    _raw,
    _in_the_clear,
    _alert,
    _data,
    lambda puppet, source: puppet.feed(CCS),
    lambda puppet, source: puppet.connection.receive_eof(0.0),
    lambda puppet, source: puppet.connection.write(_take(source, 4)),
    lambda puppet, source: puppet.connection.key_update(request_peer=bool(next(source, 0) % 2)),
    lambda puppet, source: puppet.connection.shutdown(),
    lambda puppet, source: puppet.connection.advance(0.0),
    lambda puppet, source: puppet.connection.handle_timeout(1e6),
    lambda puppet, source: puppet.connection.close(),
)


def _seeds(prefix: Callable[[int], bytes]) -> tuple[bytes, ...]:
    """For each state, one message that is welcome there."""
    found = []
    for number, (state, welcome) in enumerate(STATES.items()):
        message = MESSAGES[min(welcome)](state())
        found.append(prefix(number) + (message if isinstance(message, bytes) else message.encode()))
    return tuple(found)


TARGETS: dict[str, Callable[[bytes], bool]] = {
    "connection.wire": wire,
    "connection.messages": messages,
    "connection.script": script,
}

SEEDS: dict[str, tuple[bytes, ...]] = {
    "connection.wire": tuple(
        bytes((number,)) + record
        for number in range(len(STATES))
        for record in (
            b"\x16\x03\x03\x00\x04\x08\x00\x00\x00",
            b"\x15\x03\x03\x00\x02\x02\x28",
            CCS,
            b"\x17\x03\x03\x00\x11",
        )
    ),
    "connection.messages": _seeds(lambda number: bytes((number, 0))),
    "connection.script": tuple(
        bytes((number, 0, _MESSAGES.index(min(welcome)), 3, 0, 8, 3, 1, 2, 3, 11, 1, 2, 3, 4, 12, 1, 13))
        for number, welcome in enumerate(STATES.values())
    ),
}
