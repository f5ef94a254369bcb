"""Real peers on loopback: OpenSSL, GnuTLS, NSS, Go and CPython's `ssl`, each as a server and as a client.

What differs between them is hidden behind the few verbs of `base.Remote`; `process` starts and ends them.
"""

from tests.interop.peers.base import EXPORTER, End, Facts, Peer, Remote, Setup, echo, finish, read_exactly
from tests.interop.peers.gnutls import GnuTLS
from tests.interop.peers.go import Go
from tests.interop.peers.nss import NSS
from tests.interop.peers.openssl import OpenSSL
from tests.interop.peers.process import PATIENCE, Workshop, listen
from tests.interop.peers.stdlib import Stdlib

PEERS: tuple[type[Peer], ...] = (OpenSSL, Stdlib, GnuTLS, Go, NSS)

__all__ = [
    "EXPORTER",
    "NSS",
    "PATIENCE",
    "PEERS",
    "End",
    "Facts",
    "GnuTLS",
    "Go",
    "OpenSSL",
    "Peer",
    "Remote",
    "Setup",
    "Stdlib",
    "Workshop",
    "echo",
    "finish",
    "listen",
    "read_exactly",
]  # fmt: skip
