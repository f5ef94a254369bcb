"""The driver owns a handshake's generator and answers what it asks.

`receive` is answered from the inbox, `perform` through the performer. When neither has an answer the handshake is
*parked*: it stands still while the protocol around it goes on. An answer that is there at once is sent straight back,
so a handshake whose work never pauses runs through in one call.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from caesura.handshake.inbox import Inbox
from caesura.handshake.performer import NOT_YET, Ongoing, Performer, Working
from caesura.handshake.requests import Request, Steps
from caesura.jobs import NoJobs

T = TypeVar("T")


class Driver(Working, Generic[T]):
    """Runs one generator: a handshake, or one exchange after it."""

    __slots__ = ("_performer", "_request", "_steps", "done", "inbox")

    def __init__(self, steps: Steps[T], performer: Performer, inbox: Inbox) -> None:
        self._steps = steps
        self._performer = performer
        self.inbox = inbox
        self._request: Request | None = None
        self._ongoing = None
        self.done = False

    parked = Working.paused  # the handshake is, while the protocol around it is not

    @property
    def at_work(self) -> bool:
        """Whether it stands at a piece of work, so that what it has sent since it heard the peer may not be all."""
        return self._request is not None and not (self.done or isinstance(self._request, tuple))

    def advance(self, now: float) -> None:
        """Go on as far as answers are there.

        Raises what the handshake raises, after which it is done; and NoJobs, after which it stands where it stood.
        """
        inbox, steps, request = self.inbox, self._steps, self._request
        while not self.done:
            try:
                if isinstance(request, tuple):  # the types of which the next message may be
                    answer = inbox.take(request)
                    if answer is None:
                        return
                elif request is None:  # the generator has not begun
                    answer = None
                elif self._ongoing is None:
                    answer = self._performer.perform(request, now)
                    if type(answer) is Ongoing:
                        self._ongoing = answer
                        return
                else:
                    answer = self._ongoing.answer()
                    if answer is NOT_YET:
                        return
                    self._ongoing = None
            except NoJobs:
                raise
            except BaseException as error:  # noqa: BLE001 - thrown into the generator, and so out of it
                self._throw(error)
                return
            try:
                request = self._request = steps.send(answer)
            except StopIteration:
                self.done = True
            except BaseException:
                self.done = True
                raise

    def expire(self, now: float) -> None:
        """Fail the work under way, in the handshake, if its deadline has passed; raises OperationTimeout."""
        if self._ongoing is not None and self._ongoing.expired(now):
            ongoing, self._ongoing = self._ongoing, None
            self._throw(ongoing.timed_out())

    def close(self) -> None:
        """Cancel the work, unwind the generator, forget what has come."""
        self.done = True
        self._cancel()
        self._steps.close()
        self.inbox.clear()

    def _throw(self, error: BaseException) -> None:
        self._ongoing = None
        self.done = True
        self._steps.throw(error)
