"""use_srtp: SRTP's keys are agreed on with the handshake (RFC 5764). What they protect does not pass through here.

Both sides then derive the keys and salts with `export_keying_material("EXTRACTOR-dtls_srtp", None, length)`, where
`length` is twice that of the profile's key and salt together (section 4.2).
"""

from __future__ import annotations

from collections.abc import Collection

from caesura.errors import IllegalParameter
from caesura.wire.extensions import USE_SRTP, Extensions, UseSRTP
from caesura.wire.registries import SRTPProtectionProfile


class SRTP:
    """`profiles` are those that may be agreed on, the preferred one first; `agreed` is the one that was."""

    __slots__ = ("_profiles", "agreed")

    def __init__(self, profiles: Collection[SRTPProtectionProfile]) -> None:
        self._profiles = profiles
        self.agreed: SRTPProtectionProfile | None = None

    def offer(self, extensions: Extensions) -> None:
        """Say in a ClientHello what we could use. There is no key identifier."""
        if self._profiles:
            extensions.put(USE_SRTP, UseSRTP(tuple(self._profiles), b""))

    def answer(self, offered: Extensions, extensions: Extensions) -> None:
        """Choose, as a server, the first of ours that the client has; without one, nothing is said of SRTP."""
        theirs = offered.get(USE_SRTP) if self._profiles else None
        if theirs is None:
            return
        self.agreed = next((each for each in self._profiles if each in theirs.profiles), None)
        if self.agreed is not None:
            extensions.put(USE_SRTP, UseSRTP((self.agreed,), b""))  # without a key identifier: there is one key

    def answered(self, extensions: Extensions) -> None:
        """What the server has chosen."""
        theirs = extensions.get(USE_SRTP)
        if theirs is None:
            return
        if len(theirs.profiles) != 1 or theirs.profiles[0] not in self._profiles or theirs.mki:
            raise IllegalParameter("use_srtp with what was not offered", section="RFC 5764 section 4.1.1")
        self.agreed = SRTPProtectionProfile(theirs.profiles[0])
