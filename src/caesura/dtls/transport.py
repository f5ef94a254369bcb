"""The seam under a DTLS handshake: messages become flights, and keys epochs (RFC 9147 sections 5.8 and 6.1).

DTLS 1.2 has two epochs, and ChangeCipherSpec before the second one; what of its keys comes from the handshake are two
halves of a key block. That is all a handshake's messages and keys have to do with the version here.
"""

from __future__ import annotations

from typing import Final

from caesura.crypto.protection12 import Protection12
from caesura.crypto.secrets import TrafficSecret
from caesura.dtls.connection_id import ConnectionIds
from caesura.dtls.cookies import PROFILE
from caesura.dtls.early_data import EarlyData
from caesura.dtls.reader import RecordReader
from caesura.dtls.reassembly import Reassembly
from caesura.dtls.records12 import EPOCH, ReadKey12, WriteKey12
from caesura.dtls.records13 import ReadKey, WriteKey
from caesura.dtls.retransmission import Retransmission
from caesura.dtls.srtp import SRTP
from caesura.dtls.writer import RecordWriter
from caesura.errors import UnexpectedMessage
from caesura.events import EarlyDataReason
from caesura.handshake import record_size
from caesura.handshake.later_auth import LaterAuthentication
from caesura.handshake.transport import Epoch, Keys
from caesura.wire.dtls import RECORD_VERSION
from caesura.wire.extensions import Extensions
from caesura.wire.registries import ContentType, HandshakeType, Version

_CHANGE_CIPHER_SPEC: Final = ContentType.change_cipher_spec.name


class DTLSTransport(LaterAuthentication):
    """The half of a connection that its handshake sees (MessageTransport); the other half makes its parts."""

    __slots__ = (
        "_dtls12",
        "_ids",
        "_installed",
        "_read_epoch",
        "_reader",
        "_reassembly",
        "_retransmission",
        "_spec_came",
        "_srtp",
        "_to_send",
        "_version",
        "_writer",
    )

    _profile = PROFILE
    _reader: RecordReader
    _writer: RecordWriter
    _reassembly: Reassembly
    _retransmission: Retransmission
    _ids: ConnectionIds
    _srtp: SRTP
    _spec_came: bool | None  # DTLS 1.2: the peer's ChangeCipherSpec; False: it is due
    _early: EarlyData
    _to_send: bytes  # a client's early data, until it may go
    _dtls12: bool  # whether DTLS 1.2 is agreed on, or all that may be
    _version: Version | None
    _read_epoch: int  # in which the next handshake message comes
    _installed: Epoch | None  # for which early records may now be read

    def send(self, epoch: Epoch, message: bytes) -> bytes:
        """Send one whole handshake message, with the flight it belongs to; as it stands there in one piece."""
        return self._retransmission.queue(self._writer.current if self._dtls12 else epoch, message)

    def install_read(self, epoch: Epoch, keys: Keys) -> None:
        """Read these keys' epoch too; messages of the one before may not remain."""
        if epoch is Epoch.EARLY_DATA:
            assert isinstance(keys, TrafficSecret)
            self._reader.install(ReadKey(keys, PROFILE.label_prefix, epoch))
            self._installed = epoch
            return
        if not self._reassembly.empty:
            raise UnexpectedMessage("messages of the old keys remain", section="RFC 9147 section 6.1")
        if isinstance(keys, Protection12):  # whether the peer's ChangeCipherSpec arrives does not matter
            self._reader.install(ReadKey12(keys))
            self._spec(came=False)
            self._read_epoch = EPOCH
            self._installed = Epoch.HANDSHAKE  # not more: the Finished has to come
            return
        self._reader.install(ReadKey(keys, PROFILE.label_prefix, epoch))
        self._read_epoch = epoch
        if epoch < Epoch.APPLICATION:
            self._installed = epoch

    def install_write(self, epoch: Epoch, keys: Keys) -> None:
        """Write in this epoch from now on; in DTLS 1.2 behind ChangeCipherSpec."""
        if isinstance(keys, Protection12):
            self._retransmission.change_cipher_spec()
            self._trace("sent", _CHANGE_CIPHER_SPEC, 1)
            self._writer.install(WriteKey12(keys, self._ids.theirs))
            return
        key = WriteKey(keys, PROFILE.label_prefix, epoch, self._ids.theirs)
        if epoch is Epoch.EARLY_DATA:
            self._writer.early = key
            return
        self._writer.early = None
        self._writer.install(key)

    def _spec(self, *, came: bool) -> None:
        """The peer's ChangeCipherSpec has come, or it is due: whichever is second has it traced, once."""
        if self._spec_came is not None and self._spec_came is not came:
            self._trace("received", _CHANGE_CIPHER_SPEC, 1)
        self._spec_came = came or self._spec_came is True

    def version_chosen(self, version: Version) -> None:
        """In DTLS 1.3, ACKs may be sent and are believed from now on (RFC 9147 section 7)."""
        self._version = version
        self._writer.say_version(RECORD_VERSION)
        self._dtls12 = self._reassembly.numbered = version is Version.DTLS12

    @property
    def _older(self) -> bool:
        return self._dtls12

    def own_extensions(self, message: HandshakeType, peer: Extensions | None) -> Extensions:
        """connection_id (RFC 9146) in the hellos; record_size_limit (RFC 8449) as on a stream."""
        extensions = Extensions()
        if peer is None:
            self._ids.offer(extensions)
            self._srtp.offer(extensions)
        else:
            if message is HandshakeType.server_hello:
                self._ids.answer(peer, extensions)
            if message is (HandshakeType.server_hello if self._dtls12 else HandshakeType.encrypted_extensions):
                self._srtp.answer(peer, extensions)
        record_size.put_own(extensions, self._settings.record_size_limit, message, peer, older=self._dtls12)
        return extensions

    def peer_extensions(self, extensions: Extensions) -> None:
        """Also the peer's connection id, and what it says of SRTP."""
        super().peer_extensions(extensions)
        if not self.server_side:
            self._ids.answered(extensions)
            self._srtp.answered(extensions)

    def _limit_records(self, content: int, inner: int) -> None:
        self._writer.max_content = content
        self._reader.max_inner = inner

    def early_data(self, accepted: bool, limit: int, reason: EarlyDataReason) -> None:
        """How it stands with early data: what is refused is of an epoch that has no keys, and passed over as such."""
        self._early.told(accepted, limit, reason)
        if not accepted:
            self._writer.early = None
            self._to_send = b""
            if self._reader.early_data:
                self._reader.end_early_data()
