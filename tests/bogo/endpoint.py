"""One connection of the shim: a handshake, what the flags expect of it, the echo, and the end."""

from __future__ import annotations

import time
from typing import Any

from caesura.context import Context, Method
from caesura.crypto.tickets import TicketKeys
from caesura.errors import AlertDescription, ConfigError, Error, LocalAlert, PeerAlert, UnexpectedEOF
from caesura.events import DataReceived, EarlyDataReceived, EarlyDataStatus, SessionReceived
from caesura.replay import ReplayCache
from caesura.sessions import ServerSessionCache, Session
from caesura.wire.extensions import SIGNED_CERTIFICATE_TIMESTAMP_LIST
from caesura.wire.registries import Version
from tests.bogo.flags import Flags
from tests.bogo.link import NO_TIMER, Link
from tests.bogo.settings import Hooks, settings_for

_TURN = bytes(255 - each for each in range(256))
_NEW = {Version.TLS13, Version.DTLS13, Version.QUIC1}


class Failure(Exception):
    """The case has failed; the text goes to stderr."""


def described(error: Error) -> str:
    """An error by its stable code, and the alert that goes with it."""
    name = ""
    if isinstance(error, LocalAlert | PeerAlert):
        name = f":{getattr(error.description, 'name', error.description)}"
    cause = f" <- {error.__cause__!r}" if error.__cause__ is not None else ""
    return f"{error.code}{name}: {error.strerror}{cause}"


class Clock:
    """Virtual time that begins now, so that certificates are valid."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self._began = time.time()

    def monotonic(self) -> float:
        return 1000.0 + self.elapsed

    def wall(self) -> float:
        return self._began + self.elapsed


class World:
    """What outlives one connection."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ticket_keys = TicketKeys()
        self.other_keys = TicketKeys()  # with which no ticket is made
        self.server_sessions = ServerSessionCache()
        self.replay_store = ReplayCache()
        self.session: Session | None = None
        self.identities: dict[Any, Any] = {}


class Endpoint:
    """Plays one connection."""

    def __init__(self, world: World, flags: Flags, retry: Flags, index: int) -> None:
        self.world = world
        self.flags = flags
        self.retry = retry  # what holds when early data was refused
        self.said = False  # whether the first words went as early data
        self.after: int | None = None  # the type of the message behind which they shall go
        self.rest = b""
        self.index = index
        self.server = "server" in flags
        self.datagrams = "dtls" in flags
        self.records = "quic" in flags
        self.asynchronous = "async" in flags
        self.hooks = Hooks(flags, retry)
        self.sessions: list[Session] = []
        self.data: list[bytes] = []  # that is still to be echoed
        self._pending = b""
        self._at_the_end = False

    # --- the whole ---

    def run(self) -> None:
        """Connect, and play the connection through."""
        flags, world = self.flags, self.world
        if self.index:
            world.clock.elapsed += flags.get("resumption-delay", 0)
        self.connection = self.hooks.connection = self._make()
        self.link = Link(flags.get("port"), flags.get("shim-id", 0), "ipv6" in flags)
        try:
            self._play()
        except Error as error:
            raise Failure(described(error)) from None
        finally:
            self.flush()
            self.link.close()
        world.session = self.sessions[-1] if self.sessions else None

    def _make(self) -> Any:
        flags, world = self.flags, self.world
        datagrams = self.datagrams
        try:
            settings = settings_for(flags, world, self.hooks)
            method = Method.DTLS if datagrams else Method.QUIC if self.records else Method.TLS
            context = Context(method, **settings)
            host = flags.get("host-name")
            options: dict[str, Any] = {}
            kind: Any
            if datagrams:
                from caesura.dtls.connection import DTLSConnection

                kind = DTLSConnection
            elif self.records:
                from tests.bogo.quic import RecordConnection

                kind = RecordConnection
                options["parameters"] = flags.get("quic-transport-params")
                options["conditions"] = flags.get("quic-early-data-context", b"")
            else:
                from caesura.tls.connection import TLSConnection

                kind = TLSConnection
            if not (datagrams or self.server) and "enable-early-data" in flags:
                options["early_data"] = True
            session = world.session if not self.server else None
            return kind(
                context,
                server_side=self.server,
                server_hostname=host,
                session=session,
                async_mode=self.asynchronous,
                **options,
            )
        except ConfigError as error:
            raise Failure(described(error)) from None

    def _play(self) -> None:
        flags = self.flags
        early = not self.datagrams and not self.server and "enable-early-data" in flags
        self._first_flight(early)
        self.handshake()
        if early and self.index and "expect-reject-early-data" in flags:
            flags = self.flags = self.retry
            self.rest = b""
        self.check()
        if "handshake-never-done" in flags:
            raise Failure("the handshake is done, which was not to be")
        if "no-op-extra-handshake" in flags or "handshake-twice" in flags:
            self.connection.advance(self.now)
            self._settle()
        if "export-keying-material" in flags:
            self.write(self._keying_material())
        if "send-alert" in flags:
            alert = LocalAlert("as the flags say")
            alert.description = AlertDescription.decompression_failure
            self.connection.abort(alert)
            return
        self._first_words()
        if "shim-shuts-down" not in flags:
            self.echo()
        self._check_session()
        self._end()
        if "expect-msg-callback" in flags:
            said = "".join(f"{line}\n" for line in self.hooks.said)
            self._equal("the trace", said, flags.get("expect-msg-callback"))

    def _keying_material(self) -> bytes:
        flags = self.flags
        context = flags.get("export-context", b"") if "use-export-context" in flags else None
        length = flags.get("export-keying-material")
        material: bytes = self.connection.export_keying_material(flags.get("export-label", b""), context, length)
        return material

    # --- bytes and time ---

    @property
    def now(self) -> float:
        return self.world.clock.monotonic()

    def flush(self) -> None:
        """Send what is ready."""
        if self.datagrams:
            for datagram, _ in self.connection.datagrams_to_send(self.now):
                self.link.send_packet(datagram)
        elif data := self.connection.data_to_send(self.now):
            self.link.send(data)

    def _settle(self) -> None:
        """Send, and see work through that is paused."""
        self._events()
        self.flush()
        while self.connection.waiting_for_async or self.connection.needs_job:
            self.connection.advance(self.now)
            self._events()
            self.flush()
        if self.connection.error is not None:
            raise self.connection.error

    def _events(self) -> None:
        while (event := self.connection.next_event()) is not None:
            if isinstance(event, SessionReceived):
                self.sessions.append(event.session)
            elif isinstance(event, DataReceived):
                self.data.append(event.data)
            elif isinstance(event, EarlyDataReceived):
                self.connection.write(event.data.translate(_TURN))  # answered at once, before the client's Finished

    def receive(self) -> None:
        """Take the next bytes or the next item from the runner."""
        if self.datagrams:
            self._receive_item()
        elif self._at_the_end:
            raise UnexpectedEOF
        elif self.records:
            record = self.link.receive_record()
            if record is None:
                raise UnexpectedEOF
            self.connection.receive_record(*record, self.now)
        else:
            if not self._pending:
                self._pending = self.link.receive(65536)
                if not self._pending:
                    self._at_the_end = True
                    self.connection.receive_eof(self.now)
                    self._settle()
                    return
            size = 1 if self.asynchronous else len(self._pending)
            piece, self._pending = self._pending[:size], self._pending[size:]
            self.connection.receive_data(piece, self.now)
            if self.after is not None and f"read hs {self.after}" in self.hooks.said:
                self.after = None
                self.said = bool(self.connection.write_early_data(self.flags.get("shim-initial-write", b"hello")))
        self._settle()

    def _receive_item(self) -> None:
        item = self.link.receive_item()
        connection = self.connection
        if item is None:
            connection.receive_eof(self.now)
            return
        kind, value = item
        if kind == "P":
            connection.receive_datagram(value, "runner", self.now)
        elif kind == "T":
            self.link.send(b"t")
            self.world.clock.elapsed += int(value) / 1e9
            connection.handle_timeout(self.now)
        elif kind == "M":
            connection.mtu = value
        elif kind == "U":
            connection.set_initial_timeout(int(value) / 1000, self.now)
        elif kind == "E":
            self._expect_timeout(int(value))

    def _expect_timeout(self, nanoseconds: int) -> None:
        deadline = self.connection.timeout()
        wanted = None if nanoseconds == NO_TIMER else nanoseconds / 1e9
        found = None if deadline is None else deadline - self.now
        if (wanted is None) != (found is None) or (
            wanted is not None and found is not None and abs(found - wanted) >= 2e-6
        ):
            raise Failure(f"the next timeout is in {found} s, and should be in {wanted} s")

    # --- phases ---

    def _first_flight(self, early: bool) -> None:
        """The hello, if we speak first, and early data behind it if the session allows that."""
        self.connection.advance(self.now)
        self._settle()
        if early and self.index:
            count = self.flags.get("repeat-shim-initial-write", 1)
            self.after = self.flags.get("early-write-after-message")
            if self.after is not None or not {"shim-writes-first", "read-with-unfinished-write"} & self.flags.names:
                count = 0
            words = b""
            for _ in range(count):
                words += self.flags.get("shim-initial-write", b"hello")
                while words and (taken := self.connection.write_early_data(words)):
                    words = words[taken:]
                    self.said = True
            self.rest = words  # for which there was no room
            self._settle()
            if "expect-no-offer-early-data" in self.flags:
                self._equal("early data", self.connection.early_data_status, EarlyDataStatus.NOT_SENT)
            elif "export-keying-material" in self.flags:
                self._keying_material()  # for BoringSSL's handshake call returns here

    def handshake(self) -> None:
        """Shake hands to the end."""
        while not self.connection.handshake_complete:
            self.receive()

    def write(self, data: bytes) -> None:
        """Send application data."""
        if not data:
            return
        if self.datagrams and len(data) > self.connection.max_datagram and "mtu" not in self.flags:
            self.connection.mtu = 65507  # only a path that is named keeps data out
        self.connection.write(data)
        self._settle()

    def _first_words(self) -> None:
        flags = self.flags
        words = flags.get("shim-initial-write", b"hello")
        if "write-different-record-sizes" in flags:
            for size in (0, 1, 255, 256, 257, 16383, 16384, 16385, 32767, 32768, 32769):
                self.write(b"\x42" * size)
        elif self.said:
            self.write(self.rest)
        elif "read-with-unfinished-write" in flags:
            self.connection.write(words)
            held_back = self.connection.data_to_send(self.now)
            self.link.send(held_back[:1])
            held_back = held_back[1:]
            while not self.data:
                self.receive()
            self.link.send(held_back)
        elif "shim-writes-first" in flags:
            for _ in range(flags.get("repeat-shim-initial-write", 1)):
                self.write(words)

    def echo(self) -> None:
        """Turn the bits of what comes and send it back, until the peer ends."""
        flags, connection = self.flags, self.connection
        size = flags.get("read-size", 16384 if self.datagrams else 512)
        while True:
            if "key-update-before-read" in flags:
                connection.key_update()
                self._settle()
            while not self.data:
                if connection.close_notify_received:
                    return
                try:
                    self.receive()
                except UnexpectedEOF:
                    return
            data, rest = self.data[0][:size], self.data[0][size:]
            self.data[:1] = [rest] if rest else []
            if "key-update" in flags:
                connection.key_update()
            self.write(data.translate(_TURN))

    def _end(self) -> None:
        flags, connection = self.flags, self.connection
        if "check-close-notify" not in flags:
            return
        if connection.error is not None:
            raise Failure(f"no close_notify: {described(connection.error)}")
        connection.shutdown()
        self._settle()
        while not (connection.close_notify_received or self.data):
            self.receive()
        if self.data:
            raise Failure("APPLICATION_DATA_ON_SHUTDOWN")

    # --- what is expected ---

    def check(self) -> None:
        """Compare the facts of the handshake with what the flags expect."""
        flags, connection = self.flags, self.connection
        resumed = bool(self.index) and "expect-session-miss" not in flags
        self._equal("session_reused", connection.session_reused, resumed)
        if "expect-version" in flags and not self.records:  # what our QUIC tells is the version of QUIC
            self._equal("version", int(connection.version), flags.get("expect-version"))
        if not self.index and {"expect-session-id", "expect-no-session-id"} & flags.names:
            self._equal("a session of ours", bool(len(self.world.server_sessions)), "expect-session-id" in flags)
        for name in ("expect-cipher", "expect-cipher-aes"):
            if name in flags:
                self._equal("cipher_suite", int(connection.cipher_suite), flags.get(name))
        if "expect-curve-id" in flags:
            self._equal("group", connection.group, flags.get("expect-curve-id"))
        if "expect-hrr" in flags or "expect-no-hrr" in flags:
            self._equal("a HelloRetryRequest", self.hooks.retried, "expect-hrr" in flags)
        if "expect-peer-signature-algorithm" in flags:
            self._equal(
                "peer_signature_scheme", connection.peer_signature_scheme, flags.get("expect-peer-signature-algorithm")
            )
        wanted = flags.get("select-alpn" if self.server else "expect-alpn", b"")
        self._equal("alpn", (connection.alpn or "").encode("latin-1"), wanted)
        if "expect-server-name" in flags:
            self._equal("server name", self.hooks.server_name, flags.get("expect-server-name"))
        if "expect-no-server-name" in flags:
            self._equal("server name", self.hooks.server_name, None)
        if "expect-advertised-alpn" in flags:
            self._equal("advertised ALPN", self.hooks.advertised_alpn, flags.get("expect-advertised-alpn"))
        if "expect-peer-verify-pref" in flags:
            self._equal("schemes of the peer", self.hooks.peer_schemes, flags.get("expect-peer-verify-pref"))
        if "expect-certificate-types" in flags:
            self._equal("types that are asked for", self.hooks.requested_types, flags.get("expect-certificate-types"))
        authorities = flags.get("expect-client-ca-list", "<NULL>")
        if not authorities.startswith("<"):
            wanted = list(map(bytes.fromhex, authorities.split(",")))
            self._equal("authorities of the server", self.hooks.requested_authorities, wanted)
        if "expect-ocsp-response" in flags:
            self._equal("ocsp_response", connection.ocsp_response, flags.get("expect-ocsp-response"))
        if "expect-signed-cert-timestamps" in flags:
            told = connection.certificate_timestamps
            found = SIGNED_CERTIFICATE_TIMESTAMP_LIST.codec.encode(told) if told else b""
            self._equal("certificate_timestamps", found, flags.get("expect-signed-cert-timestamps"))
        if "expect-quic-transport-params" in flags:
            self._equal("transport parameters", connection.peer_bytes, flags.get("expect-quic-transport-params"))
        self._check_early_data()
        self._check_peer()
        if "expect-selected-credential" in flags:
            self._equal("credential", self.hooks.selected(connection), flags.get("expect-selected-credential"))
        self._check_session_at_completion()

    def _check_early_data(self) -> None:
        flags, connection = self.flags, self.connection
        if self.datagrams:
            return
        accepted = connection.early_data_status is EarlyDataStatus.ACCEPTED
        if ("expect-accept-early-data" in flags and not accepted) or ("expect-reject-early-data" in flags and accepted):
            raise Failure(f"early data: {connection.early_data_status}, {connection.early_data_reason}")
        if "expect-early-data-reason" in flags:
            reason = connection.early_data_reason.value.encode()
            self._equal("early_data_reason", reason, flags.get("expect-early-data-reason"))
        if "expect-ticket-age-skew" in flags and self.index:
            skew = connection.ticket_age_skew
            self._equal("ticket_age_skew", skew and round(skew), flags.get("expect-ticket-age-skew"))

    def _check_peer(self) -> None:
        flags, connection = self.flags, self.connection
        certificates = connection.peer_certificates
        if "expect-no-peer-cert" in flags or connection.psk_identity is not None or connection.peer_public_key:
            self._equal("peer_certificates", certificates, ())
        elif (not self.server or "require-any-client-certificate" in flags) and not certificates:
            raise Failure("no peer certificate")
        if "expect-peer-certificate-type" in flags:
            kind = 2 if connection.peer_public_key is not None else 0
            self._equal("peer certificate type", kind, flags.get("expect-peer-certificate-type"))
        if "expect-peer-rpk-sha256" in flags:
            import hashlib

            digest = hashlib.sha256(connection.peer_public_key or b"").digest()
            self._equal("peer_public_key", digest, flags.get("expect-peer-rpk-sha256"))
        if "expect-peer-cert-file" in flags:
            import ssl

            with open(flags.get("expect-peer-cert-file"), encoding="ascii") as file:
                text = file.read()
            ends = "-----END CERTIFICATE-----"
            parts = [part.strip() + ends for part in text.split(ends) if "BEGIN" in part]
            self._equal("peer_certificates", certificates, tuple(map(ssl.PEM_cert_to_DER_cert, parts)))

    def _check_session_at_completion(self) -> None:
        """TLS 1.2: a session is there exactly when the handshake is done."""
        flags, connection = self.flags, self.connection
        if self.server or connection.version in _NEW:
            return
        renewed = not connection.session_reused or "expect-ticket-renewal" in flags
        wanted = "expect-no-session" not in flags and renewed
        if connection.session_reused and not renewed:
            return  # the session comes again as a new object, which is no new session
        self._equal("a session", bool(self.sessions), wanted)

    def _check_session(self) -> None:
        """TLS 1.3: a ticket has come by the end."""
        flags, connection = self.flags, self.connection
        if not self.server and connection.version in _NEW:
            wanted = not {"expect-no-session", "shim-shuts-down"} & flags.names
            self._equal("a session", bool(self.sessions), wanted)
            if wanted:
                early = bool(self.sessions[-1].max_early_data)
                self._equal("early data with the session", early, "expect-ticket-supports-early-data" in flags)

    def _equal(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            raise Failure(f"{what}: {found!r} instead of {wanted!r}")
