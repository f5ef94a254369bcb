"""python -m tests.bogo --runner PATH: run BoGo's cases, and count them by block."""

from __future__ import annotations

from tests.bogo.run import main

if __name__ == "__main__":
    raise SystemExit(main())
