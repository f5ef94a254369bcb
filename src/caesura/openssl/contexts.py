"""SSL_CTX: making and setting contexts, and what a connection's own copy may be set to (SSL_CTX_new(3) and others)."""
# ruff: noqa: ARG001 - C's arguments, also where Python does not need them

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final
from weakref import WeakKeyDictionary

from caesura.context import Context, Identity, Method, TrustStore, Verify
from caesura.crypto.suites import SUITES
from caesura.openssl.calls import call as _call
from caesura.openssl.calls import done as _done
from caesura.openssl.calls import set_all as _set
from caesura.openssl.constants import (
    SSL_MODE_ASYNC,
    SSL_OP_NO_QUERY_MTU,
    SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
    SSL_VERIFY_PEER,
)
from caesura.openssl.quic_methods import QUICMethod
from caesura.openssl.quic_methods import remember as _remember
from caesura.sslobject import SSL
from caesura.wire.codec import Opaque, Vector
from caesura.wire.registries import Version

_BY_NUMBER: Final = {int(version): version for version in Version}
_TLS12_BY_NAME: Final = {suite.openssl_name: suite.name for suite in SUITES.values() if suite.older}


def SSL_CTX_new(method: Method | QUICMethod) -> Context:
    """A context. Clients verify their servers unless told otherwise. SSL_CTX_new(3)."""
    if isinstance(method, Method):
        return Context(method)
    ctx = Context(Method.QUIC, quic={"thread_assisted": method is QUICMethod.CLIENT_THREAD})
    _remember(ctx, method)
    return ctx


def SSL_CTX_free(ctx: Context | None) -> None:
    """Do nothing: a context lives as long as anybody uses it. SSL_CTX_free(3)."""


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
