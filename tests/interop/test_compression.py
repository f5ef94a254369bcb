"""Compressed certificates with a client that always offers them: curl with Chrome's TLS (BoringSSL, brotli only)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from caesura import Context, Identity, aio
from tests.support.pki import pki

pytestmark = pytest.mark.anyio

requests = pytest.importorskip("curl_cffi.requests", reason="pip install curl_cffi")


async def test_brotli_to_chrome(tmp_path: Path) -> None:
    pytest.importorskip("brotli", reason="pip install brotli")
    root = tmp_path / "root.pem"
    root.write_bytes(pki().trust_pem)
    sent: list[str] = []
    context = Context.server(
        identity=Identity.load(pki().ec.chain_pem, pki().ec.key_pem),
        certificate_compression=["zlib", "brotli"],
        trace=lambda event: sent.append(event.name) if event.kind == "sent" else None,
    )

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        writer.close()

    async with await aio.start_server(answer, "127.0.0.1", 0, context=context) as server:
        port = server.sockets[0].getsockname()[1]
        got = await asyncio.to_thread(
            requests.get, f"https://localhost:{port}/", impersonate="chrome", verify=str(root), timeout=20
        )
    assert got.text == "hello"
    assert "compressed_certificate" in sent
    assert "certificate" not in sent
