"""How jobs end with their process, fork with it, and share it with threads; each in an interpreter of its own."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest

from caesura.jobs import pause_job, start_job
from caesura.jobs.pool import Fiber
from tests.jobs.support import on_thread

PRELUDE = """
import atexit, gc, os, threading
from caesura.engines import *
from caesura.jobs import *
from caesura.jobs.wakeup import call_later

def noting(text):
    try:
        pause_job()
    finally:
        os.write(1, f"{text}\\n".encode())
"""


def run(program: str) -> str:
    """What the program prints; it must end by itself, with success and without a word on standard error."""
    path = os.pathsep.join(filter(None, ["src", os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    "program",
    [
        "job = start_job(noting, 'no')",
        "jobs = [start_job(pause_job) for _ in range(20)]",
        "def hold():\n    job = current_job()\n    pause_job()\nstart_job(hold)",
        "def outer():\n    inner = start_job(pause_job)\n    pause_job()\njob = start_job(outer)",
        "context = WaitContext()\njob = start_job(wait, Completion(), wait_context=context)",
        "thread = threading.Thread(target=lambda: globals().update(job=start_job(pause_job)))\nthread.start()",
        "start_job(int)",
        "init_thread(5, 5)",
        "init_thread(5, 5)\nfrom caesura.jobs.pool import thread\nkeeper = thread._keeper",
        "atexit.register(lambda: globals().pop('job').cancel())\njob = start_job(pause_job)",
        "atexit.register(lambda: globals().pop('job'))\njob = start_job(pause_job)",
        "class Kept:\n    pass\nkept = Kept()\nkept.kept = kept\nkept.job = start_job(pause_job)\ndel kept",
    ],
    ids=[
        "paused", "many", "held by its own stack", "nested", "waiting", "on a thread", "idle", "never used",
        "a pool that goes last", "cancelled at exit", "dropped at exit", "in a cycle",
    ],
)  # fmt: skip
def test_a_process_with_jobs_ends_in_silence(program: str) -> None:
    run(program)


def test_a_job_that_is_dropped_in_time_is_unwound() -> None:
    assert run("job = start_job(noting, 'unwound')\ndel job\nos.write(1, b'end')") == "unwound\nend"


def test_a_timer_of_an_hour_holds_up_nothing() -> None:
    run("call_later(3600, print)")


@pytest.mark.parametrize(
    "program",
    [
        "engine = ThreadEngine(2)\nwait(engine.start(Work(Operation.SIGN, int)))",
        "ThreadEngine(2).start(Work(Operation.SIGN, int))",
        "engine = ThreadEngine(1)\nworks = [engine.start(Work(Operation.SIGN, wait, (Completion(),))) for _ in '123']",
        "engine = DelayEngine(3600)\npending = engine.start(Work(Operation.SIGN, int, wait_context=WaitContext()))",
        "engine = DelayEngine(None)\npending = engine.start(Work(Operation.SIGN, int))",
    ],
    ids=["idle workers", "a forgotten engine", "paused work", "a delay", "a held delay"],
)
def test_a_process_with_engines_ends_in_silence(program: str) -> None:
    run(program)


def test_a_worker_that_is_busy_is_waited_for() -> None:
    program = """
started, go_on = threading.Event(), threading.Event()
def busy():
    started.set()
    go_on.wait()
    print("finished")
engine = ThreadEngine(1)
pending = engine.start(Work(Operation.SIGN, busy))
started.wait()
threading.Timer(0.01, go_on.set).start()
"""
    assert run(program) == "finished\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_after_a_fork_both_go_on() -> None:
    program = """
import warnings
warnings.simplefilter("ignore")
job = start_job(noting, "unwound")
engine, delayed = ThreadEngine(1), DelayEngine(0)
wait(engine.start(Work(Operation.SIGN, int)))
wait(delayed.start(Work(Operation.SIGN, int)))
child = os.fork()
assert wait(engine.start(Work(Operation.SIGN, int, ("7",)))) == 7
assert wait(delayed.start(Work(Operation.SIGN, int, ("7",)))) == 7
assert start_job(int).done()
job.resume()
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    assert run(program).split() == ["unwound", "unwound"]


def test_a_thread_takes_its_idle_fibers_with_it() -> None:
    """Otherwise each thread that ever ran a job would leave its stacks behind."""

    def fibers() -> int:
        gc.collect()
        return sum(isinstance(thing, Fiber) for thing in gc.get_objects())

    def work() -> int:
        jobs = [start_job(pause_job) for _ in range(10)]
        for job in jobs:
            job.resume()
        return fibers()

    before = fibers()
    assert on_thread(work) == before + 10
    assert fibers() == before
