"""Bytes as a caller may hand them over."""

from __future__ import annotations

from typing import TypeAlias

Data: TypeAlias = bytes | bytearray | memoryview
