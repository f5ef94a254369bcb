"""The program that BoGo, BoringSSL's protocol test runner, drives: one process plays one test case.

It connects to the runner, shakes hands as its flags say, checks what they expect, and sends back what it receives with
every bit turned. A `TLSConnection` or `DTLSConnection` is used directly, on a clock that moves only when told; of QUIC
there is what `quic.py` says. What goes wrong is said on stderr by its stable code, which config.json relates to the
runner's own words.

Exit status: 0 for success, 89 for what is not known here, anything else for a failure.
"""

from __future__ import annotations

import os
import signal
import sys

SUCCESS, FAILURE, UNIMPLEMENTED = 0, 1, 89
_LONGEST = 90  # seconds: a shim that the runner has lost ends by itself


def main(args: list[str]) -> int:
    """Play one case; the exit status."""
    if "-is-handshaker-supported" in args:
        sys.stdout.write("No\n")
        return SUCCESS
    from tests.bogo.flags import INITIAL, RESUME, RETRY, Unimplemented, parse

    if hasattr(signal, "alarm"):
        signal.alarm(_LONGEST)
    try:
        flags = parse(args)
        from tests.bogo.endpoint import Endpoint, Failure, World

        world = World()
        for index in range(flags[INITIAL].get("resume-count", 0) + 1):
            Endpoint(world, flags[RESUME if index else INITIAL], flags[RETRY], index).run()
    except Unimplemented as error:
        sys.stderr.write(f"not known here: {error}\n")
        return UNIMPLEMENTED
    except Failure as error:
        sys.stderr.write(f"{error}\n")
        return FAILURE
    return SUCCESS


if __name__ == "__main__":
    sys.path[:0] = [os.path.join(os.path.dirname(__file__), *up) for up in (("..", ".."), ("..", "..", "src"))]
    sys.exit(main(sys.argv[1:]))
