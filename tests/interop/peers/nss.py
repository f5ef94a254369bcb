"""NSS: selfserv and tstclnt, with the library that Firefox brings."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from tests.interop.peers.base import End, Facts, Peer, PipeRemote, Remote, Setup, read_exactly
from tests.interop.peers.process import PATIENCE, Process, missing, on_free_port, program

NSS_GROUPS = {"x25519": "x25519", "secp256r1": "P256", "secp384r1": "P384", "secp521r1": "P521"}
# What NSS calls the alerts it receives: SSL_ERROR_*_ALERT of its sslerr.h.
NSS_ALERTS = {"-12271": 42, "-12270": 44, "-12269": 45, "-12195": 48}


class NSSRemote(Remote):
    def __init__(self, process: Process, port: int = 0) -> None:
        self.process = process
        self.port = port
        self._resumes = 0

    def facts(self) -> Facts:
        text = self.process.wait_for(r"(\d+) stateless resumes")
        resumes = int(re.findall(r"(\d+) stateless resumes", text)[-1])
        resumed = resumes > self._resumes
        self._resumes = resumes
        return Facts(resumed=resumed)

    def refused(self) -> int:
        text = self.process.wait_for(r"(error -\d+:|SSL_ERROR_\w+_ALERT)")
        return NSS_ALERTS[text.rpartition(" ")[2].rstrip(":")]


class NSSServer(NSSRemote):
    """selfserv speaks HTTP only, so it takes one request a connection."""

    def talk(self, end: End) -> None:
        end.write(b"GET / HTTP/1.0\r\n\r\n")
        answer = read_exactly(end, 12)
        assert answer == b"HTTP/1.0 200"

    def bulk(self, end: End, size: int) -> None:
        end.write(b"GET / HTTP/1.0\r\n\r\n")
        total = 0
        while piece := end.read(65536):
            total += len(piece)
        assert total >= size

    def close(self) -> None:
        """It does so by itself after its answer."""

    def saw_close_notify(self) -> None:
        raise AssertionError("selfserv does not say how a connection ended")


class NSSClient(NSSRemote, PipeRemote):
    """tstclnt goes on until its input ends and the server closes too."""

    def saw_close_notify(self) -> None:
        raise AssertionError("tstclnt does not say how a connection ended")


class NSS(Peer):
    name = "nss"
    refusal_alerts: ClassVar = {"wrong name": 42, "expired": 45, "unknown CA": 48}
    can_serve = frozenset({"resume", "client certificate", "retry", "keylog", "download"})
    can_connect = frozenset({"resume", "client certificate", "retry", "bulk", "keylog"})

    def _environment(self, setup: Setup) -> dict[str, str]:
        """Firefox brings the newest NSS; Debian's own programs run with it."""
        for place in ("/usr/lib/firefox-esr", "/usr/lib/firefox", "/usr/lib64/firefox"):
            if Path(place, "libssl3.so").exists():
                env = {"LD_LIBRARY_PATH": place}
                return {**env, "SSLKEYLOGFILE": str(setup.keylog)} if setup.keylog is not None else env
        missing("a current NSS", "apt-get install firefox-esr (its libssl3 is used)")
        raise AssertionError

    def _database(self, setup: Setup) -> str:
        """A certificate database with our own identity ("own") and the trust anchors."""
        folder = self.workshop.path("nss")
        folder.mkdir()
        database = f"sql:{folder}"
        how = "apt-get install libnss3-tools"
        certutil, pk12util = program("certutil", how), program("pk12util", how)
        openssl = program("openssl", "apt-get install openssl")

        def run(*arguments: str) -> None:
            subprocess.run(arguments, check=True, capture_output=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)

        run(certutil, "-N", "-d", database, "--empty-password")
        if setup.chain is not None:
            bundle = str(folder / "own.p12")
            source = ("-in", str(setup.chain), "-inkey", str(setup.key))
            run(openssl, "pkcs12", "-export", *source, "-name", "own", "-out", bundle, "-passout", "pass:")
            run(pk12util, "-i", bundle, "-d", database, "-W", "", "-K", "")
        if setup.trust is not None:
            run(certutil, "-A", "-n", "anchor", "-t", "CT,C,C", "-i", str(setup.trust), "-d", database)
        return database

    @staticmethod
    def _groups(setup: Setup) -> list[str]:
        return ["-I", ",".join(NSS_GROUPS[group] for group in setup.groups)] if setup.groups else []

    @staticmethod
    def _versions(setup: Setup) -> str:
        return f"tls{setup.versions[0]}:tls{setup.versions[-1]}"

    def serve(self, setup: Setup) -> Remote:
        arguments = [
            *(program("selfserv", "apt-get install libnss3-tools"), "-d", self._database(setup), "-n", "own"),
            *("-V", self._versions(setup), *(["-u"] if setup.tickets else []), "-v", *self._groups(setup)),
            *(["-r"] * (0 if setup.trust is None else 2 if setup.require_certificate else 1)),
            *(["-g", str(setup.size // 16384 + 1)] if setup.size > 64 else []),  # blocks of its answer
        ]
        env = self._environment(setup)
        process, port = on_free_port(
            lambda port: self.workshop.start([*arguments, "-p", str(port)], env), "About to call accept"
        )
        return NSSServer(process, port)

    def connect(self, port: int, setup: Setup, *more: str) -> Remote:
        assert setup.server_name == "localhost", "tstclnt verifies the name it connects to"
        arguments = [
            *(
                program("tstclnt", "apt-get install libnss3-tools"),
                "-d",
                self._database(setup),
                "-h",
                "localhost",
                "-4",
            ),
            *("-p", str(port), "-V", self._versions(setup), "-u", *self._groups(setup)),
            *(["-n", "own"] if setup.chain is not None else []),
            *more,
        ]
        return NSSClient(self.workshop.start(arguments, self._environment(setup)))

    def resume(self, port: int, setup: Setup, accept: Callable[[], End]) -> tuple[End, Remote]:
        said = self.workshop.path("said")
        said.write_bytes(b"from the peer\n")
        client = self.connect(port, setup, "-L", "2", "-A", str(said))  # both in one process, each until we close
        end = accept()
        assert read_exactly(end, 14) == said.read_bytes()
        end.close()
        end = accept()
        assert read_exactly(end, 14) == said.read_bytes()
        assert client.facts().resumed is False
        return end, client
