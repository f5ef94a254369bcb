"""The exception tree, the alerts, and their stable codes.

Three things are kept apart: the peer broke a rule (`LocalAlert` and, in QUIC, `TransportError`, which we send), the
peer told us that we did (`PeerAlert`, `PeerClose`, which we received), and the caller misused the API (`UsageError`,
`ConfigError`). An alert or transport error is raised once, where the rule is broken; one place, the connection, puts it
on the wire.

All of them are `ssl.SSLError`, so `except` clauses written for the standard library keep working. The text of a message
may change; `code` may not. Nothing here knows a protocol.
"""

from __future__ import annotations

import ssl
from enum import IntEnum, unique
from typing import ClassVar


@unique
class AlertDescription(IntEnum):
    """What an alert says: the TLS Alerts registry (RFC 9846 section 6)."""

    close_notify = 0
    unexpected_message = 10
    bad_record_mac = 20
    record_overflow = 22
    decompression_failure = 30  # reserved: nobody has a reason to send it
    handshake_failure = 40
    bad_certificate = 42
    unsupported_certificate = 43
    certificate_revoked = 44
    certificate_expired = 45
    certificate_unknown = 46
    illegal_parameter = 47
    unknown_ca = 48
    access_denied = 49
    decode_error = 50
    decrypt_error = 51
    too_many_cids_requested = 52
    protocol_version = 70
    insufficient_security = 71
    internal_error = 80
    inappropriate_fallback = 86
    user_canceled = 90
    no_renegotiation = 100
    missing_extension = 109
    unsupported_extension = 110
    unrecognized_name = 112
    bad_certificate_status_response = 113
    unknown_psk_identity = 115
    certificate_required = 116
    general_error = 117
    no_application_protocol = 120
    ech_required = 121


def printable(text: str) -> str:
    """Text of the peer's making, fit for a message or a log: short, and without control characters."""
    return "".join(char if char.isprintable() else "?" for char in text[:200]) + ("…" if len(text) > 200 else "")


class Error(ssl.SSLError):
    """Whatever this library raises on purpose.

    `code` is stable and meant for programs; `reason` and `library` stand where `ssl.SSLError` has them; `section` names
    the clause that was broken, when there is one.
    """

    code: ClassVar[str] = "ERROR"
    ssl_error: ClassVar[int] = ssl.SSL_ERROR_SSL

    def __init__(self, message: str = "", *, section: str = "") -> None:
        text = message or (type(self).__doc__ or "").partition("\n")[0].rstrip(".")
        super().__init__(self.ssl_error, f"{text} ({section})" if section else text)
        self.reason = self.code
        self.library = "CAESURA"
        self.section = section


# --- not failures: what a call waits for -----------------------------------------------------------------------


class WantRead(Error, ssl.SSLWantReadError):
    """The peer's bytes are needed before the call can go on (SSL_ERROR_WANT_READ)."""

    code = "WANT_READ"
    ssl_error = ssl.SSL_ERROR_WANT_READ


class WantWrite(Error, ssl.SSLWantWriteError):
    """The transport must take bytes before the call can go on (SSL_ERROR_WANT_WRITE)."""

    code = "WANT_WRITE"
    ssl_error = ssl.SSL_ERROR_WANT_WRITE


class WantAsync(Error):
    """A cryptographic operation is paused; call again when its wait context says so (SSL_ERROR_WANT_ASYNC).

    Not a `WantRead`: who only waits for the peer's bytes would wait for ever.
    """

    code = "WANT_ASYNC"
    ssl_error = 9


class WantAsyncJob(Error):
    """No job was free in this thread's pool; nothing is damaged, call again later (SSL_ERROR_WANT_ASYNC_JOB)."""

    code = "WANT_ASYNC_JOB"
    ssl_error = 10


class ZeroReturn(Error, ssl.SSLZeroReturnError):
    """The peer has closed its direction with close_notify (SSL_ERROR_ZERO_RETURN)."""

    code = "ZERO_RETURN"
    ssl_error = ssl.SSL_ERROR_ZERO_RETURN


# --- failures of the transport, the caller, or the work ----------------------------------------------------------


class UnexpectedEOF(Error, ssl.SSLEOFError):
    """The transport ended without the peer's close_notify: what came may be cut short."""

    code = "UNEXPECTED_EOF"
    ssl_error = ssl.SSL_ERROR_SSL


class UsageError(Error):
    """The caller asked for what cannot be done now; the message names what is missing."""

    code = "USAGE"


class ConfigError(Error, ValueError):
    """A setting was refused when it was given; the message names the setting."""

    code = "CONFIG"


class OperationFailed(Error):
    """An engine, a key or a callback raised; the reason is in `__cause__`, the peer hears internal_error."""

    code = "OPERATION_FAILED"


class OperationTimeout(Error, TimeoutError):
    """A piece of work did not finish within the deadline it was given."""

    code = "OPERATION_TIMEOUT"


class ReadTimeoutExpired(Error, TimeoutError):
    """The peer did not answer, however often we have sent our flight (RFC 9147 section 5.8)."""

    code = "READ_TIMEOUT_EXPIRED"


class IdleTimeout(Error, TimeoutError):
    """Nothing has come from the peer for as long as was allowed."""

    code = "IDLE_TIMEOUT"


class JobCancelled(BaseException):
    """Raised at the pause of a cancelled job, and at each further pause, so that `finally` blocks run.

    Like `asyncio.CancelledError` it is no `Exception`: code that swallows errors does not swallow a cancellation.
    """


# --- alerts ------------------------------------------------------------------------------------------------------


class PeerAlert(Error):
    """The peer sent an alert that ends the connection (RFC 9846 section 6.2)."""

    code = "PEER_ALERT"

    def __init__(self, description: int) -> None:
        self.description = ALERTS.get(description, description)
        name = self.description.name if isinstance(self.description, AlertDescription) else str(description)
        super().__init__(f"the peer sent the alert {name}")


class LocalAlert(Error):
    """The peer broke a rule; the alert of this class is sent and the connection ends (RFC 9846 section 6.2)."""

    code = "TLS_INTERNAL_ERROR"
    description: AlertDescription = AlertDescription.internal_error


class UnexpectedMessage(LocalAlert):
    """A message arrived where no such message can stand."""

    code = "TLS_UNEXPECTED_MESSAGE"
    description = AlertDescription.unexpected_message


class BadRecordMAC(LocalAlert):
    """A record failed to authenticate."""

    code = "TLS_BAD_RECORD_MAC"
    description = AlertDescription.bad_record_mac


class RecordOverflow(LocalAlert):
    """A record is longer than it may be."""

    code = "TLS_RECORD_OVERFLOW"
    description = AlertDescription.record_overflow


class HandshakeFailure(LocalAlert):
    """No acceptable set of parameters was found."""

    code = "TLS_HANDSHAKE_FAILURE"
    description = AlertDescription.handshake_failure


class BadCertificate(LocalAlert):
    """A certificate is corrupt."""

    code = "TLS_BAD_CERTIFICATE"
    description = AlertDescription.bad_certificate


class UnsupportedCertificate(LocalAlert):
    """A certificate is of a kind that cannot be used here."""

    code = "TLS_UNSUPPORTED_CERTIFICATE"
    description = AlertDescription.unsupported_certificate


class IllegalParameter(LocalAlert):
    """A field is out of range or does not agree with another one."""

    code = "TLS_ILLEGAL_PARAMETER"
    description = AlertDescription.illegal_parameter


class AccessDenied(LocalAlert):
    """The peer is known and not allowed."""

    code = "TLS_ACCESS_DENIED"
    description = AlertDescription.access_denied


class DecodeError(LocalAlert):
    """A message could not be decoded: a length or a value is impossible."""

    code = "TLS_DECODE_ERROR"
    description = AlertDescription.decode_error


class DecryptError(LocalAlert):
    """A signature, a Finished or a binder did not verify."""

    code = "TLS_DECRYPT_ERROR"
    description = AlertDescription.decrypt_error


class TooManyCIDsRequested(LocalAlert):
    """The peer asked for new connection ids too often (RFC 9147 section 9)."""

    code = "TLS_TOO_MANY_CIDS_REQUESTED"
    description = AlertDescription.too_many_cids_requested


class ProtocolVersionAlert(LocalAlert):
    """The peer offers no version that is acceptable here."""

    code = "TLS_PROTOCOL_VERSION"
    description = AlertDescription.protocol_version


class InsufficientSecurity(LocalAlert):
    """What the peer offers is weaker than what is required here."""

    code = "TLS_INSUFFICIENT_SECURITY"
    description = AlertDescription.insufficient_security


class InternalError(LocalAlert):
    """Something failed here that is not the peer's fault."""

    code = "TLS_INTERNAL_ERROR"
    description = AlertDescription.internal_error


class InappropriateFallback(LocalAlert):
    """A client that has retried with an older version meets a server that has a newer one (RFC 7507)."""

    code = "TLS_INAPPROPRIATE_FALLBACK"
    description = AlertDescription.inappropriate_fallback


class NoRenegotiation(LocalAlert):
    """The peer began another handshake on an established connection, which is never done here."""

    code = "TLS_NO_RENEGOTIATION"
    description = AlertDescription.no_renegotiation


class MissingExtension(LocalAlert):
    """An extension that must be there is not."""

    code = "TLS_MISSING_EXTENSION"
    description = AlertDescription.missing_extension


class UnsupportedExtension(LocalAlert):
    """A response carries an extension that was not offered."""

    code = "TLS_UNSUPPORTED_EXTENSION"
    description = AlertDescription.unsupported_extension


class UnrecognizedName(LocalAlert):
    """No identity answers to the name the client asked for."""

    code = "TLS_UNRECOGNIZED_NAME"
    description = AlertDescription.unrecognized_name


class BadCertificateStatusResponse(LocalAlert):
    """A stapled OCSP response is invalid."""

    code = "TLS_BAD_CERTIFICATE_STATUS_RESPONSE"
    description = AlertDescription.bad_certificate_status_response


class UnknownPSKIdentity(LocalAlert):
    """A pre-shared key is required and none was known."""

    code = "TLS_UNKNOWN_PSK_IDENTITY"
    description = AlertDescription.unknown_psk_identity


class CertificateRequired(LocalAlert):
    """A client certificate is required and none was given."""

    code = "TLS_CERTIFICATE_REQUIRED"
    description = AlertDescription.certificate_required


class NoApplicationProtocol(LocalAlert):
    """The two sides have no application protocol in common."""

    code = "TLS_NO_APPLICATION_PROTOCOL"
    description = AlertDescription.no_application_protocol


class CertificateVerifyError(LocalAlert, ssl.SSLCertVerificationError):
    """The peer's chain, name or validity was refused; `description` is the alert that says why.

    `verify_code` and `verify_message` stand where `ssl.SSLCertVerificationError` has them, with OpenSSL's numbers
    where OpenSSL has one (X509_STORE_CTX_get_error(3)).
    """

    code = "CERTIFICATE_VERIFY_FAILED"

    def __init__(
        self,
        message: str = "",
        *,
        description: AlertDescription = AlertDescription.bad_certificate,
        verify_code: int = 1,
    ) -> None:
        super().__init__(f"certificate verify failed: {message}" if message else "certificate verify failed")
        self.description = description
        self.verify_code = verify_code
        self.verify_message = message


ALERTS: dict[int, AlertDescription] = {int(member): member for member in AlertDescription}


# --- QUIC --------------------------------------------------------------------------------------------------------


@unique
class TransportErrorCode(IntEnum):
    """What a CONNECTION_CLOSE of type 0x1c says: the QUIC Transport Error Codes registry (RFC 9000 section 20.1).

    From CRYPTO_ERROR on, 256 codes are alerts of the handshake: the alert's number is in the lowest byte (RFC 9001
    section 4.8).
    """

    NO_ERROR = 0x00
    INTERNAL_ERROR = 0x01
    CONNECTION_REFUSED = 0x02
    FLOW_CONTROL_ERROR = 0x03
    STREAM_LIMIT_ERROR = 0x04
    STREAM_STATE_ERROR = 0x05
    FINAL_SIZE_ERROR = 0x06
    FRAME_ENCODING_ERROR = 0x07
    TRANSPORT_PARAMETER_ERROR = 0x08
    CONNECTION_ID_LIMIT_ERROR = 0x09
    PROTOCOL_VIOLATION = 0x0A
    INVALID_TOKEN = 0x0B
    APPLICATION_ERROR = 0x0C
    CRYPTO_BUFFER_EXCEEDED = 0x0D
    KEY_UPDATE_ERROR = 0x0E
    AEAD_LIMIT_REACHED = 0x0F
    NO_VIABLE_PATH = 0x10
    VERSION_NEGOTIATION_ERROR = 0x11  # RFC 9368
    CRYPTO_ERROR = 0x0100


class TransportError(Error):
    """A rule of QUIC was broken; CONNECTION_CLOSE with this class's `error_code` is sent (RFC 9000 section 20.1).

    `frame_type` is that of the frame in which it happened, None when it was in none; the message is the reason phrase.
    """

    code = "QUIC_INTERNAL_ERROR"
    error_code: TransportErrorCode = TransportErrorCode.INTERNAL_ERROR

    def __init__(self, message: str = "", *, frame_type: int | None = None, section: str = "") -> None:
        super().__init__(message, section=section)
        self.frame_type = frame_type


class ConnectionRefused(TransportError):
    """The server does not take new connections now."""

    code = "QUIC_CONNECTION_REFUSED"
    error_code = TransportErrorCode.CONNECTION_REFUSED


class FlowControlError(TransportError):
    """More data than was permitted."""

    code = "QUIC_FLOW_CONTROL_ERROR"
    error_code = TransportErrorCode.FLOW_CONTROL_ERROR


class StreamLimitError(TransportError):
    """A stream beyond the limit on streams of its kind."""

    code = "QUIC_STREAM_LIMIT_ERROR"
    error_code = TransportErrorCode.STREAM_LIMIT_ERROR


class StreamStateError(TransportError):
    """A frame for a stream that cannot have it."""

    code = "QUIC_STREAM_STATE_ERROR"
    error_code = TransportErrorCode.STREAM_STATE_ERROR


class FinalSizeError(TransportError):
    """A stream's final size changed, or data lies behind it."""

    code = "QUIC_FINAL_SIZE_ERROR"
    error_code = TransportErrorCode.FINAL_SIZE_ERROR


class FrameEncodingError(TransportError):
    """A frame is badly formatted, or of an unknown type."""

    code = "QUIC_FRAME_ENCODING_ERROR"
    error_code = TransportErrorCode.FRAME_ENCODING_ERROR


class TransportParameterError(TransportError):
    """The peer's transport parameters are badly formatted, out of range, missing or forbidden."""

    code = "QUIC_TRANSPORT_PARAMETER_ERROR"
    error_code = TransportErrorCode.TRANSPORT_PARAMETER_ERROR


class ConnectionIdLimitError(TransportError):
    """More connection ids than were permitted."""

    code = "QUIC_CONNECTION_ID_LIMIT_ERROR"
    error_code = TransportErrorCode.CONNECTION_ID_LIMIT_ERROR


class ProtocolViolation(TransportError):
    """A rule was broken that no other code names."""

    code = "QUIC_PROTOCOL_VIOLATION"
    error_code = TransportErrorCode.PROTOCOL_VIOLATION


class InvalidToken(TransportError):
    """An Initial packet carries a Retry token that is not ours, or no longer good."""

    code = "QUIC_INVALID_TOKEN"
    error_code = TransportErrorCode.INVALID_TOKEN


class CryptoBufferExceeded(TransportError):
    """More handshake data ahead of its turn than is kept."""

    code = "QUIC_CRYPTO_BUFFER_EXCEEDED"
    error_code = TransportErrorCode.CRYPTO_BUFFER_EXCEEDED


class KeyUpdateError(TransportError):
    """Keys were updated when they may not be."""

    code = "QUIC_KEY_UPDATE_ERROR"
    error_code = TransportErrorCode.KEY_UPDATE_ERROR


class AEADLimitReached(TransportError):
    """A key has protected, or failed to open, as many packets as its algorithm permits."""

    code = "QUIC_AEAD_LIMIT_REACHED"
    error_code = TransportErrorCode.AEAD_LIMIT_REACHED


class NoViablePath(TransportError):
    """The network path cannot carry QUIC."""

    code = "QUIC_NO_VIABLE_PATH"
    error_code = TransportErrorCode.NO_VIABLE_PATH


class VersionNegotiationError(TransportError):
    """The two sides have no version in common, or somebody has meddled with the choice (RFC 9368)."""

    code = "QUIC_VERSION_NEGOTIATION_ERROR"
    error_code = TransportErrorCode.VERSION_NEGOTIATION_ERROR


class PeerClose(Error):
    """The peer closed the connection (RFC 9000 section 10.2).

    `error_code` is a `TransportErrorCode` where the registry has it, or, when `application` is true, a number that the
    application protocol gives a meaning; `frame_type` is the one the peer blames, None if it blames none.
    """

    code = "PEER_CLOSE"

    def __init__(
        self, error_code: int, reason_phrase: str = "", *, application: bool = False, frame_type: int | None = None
    ) -> None:
        self.application = application
        self.error_code = error_code if application else TRANSPORT_ERRORS.get(error_code, error_code)
        self.reason_phrase = reason_phrase
        self.frame_type = frame_type
        if isinstance(self.error_code, TransportErrorCode):
            name = self.error_code.name
        elif not application and error_code & ~0xFF == TransportErrorCode.CRYPTO_ERROR and error_code & 0xFF in ALERTS:
            name = f"the alert {ALERTS[error_code & 0xFF].name}"
        else:
            name = f"{'application' if application else 'transport'} error {error_code:#x}"
        super().__init__(f"the peer closed with {name}{f': {printable(reason_phrase)}' if reason_phrase else ''}")


class StreamReset(Error):
    """The peer has given up a stream on which it was sending; `error_code` is the application protocol's."""

    code = "STREAM_RESET"

    def __init__(self, error_code: int) -> None:
        self.error_code = error_code
        super().__init__(f"the peer has reset the stream with {error_code:#x}")


class StreamStopped(Error):
    """The peer wants no more of a stream on which we were sending; `error_code` is the application protocol's."""

    code = "STREAM_STOPPED"

    def __init__(self, error_code: int) -> None:
        self.error_code = error_code
        super().__init__(f"the peer has asked to stop sending with {error_code:#x}")


class ZeroRTTRejected(Error):
    """The server took no 0-RTT: a stream that was opened before that is gone, and nobody has read what was sent on it.

    The message says why, by the value of an `EarlyDataReason`. Nothing is sent again but by the application.
    """

    code = "ZERO_RTT_REJECTED"

    def __init__(self, why: str) -> None:
        super().__init__(f"the server took no 0-RTT ({why}): what was opened before is gone", section="RFC 9001 4.6.2")


class StatelessReset(Error):
    """The peer has lost all it knew of the connection (RFC 9000 section 10.3)."""

    code = "STATELESS_RESET"


TRANSPORT_ERRORS: dict[int, TransportErrorCode] = {
    int(member): member for member in TransportErrorCode if member is not TransportErrorCode.CRYPTO_ERROR
}
