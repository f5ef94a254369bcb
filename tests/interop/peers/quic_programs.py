"""QUIC peers that are programs: Go's x/net/quic and deno's quinn by small sources of ours, ngtcp2's and caddy's own."""

from __future__ import annotations

import asyncio
import hashlib
import json
from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

from tests.interop.peers.process import Process, missing, on_free_port, on_free_udp_port, program
from tests.interop.peers.quic import HOST, QUICPeer, Report

REPOSITORY = Path(__file__).parents[3]
LINE = r"\{[^\n]*\}\n"


async def told(process: Process) -> dict[str, Any]:
    """The program's next report."""
    report: dict[str, Any] = json.loads(await asyncio.to_thread(process.wait_for, LINE))
    assert "error" not in report, report["error"]
    return report


class Reporting(QUICPeer):
    """A program of ours that tells what it does in lines of JSON."""

    @property
    @abstractmethod
    def command(self) -> list[str]:
        """The program; its role and its options follow."""

    def start(self, role: str, **options: Any) -> Process:
        return self.workshop.start([*self.command, role, json.dumps({"alpn": self.alpn, **options})])

    @asynccontextmanager
    async def serving(self, *, retry: bool = False, **settings: Any) -> AsyncIterator[int]:
        assert not settings
        files = {"chain": str(self.files["ec.chain"]), "key": str(self.files["ec.key"])}
        process = self.start("server", retry=retry, **files)
        yield (await told(process))["listening"]

    async def talk(self, *ports: int, streams: int = 1, size: int = 1, **settings: Any) -> list[Report]:
        assert not settings
        process = self.start("client", ca=str(self.files["root"]), ports=ports, streams=streams, bytes=size)
        reports = [await told(process) for _ in ports]
        return [Report(each["alpn"], each.get("group"), each.get("resumed")) for each in reports]


class GoQUIC(Reporting):
    """x/net/quic as it comes with Go 1.27.

    It cannot follow a key update until its own packets under the keys before have been acknowledged, and waits for ever
    then: several updates in a second, on a network that loses packets, are too much for it (RFC 9001 section 6.1).
    """

    name = "go"
    lacks_as_server: ClassVar = {
        "tickets": "x/net/quic of Go 1.27 never has crypto/tls send one",
        "early data": "without tickets there is none",
        "version 2": "x/net/quic of Go 1.27 knows version 1",
    }
    lacks_as_client: ClassVar = {
        "early data": "x/net/quic of Go 1.27 sends none",
        "version 2": "x/net/quic of Go 1.27 knows version 1",
    }

    @property
    def command(self) -> list[str]:
        built = REPOSITORY / ".peers" / "goquicpeer"
        if not built.exists():
            missing("the Go QUIC peer", "run tests/interop/build_go_quic_peer (it fetches a Go toolchain if needed)")
        return [str(built)]


class Deno(Reporting):
    """quinn and rustls in deno 2.9.6. It tells neither what became of early data nor which group was used."""

    name = "deno"
    prefers: ClassVar = "x25519"  # it has X25519MLKEM768 too, and no share for it
    lacks_as_server: ClassVar = {
        "retry": "deno 2.9.6 has no name for what quinn can do",
        "version 2": "quinn in deno 2.9.6 knows version 1",
    }
    lacks_as_client: ClassVar = {"version 2": "quinn in deno 2.9.6 knows version 1"}

    @property
    def command(self) -> list[str]:
        folder = REPOSITORY / ".peers" / "deno"
        deno = folder / "node_modules" / ".bin" / "deno"
        if not deno.exists():
            missing("deno", "run tests/interop/build_deno_peer (it needs npm)")
        return [str(deno), "run", "--quiet", "--allow-all", "--unstable-net", str(folder / "peer.mts")]


# --- those that speak HTTP/3 --------------------------------------------------------------------------------------


class NGTCP2(QUICPeer):
    """Debian's ngtcp2 0.12.1 with GnuTLS. Its client trusts anybody and tells nothing; its server has files only.

    What it calls version 2 is a draft's, so that ours is unknown to it.
    """

    name = "ngtcp2"
    http3 = True
    prefers: ClassVar = "x25519"
    groups: ClassVar = ("x25519", "secp256r1")
    lacks_as_server: ClassVar = {
        "version 2": "ngtcp2 0.12.1 knows a draft's",
        "own key update": "gtlsserver has no option",
    }
    lacks_as_client: ClassVar = {"version 2": "ngtcp2 0.12.1 knows a draft's"}

    @asynccontextmanager
    async def serving(self, *, retry: bool = False, **settings: Any) -> AsyncIterator[int]:
        """It answers with the file that was asked for, and reads what comes with the request."""
        assert not settings
        server = program("gtlsserver", "apt-get install ngtcp2-server")
        arguments = [*(["--validate-addr"] if retry else []), f"--htdocs={self.workshop.folder}", "--quiet"]
        files = [str(self.files["ec.key"]), str(self.files["ec.chain"])]

        def start(port: int) -> Process:
            return self.workshop.start([server, *arguments, HOST, str(port), *files])

        _, port = await asyncio.to_thread(on_free_udp_port, start)
        yield port

    def path(self, data: bytes) -> str:
        """A file of its own: the server remembers what it has read."""
        name = hashlib.sha256(data).hexdigest()
        (self.workshop.folder / name).write_bytes(data)
        return f"/{name}"

    async def talk(self, *ports: int, streams: int = 1, size: int = 1, **settings: Any) -> list[Report]:
        """`options`: more of its own."""
        client = program("gtlsclient", "apt-get install ngtcp2-client")
        folder = self.workshop.folder
        sent, received = folder / "sent", folder / "received"
        sent.write_bytes(bytes(number % 251 for number in range(size)))
        received.mkdir(exist_ok=True)
        options = ["--quiet", "--exit-on-all-streams-close", "--sni=localhost"]
        options += [f"--session-file={folder / 'session'}", f"--tp-file={folder / 'parameters'}"]
        options += [f"--data={sent}", f"--download={received}", *settings.get("options", ())]
        for port in ports:
            uris = [f"https://localhost:{port}/{number}" for number in range(streams)]
            process = self.workshop.start([client, *options, HOST, str(port), *uris])
            await asyncio.to_thread(process.wait)
            for number in range(streams):
                answer = received / str(number)
                assert answer.read_bytes() == sent.read_bytes()
                answer.unlink()
        return [Report() for _ in ports]


CADDYFILE = """{{
    admin off
    auto_https off
    servers {{
        protocols h3
    }}
}}
https://localhost:{port} {{
    bind 127.0.0.1
    tls {chain} {key}
    respond "{{http.request.body}}"
}}
"""


class Caddy(QUICPeer):
    """quic-go in Debian's caddy 2.6.2, as a server. It tells nothing."""

    name = "caddy"
    http3 = True
    groups: ClassVar = ("x25519", "secp256r1")
    lacks_as_server: ClassVar = {
        "retry": "caddy 2.6.2 leaves it to quic-go, which does it under load",
        "own key update": "quic-go in caddy 2.6.2 makes one after 100 000 packets",
        "version 2": "quic-go in caddy 2.6.2 knows a draft's",
    }
    lacks_as_client: ClassVar = {"connect": "caddy 2.6.2 is no client of HTTP/3"}

    @asynccontextmanager
    async def serving(self, *, retry: bool = False, **settings: Any) -> AsyncIterator[int]:
        """It answers with the body of the request."""
        assert not retry
        assert not settings
        caddy = program("caddy", "apt-get install caddy")
        folder = str(self.workshop.folder)

        def start(port: int) -> Process:  # it takes the TCP port too
            config = self.workshop.path("Caddyfile")
            chain, key = self.files["ec.chain"], self.files["ec.key"]
            config.write_text(CADDYFILE.format(port=port, chain=chain, key=key))
            arguments = [caddy, "run", "--config", str(config), "--adapter", "caddyfile"]
            homes = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), folder)
            return self.workshop.start(arguments, homes)

        _, port = await asyncio.to_thread(on_free_port, start, "serving initial configuration")
        yield port

    async def talk(self, *ports: int, streams: int = 1, size: int = 1, **settings: Any) -> list[Report]:
        raise AssertionError(self.lacks_as_client["connect"])
