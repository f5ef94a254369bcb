"""Python source for the reader and the writer of a struct: put together from its fields, compiled once, at import.

What comes of it is what one would write by hand: numbers that stand side by side, lengths among them, are read in one
step of the struct module, and nothing is called for what is no more than a slice. These functions know what is right.
Where something is not, they leave it to the declaration itself, gone through field by field, which says what is wrong.

Nothing here knows a format, and nothing becomes source but declarations of ours.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from caesura.errors import DecodeError


class _Source:
    """Lines of a function, and the objects that they name."""

    def __init__(self) -> None:
        self._objects: dict[str, Any] = {"DecodeError": DecodeError, "error": struct.error, "join": b"".join}
        self._lines: list[str] = []
        self._count = 0

    def variable(self) -> str:
        """A variable that nobody else uses."""
        self._count += 1
        return f"v{self._count}"

    def name(self, value: object) -> str:
        """What the source calls this object."""
        name = f"o{len(self._objects)}"
        self._objects[name] = value
        return name

    def line(self, text: str) -> None:
        """One line more."""
        self._lines.append(text)

    def _compile(self, text: str) -> Callable[..., Any]:
        exec(text, self._objects)  # noqa: S102  # see above
        function: Callable[..., Any] = self._objects["function"]
        return function


class Reader(_Source):
    """A function of `data` and `pos`. A field is said in lines that set its variable and leave `pos` behind it."""

    def __init__(self) -> None:
        super().__init__()
        self._letters = ""
        self._variables: list[str] = []
        self._later: list[str] = []

    def number(self, letter: str, variable: str) -> None:
        """What the struct module reads as `letter`: in one step with those before and behind it."""
        self._letters += letter
        self._variables.append(variable)

    def later(self, text: str) -> None:
        """One line more, behind the step in which the numbers around it are read."""
        self._later.append(text)

    def line(self, text: str) -> None:
        """One line more, behind the numbers so far."""
        if self._letters:
            layout = struct.Struct(f">{self._letters}")
            unpack = self.name(layout.unpack_from)
            self._lines += f"{', '.join(self._variables)}, = {unpack}(data, pos)", f"pos += {layout.size}", *self._later
            self._letters = ""
            self._variables.clear()
            self._later.clear()
        super().line(text)

    def function(
        self, make: Callable[..., Any], variables: list[str], slowly: Callable[..., Any]
    ) -> Callable[..., Any]:
        """What gives `make(*variables)` and the place where it stops; `slowly(data, pos)` finds out what is wrong."""
        self.line(f"return {self.name(make)}({', '.join(variables)}), pos")
        body = "\n  ".join(self._lines)
        return self._compile(
            f"def function(data, pos):\n begin = pos\n try:\n  {body}\n except (DecodeError, error):\n  pass\n"
            f" return {self.name(slowly)}(data, begin)"
        )


class Writer(_Source):
    """A function of `value`. A field is said in pieces, which are joined, and in lines before all of them."""

    def __init__(self) -> None:
        super().__init__()
        self._letters = ""
        self._numbers: list[str] = []
        self._pieces: list[str] = []

    def number(self, letter: str, expression: str) -> None:
        """What the struct module writes as `letter`: in one step with those before and behind it."""
        self._letters += letter
        self._numbers.append(expression)

    def piece(self, expression: str) -> None:
        """These bytes, behind the numbers so far."""
        self._step()
        self._pieces.append(expression)

    def _step(self) -> None:
        if self._letters:
            pack = self.name(struct.Struct(f">{self._letters}").pack)
            self._pieces.append(f"{pack}({', '.join(self._numbers)})")
            self._letters = ""
            self._numbers.clear()

    def function(self, slowly: Callable[..., Any]) -> Callable[..., Any]:
        """What gives a value's bytes; `slowly(value)` finds out what is wrong."""
        self._step()
        self.line(f"return join([{', '.join(self._pieces)}])")
        body = "\n  ".join(self._lines)
        return self._compile(
            f"def function(value):\n try:\n  {body}\n except error:\n  pass\n return {self.name(slowly)}(value)"
        )
