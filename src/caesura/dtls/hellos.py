"""Hellos in pieces, from addresses that have proved nothing.

A hello should fit one datagram, but one with a post-quantum share does not. Its pieces are kept within one budget for
all such addresses; what is oldest gives way. So a flood of pieces costs a fixed amount of memory, and in the worst case
keeps long hellos out, never short ones.
"""

from __future__ import annotations

from collections import OrderedDict

from caesura.dtls.reassembly import PartialMessage
from caesura.wire.dtls import Fragment

_COST = 128  # bytes that a hello costs besides its pieces

HELLOS = 2
"""The number of the last hello that a client may begin with: that with the second cookie that it is given."""

Key = tuple[object, int]  # the address, and the number of the message


class PartialHello:
    """One hello that is being gathered, with the datagrams its pieces came in."""

    __slots__ = ("datagrams", "held", "message")

    def __init__(self, fragment: Fragment) -> None:
        self.message = PartialMessage(fragment.header)
        self.datagrams: list[bytes] = []
        self.held = _COST


class ForeignHellos:
    """The hellos that are being gathered; at most `budget` bytes."""

    __slots__ = ("_budget", "_hellos", "held")

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._hellos: OrderedDict[Key, PartialHello] = OrderedDict()
        self.held = 0

    def __len__(self) -> int:
        return len(self._hellos)

    def add(self, address: object, fragment: Fragment, datagram: bytes) -> PartialHello:
        """A piece, and the datagram it came in; the hello as far as it is there. One that contradicts begins anew."""
        key = (address, fragment.message_seq)
        hello = self._hellos.get(key)
        if hello is not None and hello.message.length != fragment.length:
            self.forget(address, fragment.message_seq)
            hello = None
        if hello is None:
            hello = self._hellos[key] = PartialHello(fragment)
            self.held += hello.held
        before = hello.held
        hello.message.add(fragment.offset, fragment.data)
        hello.datagrams.append(datagram)
        hello.held = _COST + hello.message.held + sum(map(len, hello.datagrams))
        self.held += hello.held - before
        while self.held > self._budget:
            oldest, _ = next(iter(self._hellos.items()))
            self.forget(*oldest)
        return hello

    def forget(self, address: object, message_seq: int) -> None:
        """Drop what there is of a hello."""
        hello = self._hellos.pop((address, message_seq), None)
        if hello is not None:
            self.held -= hello.held

    def forget_all(self, address: object) -> None:
        """Drop what there is of any hello from this address: late copies of pieces, too."""
        for message_seq in range(HELLOS + 1):
            self.forget(address, message_seq)

    def clear(self) -> None:
        """Forget all of them."""
        self._hellos.clear()
        self.held = 0

    def gathers(self, address: object, message_seq: int) -> bool:
        """Whether there are pieces of this message from this address."""
        return (address, message_seq) in self._hellos
