"""Compression of Certificate messages (RFC 8879): the algorithms, and how others are brought along.

zlib is always there; brotli and zstd are when the packages `brotli` and `zstandard` are installed. Whoever unpacks must
not be made to unpack more than was announced, so that a few bytes cannot fill the memory: every algorithm here stops
one byte behind the announced length.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, Final

from caesura.wire.registries import CertificateCompressionAlgorithm

_ZSTD_WINDOW: Final = 2**23  # bytes of history a decoder may be asked to keep (RFC 8878 section 3.1.1.1.2)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class CertificateCompression:
    """One algorithm: its code on the wire and both directions.

    `compress` returns at least one byte. `decompress(data, length)` returns what `data` unpacks to if that has `length`
    bytes, and raises any exception otherwise; it must not unpack much more before it does so.
    """

    code: int
    compress: Callable[[bytes], bytes] = field(repr=False)
    decompress: Callable[[bytes, int], bytes] = field(repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.code <= 0xFFFF:
            raise ValueError(f"{self.code} is not the code of an algorithm: it has 16 bits")


@cache
def algorithm(code: CertificateCompressionAlgorithm) -> CertificateCompression:
    """The algorithm with this code; ImportError when it needs a package that is not installed."""
    return _MAKE[code]()


def _zlib() -> CertificateCompression:
    def decompress(data: bytes, length: int) -> bytes:
        decoder = zlib.decompressobj()
        return _exactly(length, decoder.decompress(data, length + 1), decoder.eof and not decoder.unused_data)

    return CertificateCompression(
        CertificateCompressionAlgorithm.zlib, lambda data: zlib.compress(data, zlib.Z_BEST_COMPRESSION), decompress
    )


def _brotli() -> CertificateCompression:
    package: Any = import_module("brotli")
    if "output_buffer_limit" not in (package.Decompressor.process.__doc__ or ""):
        raise ImportError("brotli 1.2 or newer is needed: older ones cannot be told where to stop")

    def decompress(data: bytes, length: int) -> bytes:
        decoder = package.Decompressor()
        return _exactly(length, decoder.process(data, output_buffer_limit=length + 1), decoder.is_finished())

    return CertificateCompression(CertificateCompressionAlgorithm.brotli, package.compress, decompress)


def _zstd() -> CertificateCompression:
    package: Any = import_module("zstandard")

    def decompress(data: bytes, length: int) -> bytes:
        decoder = package.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).stream_reader(data)
        return _exactly(length, decoder.read(length + 1), True)

    return CertificateCompression(
        CertificateCompressionAlgorithm.zstd, lambda data: package.ZstdCompressor(level=19).compress(data), decompress
    )


_MAKE: Final = {
    CertificateCompressionAlgorithm.zlib: _zlib,
    CertificateCompressionAlgorithm.brotli: _brotli,
    CertificateCompressionAlgorithm.zstd: _zstd,
}


def _exactly(length: int, unpacked: bytes, finished: bool) -> bytes:
    if not finished or len(unpacked) != length:
        raise ValueError(f"does not unpack to {length} bytes")
    return unpacked
