"""The command line: `caesura demo`, `serve`, `connect` and `bench`. Its packages are the extra `cli`."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line, and end the program with its exit code: 0 fine, 1 failed, 2 asked in the wrong way."""
    try:
        from caesura.cli.group import caesura
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package not in {"click", "rich"}:
            raise
        sys.stderr.write(f"caesura: the command line needs {package}: pip install 'caesura[cli]'\n")
        sys.exit(2)
    caesura(prog_name="caesura")
