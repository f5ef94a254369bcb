"""The manual pages' own names and return codes, on the same objects: for who ports a C program, or reads the pages.

`SSL_CTX_new` makes a `caesura.Context`, `SSL_new` a `caesura.SSL`, `ASYNC_WAIT_CTX_new` a `caesura.jobs.WaitContext`.
A function here is one call on such an object, so both styles may be mixed. The rules of translation:

- Return codes are the pages'. What C writes through pointers follows the code in a tuple, in C's order; an array is a
  list, so it needs no count, and asking twice (count, then fetch) is harmless. What C would leave untouched is None.
- Where C returns zero or a negative number and notes an error, the error is kept with the object the call was about:
  `SSL_get_error` goes by it, `SSL_get_last_error` and `SSL_CTX_get_last_error` hand out the exception. There is no
  queue of the thread's in which an error of another connection could linger. What is neither a `caesura.Error` nor an
  `OSError` is raised as everywhere in Python.
- NULL is None. Groups, suites and signature schemes go by their registry names.
- Certificates and keys may be given as paths or as PEM or DER bytes, whatever the file type says.

Differences from OpenSSL's behaviour are those of the objects: jobs nest, callbacks may be set late, freeing cancels.
"""
# ruff: noqa: ARG001 - C's arguments, also where Python does not need them

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from caesura import jobs
from caesura.bio import (
    BIO,
    Data,
    DatagramBIO,
    DatagramPairBIO,
    MemoryBIO,
    PairBIO,
    SocketBIO,
    bio_pair,
    borrow_datagram_socket,
    borrow_socket,
    datagram_pair,
)
from caesura.context import Context, Identity, Method, TrustStore, Verify
from caesura.crypto.suites import SUITES
from caesura.errors import CertificateVerifyError, Error, UnexpectedEOF, UsageError, WantRead, ZeroReturn
from caesura.events import EarlyDataStatus
from caesura.jobs import AsyncStatus, Job, JobState, WaitContext
from caesura.polling import Item, poll
from caesura.readiness import PollEvent
from caesura.sessions import Session
from caesura.sslobject import SSL, Want
from caesura.wire.codec import Opaque, Vector
from caesura.wire.registries import Version

T = TypeVar("T")

# --- constants ----------------------------------------------------------------------------------------------------

ASYNC_ERR: Final = 0
ASYNC_NO_JOBS: Final = 1
ASYNC_PAUSE: Final = 2
ASYNC_FINISH: Final = 3

ASYNC_STATUS_UNSUPPORTED: Final = AsyncStatus.UNSUPPORTED
ASYNC_STATUS_ERR: Final = AsyncStatus.ERR
ASYNC_STATUS_OK: Final = AsyncStatus.OK
ASYNC_STATUS_EAGAIN: Final = AsyncStatus.EAGAIN

SSL_ERROR_NONE: Final = 0
SSL_ERROR_SSL: Final = 1
SSL_ERROR_WANT_READ: Final = 2
SSL_ERROR_WANT_WRITE: Final = 3
SSL_ERROR_WANT_X509_LOOKUP: Final = 4
SSL_ERROR_SYSCALL: Final = 5
SSL_ERROR_ZERO_RETURN: Final = 6
SSL_ERROR_WANT_CONNECT: Final = 7
SSL_ERROR_WANT_ACCEPT: Final = 8
SSL_ERROR_WANT_ASYNC: Final = 9
SSL_ERROR_WANT_ASYNC_JOB: Final = 10
SSL_ERROR_WANT_CLIENT_HELLO_CB: Final = 11
SSL_ERROR_WANT_RETRY_VERIFY: Final = 12

SSL_NOTHING: Final = Want.NOTHING
SSL_WRITING: Final = Want.WRITING
SSL_READING: Final = Want.READING
SSL_ASYNC_PAUSED: Final = Want.ASYNC_PAUSED
SSL_ASYNC_NO_JOBS: Final = Want.ASYNC_NO_JOBS

SSL_MODE_ASYNC: Final = 0x100
SSL_SENT_SHUTDOWN: Final = 1
SSL_RECEIVED_SHUTDOWN: Final = 2
SSL_VERIFY_NONE: Final = 0
SSL_VERIFY_PEER: Final = 1
SSL_VERIFY_FAIL_IF_NO_PEER_CERT: Final = 2
SSL_FILETYPE_PEM: Final = 1
SSL_FILETYPE_ASN1: Final = 2
SSL_KEY_UPDATE_NOT_REQUESTED: Final = 0
SSL_KEY_UPDATE_REQUESTED: Final = 1
SSL_POLL_EVENT_NONE: Final = PollEvent.NONE
SSL_POLL_EVENT_F: Final = PollEvent.F
SSL_POLL_EVENT_EL: Final = PollEvent.EL
SSL_POLL_EVENT_EC: Final = PollEvent.EC
SSL_POLL_EVENT_ECD: Final = PollEvent.ECD
SSL_POLL_EVENT_ER: Final = PollEvent.ER
SSL_POLL_EVENT_EW: Final = PollEvent.EW
SSL_POLL_EVENT_R: Final = PollEvent.R
SSL_POLL_EVENT_W: Final = PollEvent.W
SSL_POLL_EVENT_IC: Final = PollEvent.IC
SSL_POLL_EVENT_ISB: Final = PollEvent.ISB
SSL_POLL_EVENT_ISU: Final = PollEvent.ISU
SSL_POLL_EVENT_OSB: Final = PollEvent.OSB
SSL_POLL_EVENT_OSU: Final = PollEvent.OSU
SSL_POLL_EVENT_RW: Final = PollEvent.RW
SSL_POLL_EVENT_RE: Final = PollEvent.RE
SSL_POLL_EVENT_WE: Final = PollEvent.WE
SSL_POLL_EVENT_RWE: Final = PollEvent.RWE
SSL_POLL_EVENT_E: Final = PollEvent.E
SSL_POLL_EVENT_IS: Final = PollEvent.IS
SSL_POLL_EVENT_ISE: Final = PollEvent.ISE
SSL_POLL_EVENT_I: Final = PollEvent.I
SSL_POLL_EVENT_OS: Final = PollEvent.OS
SSL_POLL_EVENT_OSE: Final = PollEvent.OSE
SSL_POLL_FLAG_NO_HANDLE_EVENTS: Final = 1
SSL_EARLY_DATA_NOT_SENT: Final = 0
SSL_EARLY_DATA_REJECTED: Final = 1
SSL_EARLY_DATA_ACCEPTED: Final = 2
SSL_READ_EARLY_DATA_ERROR: Final = 0
SSL_READ_EARLY_DATA_SUCCESS: Final = 1
SSL_READ_EARLY_DATA_FINISH: Final = 2
TLS1_2_VERSION: Final = 0x0303
TLS1_3_VERSION: Final = 0x0304
DTLS1_2_VERSION: Final = 0xFEFD
DTLS1_3_VERSION: Final = 0xFEFC
SSL_OP_NO_QUERY_MTU: Final = 0x1000
TLSEXT_NAMETYPE_host_name: Final = 0
X509_V_OK: Final = 0

_BY_NUMBER: Final = {int(version): version for version in Version}
_VERSION_NAMES: Final = {
    Version.TLS12: "TLSv1.2",
    Version.TLS13: "TLSv1.3",
    Version.DTLS12: "DTLSv1.2",
    Version.DTLS13: "DTLSv1.3",
}
_TLS12_BY_NAME: Final = {suite.openssl_name: suite.name for suite in SUITES.values() if suite.older}
_EARLY_DATA: Final = {
    EarlyDataStatus.NOT_SENT: SSL_EARLY_DATA_NOT_SENT,
    EarlyDataStatus.PENDING: SSL_EARLY_DATA_REJECTED,
    EarlyDataStatus.REJECTED: SSL_EARLY_DATA_REJECTED,
    EarlyDataStatus.ACCEPTED: SSL_EARLY_DATA_ACCEPTED,
}
_NEVER: Final = 1_000_000.0  # seconds: what SSL_get_event_timeout(3) writes for callers who do not look at is_infinite

# --- errors belong to the call, and are kept with the object it was about -----------------------------------------

_errors: WeakKeyDictionary[SSL | Context, Error | OSError] = WeakKeyDictionary()


def _call(about: SSL | Context, function: Callable[[], T], failed: T) -> T:
    """What `function` returns; `failed` when it raises an error, which is kept."""
    _errors.pop(about, None)
    try:
        return function()
    except (Error, OSError) as error:
        _errors[about] = error.with_traceback(None)  # its frames hold the object, which could then never be freed
        return failed


def _done(about: SSL | Context, action: Callable[[], object], failed: int = 0) -> int:
    """1 when `action` succeeds."""
    return _call(about, lambda: (action(), 1)[1], failed)


def SSL_get_error(s: SSL, ret: int) -> int:
    """What the last call on `s`, which returned `ret`, came to. SSL_get_error(3)."""
    if ret > 0:
        return SSL_ERROR_NONE
    error = _errors.get(s)
    if isinstance(error, Error):
        return error.ssl_error
    return SSL_ERROR_ZERO_RETURN if error is None and s.close_notify_received else SSL_ERROR_SYSCALL


def SSL_get_last_error(s: SSL) -> Error | OSError | None:
    """What the last call on `s` raised, None if it succeeded. It stands for the pages' ERR_get_error(3)."""
    return _errors.get(s)


def SSL_CTX_get_last_error(ctx: Context) -> Error | OSError | None:
    """What the last call on `ctx` raised, None if it succeeded."""
    return _errors.get(ctx)


# --- contexts -----------------------------------------------------------------------------------------------------


def TLS_method() -> Method:
    """TLS in either role. TLS_method(3)."""
    return Method.TLS


def TLS_client_method() -> Method:
    """TLS; the role is set on the connection. TLS_method(3)."""
    return Method.TLS


def TLS_server_method() -> Method:
    """TLS; the role is set on the connection. TLS_method(3)."""
    return Method.TLS


def DTLS_method() -> Method:
    """DTLS in either role. DTLS_method(3)."""
    return Method.DTLS


def DTLS_client_method() -> Method:
    """DTLS; the role is set on the connection. DTLS_method(3)."""
    return Method.DTLS


def DTLS_server_method() -> Method:
    """DTLS; the role is set on the connection. DTLS_method(3)."""
    return Method.DTLS


def SSL_CTX_new(method: Method) -> Context:
    """A context. Clients verify their servers unless told otherwise. SSL_CTX_new(3)."""
    return Context(method)


def SSL_CTX_free(ctx: Context | None) -> None:
    """Do nothing: a context lives as long as anybody uses it. SSL_CTX_free(3)."""


def _set(about: SSL | Context, **settings: object) -> int:
    context = about.context if isinstance(about, SSL) else about

    def change() -> None:
        for name, value in settings.items():
            setattr(context, name, value)

    return _done(about, change)


def _mode(context: Context) -> int:
    return SSL_MODE_ASYNC if context.async_mode else 0


def SSL_CTX_set_mode(ctx: Context, mode: int) -> int:
    """Switch modes on; the new mask. SSL_MODE_ASYNC is the only one here. SSL_CTX_set_mode(3)."""
    ctx.async_mode = bool((_mode(ctx) | mode) & SSL_MODE_ASYNC)
    return _mode(ctx)


def SSL_CTX_clear_mode(ctx: Context, mode: int) -> int:
    """Switch modes off; the new mask. SSL_CTX_clear_mode(3)."""
    ctx.async_mode = bool(_mode(ctx) & ~mode & SSL_MODE_ASYNC)
    return _mode(ctx)


def SSL_CTX_get_mode(ctx: Context) -> int:
    """The mask of modes. SSL_CTX_get_mode(3)."""
    return _mode(ctx)


def SSL_set_mode(s: SSL, mode: int) -> int:
    """Switch modes on, until the handshake starts; the new mask. SSL_set_mode(3)."""
    return SSL_CTX_set_mode(s.context, mode)


def SSL_clear_mode(s: SSL, mode: int) -> int:
    """Switch modes off, until the handshake starts; the new mask. SSL_clear_mode(3)."""
    return SSL_CTX_clear_mode(s.context, mode)


def SSL_get_mode(s: SSL) -> int:
    """The mask of modes. SSL_get_mode(3)."""
    return _mode(s.context)


def _options(context: Context) -> int:
    return SSL_OP_NO_QUERY_MTU if context.dtls.fallback_mtu is None else 0


def SSL_CTX_set_options(ctx: Context, options: int) -> int:
    """Set options; the new mask. SSL_OP_NO_QUERY_MTU, which keeps the MTU as it is, is the only one here.

    SSL_CTX_set_options(3).
    """
    if options & SSL_OP_NO_QUERY_MTU:
        ctx.dtls = replace(ctx.dtls, fallback_mtu=None)
    return _options(ctx)


def SSL_set_options(s: SSL, options: int) -> int:
    """Set options, until the handshake starts; the new mask. SSL_set_options(3)."""
    return SSL_CTX_set_options(s.context, options)


# Certificate and key come in two calls, in either order; an Identity is made when both are there.
_halves: WeakKeyDictionary[Context, dict[str, Any]] = WeakKeyDictionary()


def _use(about: SSL | Context, half: str, source: Any) -> int:
    context = about.context if isinstance(about, SSL) else about
    halves = _halves.setdefault(context, {})
    halves[half] = source
    if len(halves) < 2:
        return 1
    return _done(about, lambda: setattr(context, "identity", Identity.load(halves["chain"], halves["key"])))


def SSL_CTX_use_certificate_chain_file(ctx: Context, file: Any) -> int:
    """The chain to show, leaf first. SSL_CTX_use_certificate_chain_file(3)."""
    return _use(ctx, "chain", file)


def SSL_use_certificate_chain_file(s: SSL, file: Any) -> int:
    """The chain to show, leaf first. SSL_use_certificate_chain_file(3)."""
    return _use(s, "chain", file)


def SSL_CTX_use_certificate_file(ctx: Context, file: Any, filetype: int) -> int:
    """The certificate to show. SSL_CTX_use_certificate_file(3)."""
    return _use(ctx, "chain", file)


def SSL_use_certificate_file(s: SSL, file: Any, filetype: int) -> int:
    """The certificate to show. SSL_use_certificate_file(3)."""
    return _use(s, "chain", file)


def SSL_CTX_use_PrivateKey_file(ctx: Context, file: Any, filetype: int) -> int:
    """The certificate's key. SSL_CTX_use_PrivateKey_file(3)."""
    return _use(ctx, "key", file)


def SSL_use_PrivateKey_file(s: SSL, file: Any, filetype: int) -> int:
    """The certificate's key. SSL_use_PrivateKey_file(3)."""
    return _use(s, "key", file)


def SSL_CTX_use_PrivateKey(ctx: Context, pkey: Any) -> int:
    """The certificate's key, as an object that signs: it may live anywhere. SSL_CTX_use_PrivateKey(3)."""
    return _use(ctx, "key", pkey)


def SSL_use_PrivateKey(s: SSL, pkey: Any) -> int:
    """The certificate's key, as an object that signs: it may live anywhere. SSL_use_PrivateKey(3)."""
    return _use(s, "key", pkey)


def SSL_CTX_check_private_key(ctx: Context) -> int:
    """1 if there is a certificate with its key, compared when they were loaded. SSL_CTX_check_private_key(3)."""
    return int(bool(ctx.identity))


def SSL_check_private_key(s: SSL) -> int:
    """1 if there is a certificate with its key. SSL_check_private_key(3)."""
    return SSL_CTX_check_private_key(s.context)


def SSL_CTX_set_default_verify_paths(ctx: Context) -> int:
    """Trust the system's CAs. SSL_CTX_set_default_verify_paths(3)."""
    return _done(ctx, lambda: setattr(ctx, "trust", TrustStore.system()))


def SSL_CTX_load_verify_file(ctx: Context, file: Any) -> int:
    """Trust these CAs, besides those trusted already. SSL_CTX_load_verify_file(3)."""

    def load() -> None:
        loaded = TrustStore.load(file)
        ctx.trust = loaded if ctx.trust is None else ctx.trust | loaded

    return _done(ctx, load)


def _verify(about: SSL | Context, mode: int, callback: Any) -> None:
    if not mode & SSL_VERIFY_PEER:
        verify = Verify.NONE
    elif mode & SSL_VERIFY_FAIL_IF_NO_PEER_CERT:
        verify = Verify.REQUIRED
    else:
        verify = Verify.OPTIONAL
    _set(about, verify=verify, verify_peer=callback)


def SSL_CTX_set_verify(ctx: Context, mode: int, verify_callback: Any = None) -> None:
    """What is asked of the peer; the callback is a `verify_peer`, given a PeerChain. SSL_CTX_set_verify(3)."""
    _verify(ctx, mode, verify_callback)


def SSL_set_verify(s: SSL, mode: int, verify_callback: Any = None) -> None:
    """What is asked of the peer; the callback is a `verify_peer`, given a PeerChain. SSL_set_verify(3)."""
    _verify(s, mode, verify_callback)


def _version(number: int, of_all: Version) -> int:
    """The version with this number, `of_all` for 0; a number that is none is refused by whoever is given it."""
    return _BY_NUMBER.get(number, number) if number else of_all


def SSL_CTX_set_min_proto_version(ctx: Context, version: int) -> int:
    """The lowest version; 0 for the lowest there is. SSL_CTX_set_min_proto_version(3)."""
    return _set(ctx, minimum_version=_version(version, Context(ctx.method).minimum_version))


def SSL_CTX_set_max_proto_version(ctx: Context, version: int) -> int:
    """The highest version; 0 for the highest there is. SSL_CTX_set_max_proto_version(3)."""
    return _set(ctx, maximum_version=_version(version, Context(ctx.method).maximum_version))


def SSL_CTX_set_ciphersuites(ctx: Context, names: str) -> int:
    """The suites of TLS 1.3, separated by colons; those of TLS 1.2 stay. SSL_CTX_set_ciphersuites(3)."""
    older = [code for code in ctx.cipher_suites if SUITES[code].older]
    return _set(ctx, cipher_suites=[*names.split(":"), *older])


def SSL_CTX_set_cipher_list(ctx: Context, names: str) -> int:
    """The suites of TLS 1.2, separated by colons; those of TLS 1.3 stay. SSL_CTX_set_cipher_list(3).

    By their names, OpenSSL's or the registry's; rules such as `ALL` or `!RSA` are not known.
    """
    newer = [code for code in ctx.cipher_suites if not SUITES[code].older]
    return _set(ctx, cipher_suites=[*newer, *(_TLS12_BY_NAME.get(name, name) for name in names.split(":"))])


def SSL_CTX_set1_groups_list(ctx: Context, names: str) -> int:
    """The groups, separated by colons. SSL_CTX_set1_groups_list(3)."""
    return _set(ctx, groups=names.split(":"))


def SSL_CTX_set1_sigalgs_list(ctx: Context, names: str) -> int:
    """The signature schemes, separated by colons. SSL_CTX_set1_sigalgs_list(3)."""
    return _set(ctx, signature_schemes=names.split(":"))


_PROTOCOLS: Final = Vector(Opaque(1, 255), 0, 2**16 - 1)


def _alpn(about: SSL | Context, protos: bytes) -> int:
    names = _call(about, lambda: _PROTOCOLS.decode(len(protos).to_bytes(2, "big") + protos), None)
    return 1 if names is None else 1 - _set(about, alpn=names)


def SSL_CTX_set_alpn_protos(ctx: Context, protos: bytes) -> int:
    """The application protocols, each after its length in one byte; **0** is success. SSL_CTX_set_alpn_protos(3)."""
    return _alpn(ctx, protos)


def SSL_set_alpn_protos(s: SSL, protos: bytes) -> int:
    """The application protocols, each after its length in one byte; **0** is success. SSL_set_alpn_protos(3)."""
    return _alpn(s, protos)


def SSL_CTX_set_post_handshake_auth(ctx: Context, val: int) -> None:
    """Whether a client may be asked for its certificate after the handshake. SSL_CTX_set_post_handshake_auth(3)."""
    ctx.post_handshake_auth = bool(val)


def SSL_set_post_handshake_auth(s: SSL, val: int) -> None:
    """Whether this client may be asked for its certificate after the handshake. SSL_set_post_handshake_auth(3)."""
    s.context.post_handshake_auth = bool(val)


def SSL_CTX_set_num_tickets(ctx: Context, num_tickets: int) -> int:
    """How many tickets a server sends after a handshake. SSL_CTX_set_num_tickets(3)."""
    return _set(ctx, ticket_count=num_tickets)


def SSL_CTX_get_num_tickets(ctx: Context) -> int:
    """How many tickets a server sends after a handshake. SSL_CTX_get_num_tickets(3)."""
    return int(ctx.ticket_count)


def SSL_CTX_set_max_early_data(ctx: Context, max_early_data: int) -> int:
    """How many bytes of early data a server takes with each of its tickets. SSL_CTX_set_max_early_data(3)."""
    return _set(ctx, max_early_data=max_early_data)


def SSL_CTX_get_max_early_data(ctx: Context) -> int:
    """How many bytes of early data a server takes. SSL_CTX_get_max_early_data(3)."""
    return int(ctx.max_early_data)


def SSL_set_max_early_data(s: SSL, max_early_data: int) -> int:
    """How many bytes of early data this server takes. SSL_set_max_early_data(3)."""
    return _set(s, max_early_data=max_early_data)


def SSL_get_max_early_data(s: SSL) -> int:
    """How many bytes of early data this server takes. SSL_get_max_early_data(3)."""
    return int(s.context.max_early_data)


# --- connections --------------------------------------------------------------------------------------------------


def SSL_new(ctx: Context) -> SSL:
    """A connection with the context's settings as they are now. SSL_new(3)."""
    return SSL(ctx)


def SSL_free(s: SSL | None) -> None:
    """Give the connection up at any moment; paused work is cancelled. SSL_free(3)."""
    if s is not None:
        s.close()


def SSL_clear(s: SSL) -> int:
    """Start over in the same role; paused work is cancelled. SSL_clear(3)."""
    return _done(s, s.clear)


def SSL_get_SSL_CTX(s: SSL) -> Context:
    """The connection's own copy of its context, or the one `select_identity` has brought. SSL_get_SSL_CTX(3)."""
    return s.selected_context or s.context


def SSL_set_bio(s: SSL, rbio: BIO | None, wbio: BIO | None) -> None:
    """Where bytes come from and go. SSL_set_bio(3)."""
    s.set_bio(rbio, wbio)


def SSL_get_rbio(s: SSL) -> BIO | None:
    """Where bytes come from. SSL_get_rbio(3)."""
    return s.rbio


def SSL_get_wbio(s: SSL) -> BIO | None:
    """Where bytes go. SSL_get_wbio(3)."""
    return s.wbio


def SSL_set_fd(s: SSL, fd: int) -> int:
    """Use the socket with this descriptor, which stays the caller's to close. SSL_set_fd(3)."""
    return _done(s, lambda: s.set_bio(borrow_datagram_socket(fd) if SSL_is_dtls(s) else borrow_socket(fd)))


def _descriptor(bio: BIO | None) -> tuple[int, int | None]:
    fileno = getattr(bio, "fileno", None)
    return (0, None) if fileno is None else (1, fileno())


def SSL_get_fd(s: SSL) -> int:
    """The descriptor that is read, -1 if there is none. SSL_get_fd(3)."""
    found, fd = _descriptor(s.rbio)
    return -1 if not found or fd is None else fd


def SSL_get_rpoll_descriptor(s: SSL) -> tuple[int, int | None]:
    """(1, descriptor to wait on for input), 0 if the BIO has none. SSL_get_rpoll_descriptor(3)."""
    return _descriptor(s.rbio)


def SSL_get_wpoll_descriptor(s: SSL) -> tuple[int, int | None]:
    """(1, descriptor to wait on for output), 0 if the BIO has none. SSL_get_wpoll_descriptor(3)."""
    return _descriptor(s.wbio)


def SSL_set_connect_state(s: SSL) -> None:
    """Be the client, from the beginning. SSL_set_connect_state(3)."""
    _done(s, s.set_connect_state)


def SSL_set_accept_state(s: SSL) -> None:
    """Be the server, from the beginning. SSL_set_accept_state(3)."""
    _done(s, s.set_accept_state)


def SSL_is_server(s: SSL) -> int:
    """1 for a server. SSL_is_server(3)."""
    return int(bool(s.server_side))


def _server_name(s: SSL, name: str | None) -> int:
    def change() -> None:
        s.server_hostname = name

    return _done(s, change)


def SSL_set_tlsext_host_name(s: SSL, name: str | None) -> int:
    """The server's name, asked for and checked. SSL_set_tlsext_host_name(3)."""
    return _server_name(s, name)


def SSL_set1_host(s: SSL, name: str | None) -> int:
    """The server's name, asked for and checked: here it is one setting. SSL_set1_host(3)."""
    return _server_name(s, name)


def SSL_do_handshake(s: SSL) -> int:
    """1 when it is done; 0 when the peer closed instead; -1 otherwise: ask SSL_get_error. SSL_do_handshake(3)."""
    if _done(s, s.do_handshake):
        return 1
    return 0 if isinstance(_errors.get(s), ZeroReturn) else -1


def SSL_connect(s: SSL) -> int:
    """The handshake, as a client if no role is set. SSL_connect(3)."""
    if s.server_side is None:
        s.set_connect_state()
    return SSL_do_handshake(s)


def SSL_accept(s: SSL) -> int:
    """The handshake, as a server if no role is set. SSL_accept(3)."""
    if s.server_side is None:
        s.set_accept_state()
    return SSL_do_handshake(s)


def SSL_read(s: SSL, num: int) -> tuple[int, bytes]:
    """(how many bytes, the bytes); 0 at the end of the stream, -1 otherwise. SSL_read(3)."""
    data = _call(s, lambda: s.read(num), b"")
    if data:
        return len(data), data
    return 0 if isinstance(_errors.get(s), ZeroReturn | UnexpectedEOF | None) else -1, b""


def SSL_read_ex(s: SSL, num: int) -> tuple[int, bytes]:
    """(1, the bytes) or (0, b""). SSL_read_ex(3)."""
    data = _call(s, lambda: s.read(num), b"")
    return int(bool(data)), data


def SSL_write(s: SSL, data: Data) -> int:
    """How many bytes were written, all of them; -1 otherwise. SSL_write(3)."""
    return _call(s, lambda: s.write(data), -1)


def SSL_write_ex(s: SSL, data: Data) -> tuple[int, int]:
    """(1, how many bytes were written) or (0, 0). SSL_write_ex(3)."""
    return _call(s, lambda: (1, s.write(data)), (0, 0))


def SSL_write_early_data(s: SSL, data: Data) -> tuple[int, int]:
    """(1, how many bytes were written) or (0, 0), also when none may be. SSL_write_early_data(3)."""

    def write() -> tuple[int, int]:
        written = s.write_early_data(data)
        if data and not written:
            raise UsageError(f"no early data may be written: {s.early_data_reason.value}")
        return 1, written

    return _call(s, write, (0, 0))


def SSL_read_early_data(s: SSL, num: int) -> tuple[int, bytes]:
    """(1, the bytes), (2, b"") at the end of early data or without any, else (0, b""). SSL_read_early_data(3)."""

    def read() -> tuple[int, bytes]:
        data = s.read_early_data(num)
        return SSL_READ_EARLY_DATA_SUCCESS if data else SSL_READ_EARLY_DATA_FINISH, data

    return _call(s, read, (SSL_READ_EARLY_DATA_ERROR, b""))


def SSL_get_early_data_status(s: SSL) -> int:
    """What became of early data; it counts as rejected until it is known. SSL_get_early_data_status(3)."""
    return _EARLY_DATA[s.early_data_status]


def SSL_pending(s: SSL) -> int:
    """Bytes that can be read at once. SSL_pending(3)."""
    return s.pending()


def SSL_key_update(s: SSL, updatetype: int) -> int:
    """Change the keys; 1 when the update is under way. SSL_key_update(3)."""
    return _done(s, lambda: s.key_update(updatetype == SSL_KEY_UPDATE_REQUESTED))


def SSL_verify_client_post_handshake(s: SSL) -> int:
    """Ask the client for its certificate; 1 when the request is under way. SSL_verify_client_post_handshake(3)."""
    return _done(s, s.verify_client_post_handshake)


def SSL_shutdown(s: SSL) -> int:
    """1 when both sides have closed, 0 when this side has, -1 otherwise. SSL_shutdown(3)."""
    return _call(s, lambda: int(s.shutdown()), -1)


def SSL_get_shutdown(s: SSL) -> int:
    """Which close_notify alerts were sent and received. SSL_get_shutdown(3)."""
    return SSL_SENT_SHUTDOWN * s.close_notify_sent | SSL_RECEIVED_SHUTDOWN * s.close_notify_received


def SSL_want(s: SSL) -> int:
    """What the last call waits for. SSL_want(3)."""
    return s.want


def SSL_want_nothing(s: SSL) -> int:
    """1 if the last call waits for nothing. SSL_want_nothing(3)."""
    return int(s.want is Want.NOTHING)


def SSL_want_read(s: SSL) -> int:
    """1 if the last call waits for the peer's bytes. SSL_want_read(3)."""
    return int(s.want is Want.READING)


def SSL_want_write(s: SSL) -> int:
    """1 if the last call waits for the transport to take bytes. SSL_want_write(3)."""
    return int(s.want is Want.WRITING)


def SSL_want_async(s: SSL) -> int:
    """1 if the last call waits for paused work. SSL_want_async(3)."""
    return int(s.want is Want.ASYNC_PAUSED)


def SSL_want_async_job(s: SSL) -> int:
    """1 if the last call found no job. SSL_want_async_job(3)."""
    return int(s.want is Want.ASYNC_NO_JOBS)


# --- facts --------------------------------------------------------------------------------------------------------


def SSL_is_init_finished(s: SSL) -> int:
    """1 when the handshake is done. SSL_is_init_finished(3)."""
    return int(s.handshake_complete)


def SSL_in_init(s: SSL) -> int:
    """1 while the handshake is not done. SSL_in_init(3)."""
    return int(not s.handshake_complete)


def SSL_is_dtls(s: SSL) -> int:
    """1 for DTLS. SSL_is_dtls(3)."""
    return int(s.context.method is Method.DTLS)


def SSL_version(s: SSL) -> int:
    """The protocol version's number, the highest one's before it is known. SSL_version(3)."""
    return int(s.version or s.context.maximum_version)


def SSL_get_version(s: SSL) -> str:
    """The protocol version's name. SSL_get_version(3)."""
    return "unknown" if s.version is None else _VERSION_NAMES[s.version]


def SSL_get_cipher_name(s: SSL) -> str | None:
    """OpenSSL's name of the cipher suite. SSL_get_cipher_name(3)."""
    return SUITES[s.cipher_suite].openssl_name if s.cipher_suite is not None else None


def SSL_get0_group_name(s: SSL) -> str | None:
    """The group's registry name. SSL_get0_group_name(3)."""
    return s.group.name if s.group is not None else None


def SSL_get0_alpn_selected(s: SSL) -> bytes:
    """The application protocol agreed on, empty if none. SSL_get0_alpn_selected(3)."""
    return (s.alpn or "").encode("latin-1")


def SSL_get_servername(s: SSL, nametype: int = TLSEXT_NAMETYPE_host_name) -> str | None:
    """The name the client asks for. SSL_get_servername(3)."""
    return s.server_hostname if nametype == TLSEXT_NAMETYPE_host_name else None


def SSL_get1_peer_certificate(s: SSL) -> bytes | None:
    """The peer's certificate, DER. SSL_get1_peer_certificate(3)."""
    return s.peer_certificates[0] if s.peer_certificates else None


def SSL_get_peer_cert_chain(s: SSL) -> list[bytes] | None:
    """The peer's chain as it was sent, DER, leaf first. SSL_get_peer_cert_chain(3)."""
    return list(s.peer_certificates) or None


def SSL_get_verify_result(s: SSL) -> int:
    """Why the peer's chain was refused, X509_V_OK if it was not. SSL_get_verify_result(3)."""
    error = _errors.get(s)
    return error.verify_code if isinstance(error, CertificateVerifyError) else X509_V_OK


def SSL_export_keying_material(
    s: SSL, olen: int, label: str | bytes, context: bytes | None, use_context: int
) -> tuple[int, bytes | None]:
    """(1, `olen` bytes that both ends derive). SSL_export_keying_material(3)."""
    given = context if use_context else None
    secret = _call(s, lambda: s.export_keying_material(label, given, olen), None)
    return (0, None) if secret is None else (1, secret)


# --- sessions -----------------------------------------------------------------------------------------------------


def SSL_get_session(s: SSL) -> Session | None:
    """The session the connection can be resumed with. SSL_get_session(3)."""
    return s.session


def SSL_get1_session(s: SSL) -> Session | None:
    """The session the connection can be resumed with. SSL_get1_session(3)."""
    return s.session


def SSL_set_session(s: SSL, session: Session | None) -> int:
    """Offer a session for resumption. SSL_set_session(3)."""
    return _done(s, lambda: s.set_session(session))


def SSL_session_reused(s: SSL) -> int:
    """1 if the handshake resumed a session. SSL_session_reused(3)."""
    return int(s.session_reused)


def SSL_SESSION_is_resumable(session: Session) -> int:
    """1 if the session has not been used up. SSL_SESSION_is_resumable(3)."""
    return int(session.resumable)


def SSL_SESSION_get_max_early_data(session: Session) -> int:
    """How many bytes of early data the session allows. SSL_SESSION_get_max_early_data(3)."""
    return session.max_early_data


def i2d_SSL_SESSION(session: Session) -> tuple[int, bytes]:
    """(how many bytes, the bytes): the session with its secret, in this library's own format. i2d_SSL_SESSION(3)."""
    data = session.to_bytes()
    return len(data), data


def d2i_SSL_SESSION(data: bytes) -> Session | None:
    """The session that i2d_SSL_SESSION wrote, None for anything else. d2i_SSL_SESSION(3)."""
    try:
        return Session.from_bytes(data)
    except Error:
        return None


# --- asynchronous operations of a connection ----------------------------------------------------------------------


def SSL_waiting_for_async(s: SSL) -> int:
    """1 while work of the connection is paused. SSL_waiting_for_async(3)."""
    return int(s.waiting_for_async())


def SSL_get_all_async_fds(s: SSL) -> tuple[int, list[int] | None]:
    """(1, descriptors, newest first); 0 before the first asynchronous operation. SSL_get_all_async_fds(3)."""
    return (0, None) if s.wait_context is None else (1, s.get_all_async_fds())


def SSL_get_changed_async_fds(s: SSL) -> tuple[int, list[int] | None, list[int] | None]:
    """(1, added, deleted); 0 before the first asynchronous operation. SSL_get_changed_async_fds(3)."""
    return (0, None, None) if s.wait_context is None else (1, *s.get_changed_async_fds())


def SSL_CTX_set_async_callback(ctx: Context, callback: Callable[[SSL, Any], object] | None) -> int:
    """The callback of connections made from now on. SSL_CTX_set_async_callback(3)."""
    return _set(ctx, async_callback=callback)


def SSL_CTX_set_async_callback_arg(ctx: Context, arg: Any) -> int:
    """The callback's argument for connections made from now on. SSL_CTX_set_async_callback_arg(3)."""
    return _set(ctx, async_callback_arg=arg)


def SSL_set_async_callback(s: SSL | None, callback: Callable[[SSL, Any], object] | None) -> int:
    """Call this when paused work may go on; None unsets it. SSL_set_async_callback(3)."""
    if s is None:
        return 0
    s.set_async_callback(callback, s.async_callback_arg)
    return 1


def SSL_set_async_callback_arg(s: SSL | None, arg: Any) -> int:
    """The callback's argument, looked up when it is called. SSL_set_async_callback_arg(3)."""
    if s is None:
        return 0
    s.async_callback_arg = arg
    return 1


def SSL_get_async_status(s: SSL) -> tuple[int, int | None]:
    """(1, what the engine last said); 0 before the first asynchronous operation. SSL_get_async_status(3)."""
    return (0, None) if s.wait_context is None else (1, s.get_async_status())


# --- events -------------------------------------------------------------------------------------------------------


def SSL_as_poll_descriptor(s: T) -> T:
    """What stands for the object in an item of `SSL_poll`: the object. SSL_as_poll_descriptor(3)."""
    return s


def SSL_poll(items: Iterable[Item], timeout: float | None = None, flags: int = 0) -> tuple[int, list[PollEvent], int]:
    """(1, what holds of each item, of how many anything does), as soon as something does that was asked for.

    An item is a pair: an object, a socket, or None; and the events. `timeout`: seconds, 0 for no waiting, None for
    ever; when it has passed nothing holds of any. 0 if an item has SSL_POLL_EVENT_F: it cannot be polled; or, with the
    count 0, if the call makes no sense. SSL_poll(3), but TLS and DTLS connections and sockets can be polled too.
    """
    pairs: list[Item] = []
    found: list[PollEvent] | None = None
    with suppress(UsageError, TypeError):
        pairs += items
        if not flags & ~SSL_POLL_FLAG_NO_HANDLE_EVENTS:
            found = poll(pairs, timeout, handle_events=not flags)
    if found is None:
        return 0, [PollEvent.NONE] * len(pairs), 0
    count = sum(map(bool, found))
    return int(not any(each & PollEvent.F for each in found)), found, count


def SSL_handle_events(s: SSL) -> int:
    """Serve what is due. SSL_handle_events(3)."""
    return _done(s, s.handle_events)


def SSL_get_event_timeout(s: SSL) -> tuple[int, float, int]:
    """(1, seconds until SSL_handle_events has something to do, 1 if never). SSL_get_event_timeout(3)."""
    seconds = s.get_event_timeout()
    return (1, _NEVER, 1) if seconds is None else (1, seconds, 0)


def DTLSv1_get_timeout(s: SSL) -> tuple[int, float | None]:
    """(1, seconds until DTLSv1_handle_timeout has something to do); 0 if no timer runs, or not on DTLS.

    DTLSv1_get_timeout(3).
    """
    seconds = s.get_event_timeout() if SSL_is_dtls(s) else None
    return (0, None) if seconds is None else (1, seconds)


def DTLSv1_handle_timeout(s: SSL) -> int:
    """1 if a timer was due and was handled, 0 if none was, -1 on failure. DTLSv1_handle_timeout(3)."""
    due = SSL_is_dtls(s) and s.get_event_timeout() == 0.0
    return int(due) if _done(s, s.handle_events) else -1


def DTLSv1_listen(s: SSL) -> tuple[int, Any]:
    """(1, address of a client that has proved it); (0, None) when there is none yet, (-1, None) on failure.

    Cookies are ready without callbacks. Connect the socket to the address before going on. DTLSv1_listen(3).
    """
    found = _call(s, lambda: (1, s.listen()), None)
    if found is None:
        return (0 if isinstance(_errors.get(s), WantRead) else -1), None
    return found


def DTLS_set_timer_cb(s: SSL, cb: Callable[[SSL, int], int] | None) -> None:
    """Have `cb(ssl, us)` say how long timers run, in microseconds; until the handshake starts. DTLS_set_timer_cb(3).

    It is given 0 for the first duration, and the present one for the next.
    """

    def choose(seconds: float) -> float:
        assert cb is not None
        return cb(s, round(seconds * 1e6)) / 1e6

    s.context.dtls = replace(s.context.dtls, timer=None if cb is None else choose)


def SSL_set_mtu(s: SSL, mtu: int) -> int:
    """Bytes of a datagram of ours, without the headers of IP and UDP. SSL_set_mtu(3)."""

    def change() -> None:
        s.mtu = mtu

    return _done(s, change)


def DTLS_set_link_mtu(s: SSL, mtu: int) -> int:
    """Bytes of an IP packet of ours. DTLS_set_link_mtu(3)."""
    return SSL_set_mtu(s, mtu - (s.wbio.mtu_overhead if isinstance(s.wbio, DatagramBIO) else 28))


def DTLS_get_data_mtu(s: SSL) -> int:
    """Bytes that one SSL_write can send, 0 while that is not known. DTLS_get_data_mtu(3)."""
    return s.max_datagram


def SSL_net_read_desired(s: SSL) -> int:
    """1 if the last call waits for the peer's bytes. SSL_net_read_desired(3)."""
    return int(s.net_read_desired)


def SSL_net_write_desired(s: SSL) -> int:
    """1 if the last call waits for the transport to take bytes. SSL_net_write_desired(3)."""
    return int(s.net_write_desired)


def SSL_get_blocking_mode(s: SSL) -> int:
    """-1: the mode of a connection is that of its BIO. SSL_get_blocking_mode(3)."""
    return -1


def SSL_set_blocking_mode(s: SSL, blocking: int) -> int:
    """0: the mode of a connection is that of its BIO. SSL_set_blocking_mode(3)."""
    return 0


# --- BIOs ---------------------------------------------------------------------------------------------------------


def BIO_s_mem() -> type[MemoryBIO]:
    """Bytes in memory. BIO_s_mem(3)."""
    return MemoryBIO


def BIO_new(kind: type[MemoryBIO]) -> MemoryBIO:
    """A BIO of this kind. BIO_new(3)."""
    return kind()


def BIO_new_bio_pair(writebuf1: int, writebuf2: int) -> tuple[int, PairBIO | None, PairBIO | None]:
    """(1, one half, the other half) of a byte pair; size 0 stands for 17 KiB. BIO_new_bio_pair(3)."""
    try:
        return (1, *bio_pair(writebuf1, writebuf2))
    except Error:
        return 0, None, None


def BIO_new_bio_dgram_pair() -> tuple[int, DatagramPairBIO, DatagramPairBIO]:
    """(1, one half, the other half) of a datagram pair. BIO_new_bio_dgram_pair(3)."""
    return (1, *datagram_pair())


def BIO_new_socket(sock: int) -> SocketBIO:
    """A BIO over the socket with this descriptor, which stays the caller's to close. BIO_new_socket(3)."""
    return borrow_socket(sock)


def BIO_new_dgram(fd: int, close_flag: int) -> DatagramBIO:
    """A BIO over the datagram socket with this descriptor, which stays the caller's to close. BIO_new_dgram(3)."""
    return borrow_datagram_socket(fd)


def BIO_dgram_set_peer(b: DatagramBIO, peer: Any) -> int:
    """The peer's address, in the form `recvfrom` gives; others are not heard. BIO_dgram_set_peer(3)."""
    b.address = peer
    return 1


def BIO_dgram_get_peer(b: DatagramBIO) -> tuple[int, Any]:
    """(1, the peer's address), 0 if none was set. BIO_dgram_get_peer(3)."""
    return (0, None) if b.address is None else (1, b.address)


def BIO_read(b: BIO, dlen: int) -> tuple[int, bytes]:
    """(how many bytes, the bytes); 0 at the end, -1 when there is nothing now or the BIO failed. BIO_read(3)."""
    try:
        data = b.read(dlen)
    except OSError:
        return -1, b""
    return len(data) or (0 if b.eof else -1), data


def BIO_write(b: BIO, data: Data) -> int:
    """How many bytes were taken, -1 when none can be now or the BIO failed. BIO_write(3)."""
    try:
        return b.write(data) or (-1 if data else 0)
    except OSError:
        return -1


def BIO_eof(b: BIO) -> int:
    """1 when all is read and nothing more will come. BIO_eof(3)."""
    return int(b.eof)


def BIO_pending(b: BIO) -> int:
    """Bytes that can be read. BIO_pending(3)."""
    return b.pending


def BIO_ctrl_pending(b: BIO) -> int:
    """Bytes that can be read. BIO_ctrl_pending(3)."""
    return b.pending


def BIO_wpending(b: PairBIO) -> int:
    """Bytes the other half has not read. BIO_wpending(3)."""
    return b.wpending


def BIO_ctrl_wpending(b: PairBIO) -> int:
    """Bytes the other half has not read. BIO_ctrl_wpending(3)."""
    return b.wpending


def BIO_get_write_guarantee(b: PairBIO) -> int:
    """Bytes a write will take now. BIO_get_write_guarantee(3)."""
    return b.get_write_guarantee()


def BIO_get_read_request(b: PairBIO) -> int:
    """Bytes the other half asked for and could not get. BIO_get_read_request(3)."""
    return b.get_read_request()


def BIO_ctrl_reset_read_request(b: PairBIO) -> int:
    """Forget what the other half asked for. BIO_ctrl_reset_read_request(3)."""
    b.reset_read_request()
    return 1


def BIO_reset(b: PairBIO) -> int:
    """Drop what this half wrote and the other has not read. BIO_reset(3)."""
    b.reset()
    return 1


def BIO_shutdown_wr(b: BIO) -> int:
    """Write nothing more. BIO_shutdown_wr(3)."""
    b.write_eof()
    return 1


def BIO_destroy_bio_pair(b: PairBIO) -> int:
    """Break the pair. BIO_destroy_bio_pair(3)."""
    b.close()
    return 1


def BIO_free(b: BIO | None) -> int:
    """Free the BIO, which breaks the pair it is half of; 0 for NULL. BIO_free(3)."""
    if isinstance(b, PairBIO):
        b.close()
    return int(b is not None)


# --- jobs ---------------------------------------------------------------------------------------------------------


def ASYNC_start_job(
    job: Job[Any] | None, ctx: WaitContext | None, func: Callable[[Any], T] | None, args: Any
) -> tuple[int, Job[Any] | None, T | None]:
    """Start `func(args)` as a job, or resume `job`: (code, the job while it is paused, its value). ASYNC_start_job(3).

    What the function raises is raised here; ASYNC_ERR says that the job cannot be started or resumed.
    """
    try:
        if job is not None:
            job.resume()
        elif func is None:
            return ASYNC_ERR, None, None
        else:
            job = jobs.start_job(func, args, wait_context=ctx)
    except jobs.NoJobs:
        return ASYNC_NO_JOBS, None, None
    except UsageError:
        return ASYNC_ERR, job, None
    if job.state is JobState.PAUSED:
        return ASYNC_PAUSE, job, None
    return ASYNC_FINISH, None, job.result()


def ASYNC_pause_job() -> int:
    """Pause the job that runs; without effect outside a job or while pauses are blocked. ASYNC_pause_job(3)."""
    jobs.pause_job()
    return 1


def ASYNC_get_current_job() -> Job[Any] | None:
    """The job that runs. ASYNC_get_current_job(3)."""
    return jobs.current_job()


def ASYNC_get_wait_ctx(job: Job[Any]) -> WaitContext | None:
    """The wait context the job was started with. ASYNC_get_wait_ctx(3)."""
    return job.wait_context


def ASYNC_block_pause() -> None:
    """Let the running job not be paused. ASYNC_block_pause(3)."""
    jobs.block_pause()


def ASYNC_unblock_pause() -> None:
    """Take one ASYNC_block_pause back. ASYNC_unblock_pause(3)."""
    jobs.unblock_pause()


def ASYNC_init_thread(max_size: int, init_size: int) -> int:
    """Bound this thread's pool of jobs (0: no bound) and fill it; 0 on failure. ASYNC_init_thread(3)."""
    try:
        jobs.init_thread(max_size, init_size)
    except Error:
        return 0
    return 1


def ASYNC_cleanup_thread() -> None:
    """Free this thread's idle jobs. ASYNC_cleanup_thread(3)."""
    jobs.cleanup_thread()


def ASYNC_is_capable() -> int:
    """1 where jobs can pause. ASYNC_is_capable(3)."""
    return int(jobs.is_capable())


# --- wait contexts ------------------------------------------------------------------------------------------------


def ASYNC_WAIT_CTX_new() -> WaitContext:
    """A wait context. ASYNC_WAIT_CTX_new(3)."""
    return WaitContext()


def ASYNC_WAIT_CTX_free(ctx: WaitContext | None) -> None:
    """Run the cleanups, newest first. ASYNC_WAIT_CTX_free(3)."""
    if ctx is not None:
        ctx.close()


def ASYNC_WAIT_CTX_set_wait_fd(
    ctx: WaitContext,
    key: object,
    fd: int,
    custom_data: Any,
    cleanup: Callable[[WaitContext, object, int, Any], object] | None,
) -> int:
    """Add a descriptor under a key. ASYNC_WAIT_CTX_set_wait_fd(3)."""
    try:
        ctx.set_wait_fd(key, fd, custom_data, cleanup)
    except UsageError:
        return 0
    return 1


def ASYNC_WAIT_CTX_get_fd(ctx: WaitContext, key: object) -> tuple[int, int | None, Any]:
    """(1, descriptor, custom data) of the newest entry with this key. ASYNC_WAIT_CTX_get_fd(3)."""
    found = ctx.get_fd(key)
    return (0, None, None) if found is None else (1, *found)


def ASYNC_WAIT_CTX_get_all_fds(ctx: WaitContext) -> tuple[int, list[int]]:
    """(1, all descriptors, newest first). ASYNC_WAIT_CTX_get_all_fds(3)."""
    return 1, ctx.get_all_fds()


def ASYNC_WAIT_CTX_get_changed_fds(ctx: WaitContext) -> tuple[int, list[int], list[int]]:
    """(1, added, deleted) since the last resume. ASYNC_WAIT_CTX_get_changed_fds(3)."""
    return (1, *ctx.get_changed_fds())


def ASYNC_WAIT_CTX_clear_fd(ctx: WaitContext, key: object) -> int:
    """Remove the newest entry with this key, without its cleanup; 0 if there is none. ASYNC_WAIT_CTX_clear_fd(3)."""
    return int(ctx.clear_fd(key))


def ASYNC_WAIT_CTX_set_callback(ctx: WaitContext | None, callback: Callable[[Any], object] | None, arg: Any) -> int:
    """Have `callback(arg)` called when the job may go on. ASYNC_WAIT_CTX_set_callback(3)."""
    if ctx is None:
        return 0
    ctx.set_callback(callback, arg)
    return 1


def ASYNC_WAIT_CTX_get_callback(ctx: WaitContext) -> tuple[int, Callable[[Any], object] | None, Any]:
    """(1, callback, argument); 0 if none is set. ASYNC_WAIT_CTX_get_callback(3)."""
    found = ctx.get_callback()
    return (0, None, None) if found is None else (1, *found)


def ASYNC_WAIT_CTX_set_status(ctx: WaitContext, status: int) -> int:
    """Say how the last submission went. ASYNC_WAIT_CTX_set_status(3)."""
    ctx.set_status(status)
    return 1


def ASYNC_WAIT_CTX_get_status(ctx: WaitContext) -> int:
    """What was last said. ASYNC_WAIT_CTX_get_status(3)."""
    return ctx.get_status()
