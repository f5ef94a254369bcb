"""Data that has come and was not read yet: datagram by datagram, as it was sent.

What is beyond a bound is dropped, as a network may.
"""

from __future__ import annotations


class DatagramQueue:
    """At most `most` datagrams, oldest first: so few that a list will do, which takes no memory while it is empty."""

    __slots__ = ("_most", "datagrams")

    def __init__(self, most: int) -> None:
        self._most = most
        self.datagrams: list[bytes] = []

    def received(self, content: bytes) -> None:
        """One datagram's data."""
        if content and len(self.datagrams) < self._most:
            self.datagrams.append(content)

    def read(self, size: int) -> bytes:
        """The oldest datagram's data; of a longer one `size` bytes, and the rest the next time; b"" for none."""
        datagrams = self.datagrams
        if not datagrams or size == 0:
            return b""
        if size < 0 or len(datagrams[0]) <= size:
            return datagrams.pop(0)
        data, datagrams[0] = datagrams[0][:size], datagrams[0][size:]
        return data
