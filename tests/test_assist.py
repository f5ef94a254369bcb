"""The assist thread by itself: whom it tends, when, and what does not disturb it. What it does is in contract F28."""

from __future__ import annotations

import gc
import logging
import os
import selectors
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from caesura import assist as module
from caesura.assist import Assist, DomainLock
from tests.support.ssl_pair import StoppedClock

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Domain:
    """Something to be tended, by a timer and a pipe."""

    def __init__(self, clock: StoppedClock) -> None:
        self.lock = DomainLock()
        self.clock = clock
        self.due: float | None = None
        self.alive = True
        self.tended: list[float] = []
        self.reader, self.writer = os.pipe()
        self.wanted = {self.reader: READ}
        self.error: Exception | None = None
        self.by: set[int] = set()
        self.done = threading.Event()

    def now(self) -> float:
        return self.clock.now

    def tend(self) -> None:
        self.by.add(threading.get_ident())
        self.tended.append(self.clock.now)
        if self.due is not None and self.due <= self.clock.now:
            self.due = None
        if self.error is not None:
            raise self.error
        os.set_blocking(self.reader, False)
        with suppress(BlockingIOError):
            os.read(self.reader, 100)
        self.done.set()

    def tend_at(self) -> float | None:
        return self.due

    def watched(self) -> dict[int, int]:
        return self.wanted

    def __del__(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


@contextmanager
def held(domain: Domain) -> Iterator[None]:
    """Somebody else is at work on it."""
    ready, enough = threading.Event(), threading.Event()

    def work() -> None:
        with domain.lock:
            ready.set()
            enough.wait()

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    try:
        yield
    finally:
        enough.set()
        thread.join()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StoppedClock:
    made = StoppedClock()
    monkeypatch.setattr(module, "monotonic", made.monotonic)
    return made


def tending(clock: StoppedClock, count: int = 1) -> tuple[Assist, list[Domain]]:
    """Without a thread: `round` is the test's."""
    assist = Assist(start=False)
    domains = [Domain(clock) for _ in range(count)]
    for domain in domains:
        with domain.lock:
            assist.follow(domain)
    assist.round(0)
    assert [domain.tended for domain in domains] == [[]] * count
    return assist, domains


def test_the_earliest_timer_of_all(clock: StoppedClock) -> None:
    assist, (one, two) = tending(clock, 2)
    for domain, due in ((one, 1010.0), (two, 1005.0)):
        with domain.lock:  # a call of the application's, which sets a timer
            domain.due = due
    for _ in range(12):
        assist.round(0)
        assist.round(0)
        clock.now += 1
    assert (one.tended, two.tended) == ([1010.0], [1005.0])


def test_a_readable_descriptor(clock: StoppedClock) -> None:
    assist, (one, two) = tending(clock, 2)
    os.write(two.writer, b"x")
    for _ in range(5):
        assist.round(0)
    assert (one.tended, two.tended) == ([], [1000.0])


def test_a_timer_that_moves_back_costs_nothing(clock: StoppedClock) -> None:
    assist, (domain,) = tending(clock)
    for due in (1005.0, 1020.0):
        with domain.lock:
            domain.due = due
    while clock.now < 1030:
        assist.round(0)
        clock.now += 1
    assert [each for each in domain.tended if each != 1005.0] == [1020.0]


def test_output_that_waits_for_room(clock: StoppedClock) -> None:
    assist, (domain,) = tending(clock)
    with domain.lock:
        domain.wanted = {domain.reader: READ, domain.writer: WRITE}
    assist.round(0)
    assist.round(0)
    assert domain.tended
    with domain.lock:
        domain.wanted = {domain.reader: READ}
    assist.round(0)
    before = len(domain.tended)
    assist.round(0)
    assert len(domain.tended) == before


def test_who_is_at_work_is_left_alone(clock: StoppedClock) -> None:
    """Neither waited for, nor looked at without end though its descriptor is readable."""
    assist, (domain, other) = tending(clock, 2)
    with held(domain):
        os.write(domain.writer, b"x")
        assist.round(0)
        waits = []
        for _ in range(10):
            first = assist._deadlines.first()
            assert first is not None
            waits.append(first - clock.now)
            clock.now = first
            assist.round(0)
        assert (waits[0], waits[-1]) == pytest.approx((0.001, 0.032))
        assert domain.tended == []
        os.write(other.writer, b"x")
        assist.round(0)
        assert other.tended
    clock.now += 0.04
    assist.round(0)
    assist.round(0)
    assert len(domain.tended) == 1


def test_the_lock_may_be_held_more_than_once(clock: StoppedClock) -> None:
    assist, (domain,) = tending(clock)
    with domain.lock:
        with domain.lock:
            domain.due = 1000.0
        assist.round(0)  # by the same thread: what the application's own calls do is theirs to say
    clock.now += 0.01
    assist.round(0)
    assert domain.tended
    assert domain.due is None


def test_a_domain_that_fails_is_dropped_and_the_others_are_not(
    clock: StoppedClock, caplog: pytest.LogCaptureFixture
) -> None:
    assist, (one, two) = tending(clock, 2)
    one.error = RuntimeError("a bug")
    for domain in (one, two):
        os.write(domain.writer, b"x")
    with caplog.at_level(logging.ERROR, "caesura"):
        for _ in range(3):
            assert assist.round(0)
    assert "a bug" in caplog.text
    assert (one.tended, two.tended) == ([1000.0], [1000.0])
    assert assist.count == 1
    assert one.lock.tended is None


def test_who_is_followed_twice_is_tended_once(clock: StoppedClock) -> None:
    assist, (one,) = tending(clock)
    with one.lock:
        assist.follow(one)
    assert assist.count == 1
    os.write(one.writer, b"x")
    assist.round(0)
    assert one.tended == [1000.0]
    with one.lock:
        one.alive = False
    assert not assist.round(0)
    with one.lock:
        one.alive = True
        assist.follow(one)
    assert assist.round(0)
    assert assist.count == 1


def test_it_ends_with_the_last(clock: StoppedClock) -> None:
    assist, (one, two) = tending(clock, 2)
    with one.lock:
        one.alive = False
    assert assist.round(0)
    del two
    gc.collect()
    assert not assist.round(0)
    assert assist.count == 0
    with one.lock:
        one.alive, one.due = True, 1000.0
        assist.follow(one)
    assert assist.round(0)
    assert one.tended == [1000.0]


def test_a_descriptor_that_is_closed_and_its_number_used_again(clock: StoppedClock) -> None:
    assist, (one,) = tending(clock)
    number = one.reader
    os.close(number)
    one.reader = -1
    other = Domain(clock)
    assert other.reader == number
    with other.lock:
        assist.follow(other)
    assist.round(0)
    os.write(other.writer, b"x")
    assist.round(0)
    assert other.tended
    one.reader = os.dup(other.reader)


# --- the thread ---------------------------------------------------------------------------------------------------


def test_one_thread_for_all_and_none_without() -> None:
    clock = StoppedClock()
    assist = Assist()
    domains = [Domain(clock) for _ in range(3)]
    for domain in domains:
        with domain.lock:
            assist.follow(domain)
    thread = assist.thread
    assert thread is not None
    assert thread.daemon
    for domain in domains:
        os.write(domain.writer, b"x")
        assert domain.done.wait(20)
        assert domain.by == {thread.ident}
    for domain in domains:
        with domain.lock:
            domain.alive = False
    thread.join(20)
    assert not thread.is_alive()
    assert assist.thread is None
    with domains[0].lock:
        domains[0].alive = True
        assist.follow(domains[0])
    assert assist.thread not in (None, thread)
    assist.stop()
    assert assist.thread is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_s_child_tends_nobody_but_its_own() -> None:
    clock = StoppedClock()
    domain = Domain(clock)
    with domain.lock:
        module.follow(domain)
    parents = module._assist
    pid = os.fork()
    if pid == 0:  # the child says by its exit code which step has failed
        code = 1
        try:
            assert module._assist is not parents
            assert module._assist.thread is None
            code = 2
            with domain.lock:  # its parent's: nobody is told
                domain.due = 0.0
            os.write(domain.writer, b"")
            code = 3
            own = Domain(clock)
            with own.lock:
                module.follow(own)
            os.write(own.writer, b"x")
            assert own.done.wait(20)
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.write(domain.writer, b"x")
    assert domain.done.wait(20)
    with domain.lock:
        domain.alive = False
    thread = parents.thread
    if thread is not None:
        thread.join(20)
