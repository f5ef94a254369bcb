"""The seam under a handshake: what it needs of TLS records, DTLS flights or QUIC CRYPTO frames.

The same for all transports, so that no handshake asks which one it runs on. What differs between them only as data is a
`Profile`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from caesura.context import Context
from caesura.crypto.protection12 import Protection12
from caesura.crypto.secrets import TrafficSecret
from caesura.events import EarlyDataReason
from caesura.wire.dtls import HelloVerifyRequest
from caesura.wire.extensions import Extensions
from caesura.wire.messages import ClientHello
from caesura.wire.registries import HandshakeType, Version

if TYPE_CHECKING:
    from caesura.handshake.state import Established


Tracer = Callable[[str, str, int], object]
"""What tells a context's `trace` of a kind, a name and a size."""

Keys = TrafficSecret | Protection12
"""What the keys of one direction come as: a secret that they are made of, or, before TLS 1.3, half a key block."""


class Epoch(IntEnum):
    """Which keys protect a message (QUIC: the encryption level). TLS 1.2 has the first and the last."""

    INITIAL = 0
    EARLY_DATA = 1
    HANDSHAKE = 2
    APPLICATION = 3


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """How one transport's handshake differs from another's as data."""

    name: bytes  # part of every session's binding: a ticket never changes its transport
    version13: Version = Version.TLS13
    version12: Version = Version.TLS12
    legacy_version: int = 0x0303
    legacy_versions: range = range(0x0303, 0x10000)  # of a hello without supported_versions that may become 1.2
    label_prefix: bytes = b"tls13 "
    client_hello: type[ClientHello] = ClientHello
    compatibility_session_id: bool = True  # RFC 9846 appendix E.4
    echoes_session_id: bool = True
    refuses_session_id: bool = False  # RFC 9001 section 8.4
    end_of_early_data: bool = True
    post_handshake_auth: bool = True  # RFC 9001 section 4.4 has none
    hybrid_share_first: bool = True  # whether a share of a kilobyte may stand in the first hello
    verify_request: type[HelloVerifyRequest] | None = None  # what a server of 1.2 may ask for a cookie with
    numbered12: bool = False  # whether messages enter the transcript of 1.2 with their number


class MessageTransport(Protocol):
    """Carries handshake messages and changes keys when it is told to."""

    def send(self, epoch: Epoch, message: bytes) -> bytes:
        """Send one whole handshake message under the keys of `epoch`; as it stands there when it is in one piece."""

    def install_read(self, epoch: Epoch, keys: Keys) -> None:
        """Read with these keys from now on; UnexpectedMessage when bytes of the old epoch remain.

        Before TLS 1.3: from the peer's ChangeCipherSpec on, which may come now and not before.
        """

    def install_write(self, epoch: Epoch, keys: Keys) -> None:
        """Write with these keys from now on; before TLS 1.3 behind a ChangeCipherSpec."""

    def version_chosen(self, version: Version) -> None:
        """Both sides speak this version from now on."""

    def own_extensions(self, message: HandshakeType, peer: Extensions | None) -> Extensions:
        """What this transport adds to a message (`peer`: the extensions it answers, None in a ClientHello)."""

    def peer_extensions(self, extensions: Extensions) -> None:
        """What the peer's ClientHello, ServerHello or EncryptedExtensions says to this transport."""

    def context_selected(self, context: Context) -> Tracer | None:
        """The application has brought another context, which counts from now on. What tells its `trace`."""

    def early_data(self, accepted: bool, limit: int, reason: EarlyDataReason) -> None:
        """How it stands with early data, told whenever that changes.

        A client may send `limit` bytes as soon as it is told so, and no more when it is told that none are accepted. A
        server takes `limit` bytes, or passes over as many that came to be refused; 0 then means that none may come.
        """

    def accepts_early_data(self, ticket_state: bytes) -> bool:
        """Whether early data may come with a ticket that remembers this."""

    def ticket_state(self) -> bytes:
        """What a ticket must remember of this transport."""

    def accepts(self, ticket_state: bytes) -> bool:
        """Whether a ticket that remembers this may be resumed here."""

    def completed(self, established: Established) -> None:
        """The handshake is done."""
