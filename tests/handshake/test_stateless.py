"""A HelloRetryRequest of which only the cookie knows: what the second hello may change (RFC 9846 section 4.2.2)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from caesura.errors import IllegalParameter
from caesura.handshake import stateless
from caesura.handshake.hello import continue_retry
from caesura.tls.connection import PROFILE
from caesura.wire.extensions import COOKIE, KEY_SHARE_CLIENT, KEY_SHARE_RETRY, KeyShareEntry
from caesura.wire.messages import ClientHello, ServerHello, decode_message
from caesura.wire.registries import ExtensionType, NamedGroup
from tests.handshake.by_hand import Hand
from tests.tls.puppet import PuppetClient
from tests.tls.states import server
from tests.tls.world import server_context

Change = Callable[[ClientHello], object]
SHARES = (KeyShareEntry(NamedGroup.secp256r1, bytes(65)),)


def first_hello() -> ClientHello:
    hello = PuppetClient(server()).hello()
    hello.extensions.put_data(ExtensionType.pre_shared_key, offer(2))
    return decode_message(ClientHello, hello.encode())


def offer(count: int) -> bytes:
    """pre_shared_key with so many identities."""
    listed, binders = (b"\0\1x" + bytes(4)) * count, (b"\x20" + bytes(32)) * count
    return len(listed).to_bytes(2, "big") + listed + len(binders).to_bytes(2, "big") + binders


def second_hello(answer: ServerHello, change: Change | None) -> ClientHello:
    hello = decode_message(ClientHello, FIRST.raw)
    keys = hello.extensions.get_data(ExtensionType.pre_shared_key)
    assert keys is not None
    cookie = answer.extensions.get(COOKIE)
    assert cookie is not None
    hello.extensions.remove(ExtensionType.pre_shared_key)
    hello.extensions.put(COOKIE, cookie)
    if KEY_SHARE_RETRY.code in answer.extensions:
        hello.extensions.put(KEY_SHARE_CLIENT, SHARES)
    hello.extensions.put_data(ExtensionType.pre_shared_key, keys)
    if change is not None:
        change(hello)
    return decode_message(ClientHello, hello.encode())


FIRST = first_hello()
ASKED = ["secp256r1"]  # the hello has no share for it
THERE = ["x25519"]


def putting(code: int, data: bytes) -> Change:
    def change(hello: ClientHello) -> None:
        keys = hello.extensions.get_data(ExtensionType.pre_shared_key)
        if code != ExtensionType.pre_shared_key and keys is not None:
            hello.extensions.remove(ExtensionType.pre_shared_key)
            hello.extensions.put_data(code, data)
            hello.extensions.put_data(ExtensionType.pre_shared_key, keys)
        else:
            hello.extensions.put_data(code, data)

    return change


def without(code: int) -> Change:
    return lambda hello: hello.extensions.remove(code)


def continued(groups: list[str], change: Change | None) -> None:
    """A second hello comes to a server that knows no more of the first than the cookie says."""
    context = server_context(groups=groups)
    states: list[bytes] = []

    def seal(state: bytes) -> bytes:
        states.append(state)
        return b"cookie"

    second = second_hello(stateless.ask_again(context.settings, PROFILE, FIRST, seal), change)
    retried = stateless.reopen(context.settings, PROFILE, second, states[0])
    assert retried is not None
    assert (retried.group is None) is (groups is THERE)
    shares = second.extensions.get(KEY_SHARE_CLIENT) or ()
    continue_retry(Hand(context, server_side=True).handshake, retried, second, shares[0])


@pytest.mark.parametrize("groups", [ASKED, THERE], ids=["share asked for", "share there"])
@pytest.mark.parametrize(
    ("change", "good"),
    [
        (None, True),
        (without(ExtensionType.pre_shared_key), True),
        (putting(ExtensionType.pre_shared_key, offer(1)), True),
        (putting(ExtensionType.pre_shared_key, offer(3)), False),
        (putting(ExtensionType.padding, bytes(10)), True),
        (putting(ExtensionType.early_data, b""), False),
        (without(ExtensionType.server_name), False),
        (putting(0xFAFA, b""), False),
        (lambda hello: setattr(hello, "random", bytes(32)), False),
    ],
    ids=["nothing", "no keys", "fewer keys", "more keys", "padding", "early data", "no name", "more", "random"],
)
def test_what_may_change(groups: list[str], change: Change | None, good: bool) -> None:
    if good:
        continued(groups, change)
    else:
        with pytest.raises(IllegalParameter):
            continued(groups, change)


def test_share_that_nobody_asked_to_change() -> None:
    with pytest.raises(IllegalParameter, match="changed"):
        continued(THERE, lambda hello: hello.extensions.put(KEY_SHARE_CLIENT, SHARES))
