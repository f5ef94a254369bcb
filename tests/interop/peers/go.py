"""Go's crypto/tls, through a small program of our own (tests/interop/go) that reports in JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

from tests.interop.peers.base import EchoClient, EchoServer, End, Facts, Peer, Remote, Setup, finish
from tests.interop.peers.process import Process, missing

GO_GROUPS = {23: "secp256r1", 24: "secp384r1", 25: "secp521r1", 29: "x25519", 4588: "X25519MLKEM768"}
GO_ALERTS = {
    "bad certificate": 42,
    "expired certificate": 45,
    "unknown certificate authority": 48,
    "certificate required": 116,
}


REPOSITORY = Path(__file__).parents[3]


def go_peer() -> str:
    """The Go peer: built by tests/interop/build_go_peer, kept in .peers."""
    built = REPOSITORY / ".peers" / "gopeer"
    if not built.exists():
        missing("the Go peer", "run tests/interop/build_go_peer (it fetches a Go toolchain if there is none)")
    return str(built)


class GoRemote(Remote):
    def __init__(self, process: Process, port: int = 0) -> None:
        self.process = process
        self.port = port

    def report(self) -> dict[str, object]:
        report: dict[str, object] = json.loads(self.process.wait_for(r"\{[^\n]*\}\n"))
        return report

    def facts(self) -> Facts:
        report = self.report()
        assert "error" not in report, report["error"]
        assert report.get("close_notify", True) is True
        group, version = report["group"], report["version"]
        assert isinstance(group, int)
        assert isinstance(version, int)
        return Facts(
            resumed=bool(report["resumed"]),
            version={0x0303: "1.2", 0x0304: "1.3"}[version],
            suite=str(report["suite"]),
            group=GO_GROUPS.get(group),  # 0: resumed in TLS 1.2
            alpn=str(report["alpn"]) or None,
            peer_certificate=bool(report["certificates"]),
            hello_retry=bool(report["hello_retry"]),
            exported=str(report["exported"]),
        )

    def saw_close_notify(self) -> None:
        while "close_notify" not in (report := self.report()):
            pass
        assert report["close_notify"] is True

    def refused(self) -> int:
        report = self.report()
        assert report.get("from") == "peer", report
        return GO_ALERTS[str(report["error"]).removeprefix("remote error: tls: ")]


class GoServer(GoRemote, EchoServer):
    def close(self) -> None:
        """It does so when our side has closed."""


class GoClient(GoRemote, EchoClient):
    def __init__(self, process: Process, size: int) -> None:
        super().__init__(process)
        self.size = size


class Go(Peer):
    name = "go"
    refusal_alerts: ClassVar = {"wrong name": 42, "expired": 42, "unknown CA": 42}
    can_serve = frozenset(
        {"ed25519", "resume", "client certificate", "retry", "alpn", "bulk", "keylog", "close", "group", "hybrid"}
    )
    can_connect = can_serve | {"closes"}

    @staticmethod
    def _common(setup: Setup) -> Iterator[str]:
        yield from ("-oldest", setup.versions[0], "-newest", setup.versions[-1])
        if setup.chain is not None:
            yield from ("-chain", str(setup.chain), "-key", str(setup.key))
        if setup.alpn:
            yield from ("-alpn", ",".join(setup.alpn))
        if setup.groups:
            yield from ("-groups", ",".join(setup.groups))
        if setup.keylog is not None:
            yield from ("-keylog", str(setup.keylog))

    def serve(self, setup: Setup) -> Remote:
        arguments = [go_peer(), "server", *self._common(setup)]
        if not setup.tickets:
            arguments.append("-no-tickets")
        if setup.trust is not None:
            arguments += ["-client-ca", str(setup.trust)]
            if setup.require_certificate:
                arguments.append("-require")
        process = self.workshop.start(arguments)
        port = json.loads(process.wait_for(r"\{[^\n]*\}\n"))["listening"]
        return GoServer(process, port)

    def connect(self, port: int, setup: Setup, *more: str) -> Remote:
        arguments = [go_peer(), "client", "-addr", f"127.0.0.1:{port}", "-ca", str(setup.trust)]
        arguments += ["-name", setup.server_name, "-bytes", str(setup.size), *self._common(setup), *more]
        return GoClient(self.workshop.start(arguments), setup.size)

    def resume(self, port: int, setup: Setup, accept: Callable[[], End]) -> tuple[End, Remote]:
        client = self.connect(port, setup, "-connections", "2")
        end = accept()
        client.talk(end)
        finish(end)
        end = accept()
        client.talk(end)
        assert client.facts().resumed is False
        return end, client
