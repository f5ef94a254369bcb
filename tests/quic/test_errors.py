"""The codes of RFC 9000 section 20.1 and the classes that stand for them."""

from __future__ import annotations

import pytest

from caesura import errors
from caesura.errors import PeerClose, TransportError, TransportErrorCode

RAISED = TransportError.__subclasses__()


@pytest.mark.parametrize("kind", RAISED, ids=lambda kind: kind.__name__)
def test_each_class_has_its_code(kind: type[TransportError]) -> None:
    assert kind.code == f"QUIC_{kind.error_code.name}"
    error = kind("a reason", frame_type=6, section="RFC 9000 section 1")
    assert (error.frame_type, error.reason, error.section) == (6, kind.code, "RFC 9000 section 1")
    assert "a reason (RFC 9000 section 1)" in str(error)
    assert kind().frame_type is None


def test_no_two_classes_share_a_code() -> None:
    assert len({kind.error_code for kind in RAISED}) == len(RAISED)
    told_otherwise = {  # sent without a rule being broken, by the class above them all, as alerts
        TransportErrorCode.NO_ERROR,
        TransportErrorCode.INTERNAL_ERROR,
        TransportErrorCode.APPLICATION_ERROR,
        TransportErrorCode.CRYPTO_ERROR,
    }
    assert {kind.error_code for kind in RAISED} == set(TransportErrorCode) - told_otherwise


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (PeerClose(0x0A, "why"), TransportErrorCode.PROTOCOL_VIOLATION, "with PROTOCOL_VIOLATION: why"),
        (PeerClose(0x0100 + 42), 0x012A, "with the alert bad_certificate"),
        (PeerClose(0x0100), 0x0100, "with the alert close_notify"),
        (PeerClose(0x01FE), 0x01FE, "with transport error 0x1fe"),
        (PeerClose(2**62 - 1), 2**62 - 1, "with transport error 0x3fffffffffffffff"),
        (PeerClose(0x0A, application=True), 0x0A, "with application error 0xa"),
    ],
)
def test_what_the_peer_said(error: PeerClose, code: int, text: str) -> None:
    assert error.error_code == code
    assert text in str(error)
    assert isinstance(error, errors.Error)
