"""What the servers here have in common with asyncio's: to serve for ever, and to be closed."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any


class ServerBase(asyncio.AbstractServer):
    """The part of an `asyncio.Server` that does not depend on what carries the connections."""

    def __init__(self) -> None:
        self._forever: asyncio.Future[None] | None = None

    @property
    @abstractmethod
    def sockets(self) -> Sequence[Any]:
        """The sockets; none once closed."""

    @abstractmethod
    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop it serves on."""

    async def serve_forever(self) -> None:
        """Serve until cancelled, then close; raises CancelledError also when somebody else closes it."""
        if self._forever is not None:
            raise RuntimeError("serve_forever() runs already")
        if not self.sockets:
            raise RuntimeError("the server is closed")
        await self.start_serving()
        self._forever = self.get_loop().create_future()
        try:
            await self._forever
        finally:
            self._forever = None
            self.close()
            await self.wait_closed()

    def close(self) -> None:
        """Take nobody new."""
        if self._forever is not None:
            self._forever.cancel()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} sockets={self.sockets}>"
