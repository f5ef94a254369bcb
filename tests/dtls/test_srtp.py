"""use_srtp in DTLS 1.2 and 1.3 (RFC 5764)."""

from __future__ import annotations

from typing import Any

import pytest

from caesura.context import Context, Method
from caesura.dtls.srtp import SRTP
from caesura.errors import ConfigError, DecodeError, IllegalParameter, UnsupportedExtension
from caesura.wire.extensions import USE_SRTP, Extensions, UseSRTP
from caesura.wire.registries import SRTPProtectionProfile as Profile
from tests.dtls.world import DTLS12, DTLS13, linked

every = pytest.mark.parametrize("version", [DTLS12, DTLS13], ids=["DTLS12", "DTLS13"])
SHA1, GCM = Profile.SRTP_AES128_CM_HMAC_SHA1_80, Profile.SRTP_AEAD_AES_128_GCM


@every
@pytest.mark.parametrize(
    ("client", "server", "agreed"),
    [
        ([SHA1], [SHA1], SHA1),
        ([SHA1, GCM], [GCM, SHA1], GCM),  # the server's order
        ([SHA1], [GCM], None),
        ([SHA1], [], None),
        ([], [SHA1], None),
    ],
)
def test_profiles(
    version: dict[str, Any], client: list[Profile], server: list[Profile], agreed: Profile | None
) -> None:
    link = linked(
        {**version, "dtls": {"srtp_profiles": client}}, {**version, "dtls": {"srtp_profiles": server}}
    ).handshake()
    assert link.client.srtp_profile is link.server.srtp_profile is agreed
    keys = [side.export_keying_material("EXTRACTOR-dtls_srtp", None, 60) for side in (link.client, link.server)]
    assert keys[0] == keys[1]


def test_names() -> None:
    context = Context(Method.DTLS, dtls={"srtp_profiles": ["SRTP_AEAD_AES_256_GCM"]})
    assert context.dtls.srtp_profiles == (Profile.SRTP_AEAD_AES_256_GCM,)
    assert Context(Method.DTLS).dtls.srtp_profiles == ()
    for wrong in ([5], [SHA1, SHA1]):
        with pytest.raises(ConfigError, match="srtp_profiles"):
            Context(Method.DTLS, dtls={"srtp_profiles": wrong})


@pytest.mark.parametrize(
    "answer",
    [UseSRTP((GCM,), b""), UseSRTP((SHA1, SHA1), b""), UseSRTP((SHA1,), b"id"), UseSRTP((0x9999,), b"")],
    ids=["not offered", "two", "an mki", "unknown"],
)
def test_answers_that_are_none(answer: UseSRTP) -> None:
    extensions = Extensions()
    extensions.put(USE_SRTP, answer)
    with pytest.raises(IllegalParameter):
        SRTP((SHA1,)).answered(extensions)


def test_an_mki_is_declined() -> None:
    """RFC 5764 section 4.1.3: the server says the same, or, if it does not use one, nothing."""
    offered, answer = Extensions(), Extensions()
    offered.put(USE_SRTP, UseSRTP((SHA1,), b"id"))
    SRTP((SHA1,)).answer(offered, answer)
    assert answer.get(USE_SRTP) == UseSRTP((SHA1,), b"")


@every
def test_an_answer_that_nobody_asked_for(version: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(self: SRTP, offered: Extensions, extensions: Extensions) -> None:
        extensions.put(USE_SRTP, UseSRTP((SHA1,), b""))

    monkeypatch.setattr(SRTP, "answer", answer)
    link = linked(version, version).start().run(seconds=1)
    assert isinstance(link.client.error, UnsupportedExtension)


def test_malformed() -> None:
    for data in (b"", b"\0\0\0", b"\0\2\0\1", b"\0\3\0\1\0\0", b"\0\2\0\1\2x"):
        extensions = Extensions()
        extensions.put_data(USE_SRTP.code, data)
        with pytest.raises(DecodeError):
            extensions.get(USE_SRTP)
