"""What `dtls=` takes."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from caesura.context import Context, DTLSSettings, Method
from caesura.crypto.cookies import CookieKeys
from caesura.engines import Operation
from caesura.errors import ConfigError
from caesura.wire.registries import SRTPProtectionProfile, Version
from tests.dtls.world import linked, server_context
from tests.support.datagram_link import VirtualEngine

BAD: dict[str, list[Any]] = {
    "mtu": [255, 65_508, None, "1200", 1200.5, True],
    "fallback_mtu": [255, 65_508, "548", 548.5],
    "initial_timeout": [0, -1, None, "1", True, float("nan"), float("inf"), 61],
    "maximum_timeout": [0, None, "60", 0.5],
    "retransmissions": [-1, None, 1001, 1.5, True],
    "timer": [1.0, "double"],
    "timer_slack": [-0.1, 1.1, None],
    "ack_delay": [-0.1, 1.1, None],
    "ack_on_pause": [None, 1],
    "fast_retransmit": [None, 1],
    "cookies": [None, 1, "on"],
    "cookie_keys": [None, b"key", [bytes(32)]],
    "amplification": [0, 2.5, True],
    "connection_id": [-1, 65, True, b"id"],
    "srtp_profiles": [["SRTP_NULL_HMAC_SHA1_80"], 7.5],
    "old_epoch_lifetime": [-1, None],
    "idle_timeout": [0, -1, True],
    "forgery_resistant": [None, 1],
}
GOOD: dict[str, list[Any]] = {
    "mtu": [256, 65_507],
    "fallback_mtu": [None, 256],
    "initial_timeout": [0.4, 60],
    "maximum_timeout": [1, 3600],
    "retransmissions": [0, 1000],
    "timer": [None, abs],
    "timer_slack": [0, 1],
    "ack_delay": [0, 1],
    "ack_on_pause": [True, False],
    "fast_retransmit": [True, False],
    "cookies": [True, False],
    "cookie_keys": [CookieKeys()],
    "amplification": [None, 1],
    "connection_id": [None, 0, 8, 64],
    "srtp_profiles": [(), (SRTPProtectionProfile.SRTP_AEAD_AES_128_GCM,)],
    "old_epoch_lifetime": [0, 86_400],
    "idle_timeout": [None, 0.001],
    "forgery_resistant": [True, False],
}


def rows(table: dict[str, list[Any]]) -> list[Any]:
    return [(name, value) for name, values in table.items() for value in values]


def test_every_setting_is_in_the_tables() -> None:
    names = {each.name for each in dataclasses.fields(DTLSSettings)}
    assert BAD.keys() == names
    assert GOOD.keys() == names


@pytest.mark.parametrize(("name", "value"), rows(BAD))
def test_bad_setting_is_refused_and_named(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=r"dtls\.(maximum_timeout|" + name + ")"):
        Context(Method.DTLS, dtls={name: value})
    with pytest.raises(ConfigError, match="dtls"):
        Context(Method.DTLS, dtls=DTLSSettings(**{name: value}))


@pytest.mark.parametrize(("name", "value"), rows(GOOD))
def test_good_setting_is_taken(name: str, value: Any) -> None:
    context = Context(Method.DTLS, dtls={name: value})
    assert getattr(context.dtls, name) == value
    context.dtls = DTLSSettings()
    assert context.dtls.mtu == 1400


def test_versions() -> None:
    context = Context(Method.DTLS)
    assert context.versions == (Version.DTLS13, Version.DTLS12)
    context = Context(Method.DTLS, minimum_version="DTLS13", maximum_version=Version.DTLS13)
    assert context.maximum_version is Version.DTLS13
    for version in (Version.TLS13, "QUIC1"):
        with pytest.raises(ConfigError, match="minimum_version"):
            Context(Method.DTLS, minimum_version=version)


def test_context_that_is_selected() -> None:
    """Work goes its way from then on; how the connection is carried stays as it was."""
    engine = VirtualEngine(3.0, [Operation.SIGN])
    chosen = server_context(engine=engine, dtls={"mtu": 300})
    made = engine.link = linked(server={"select_identity": lambda _: chosen, "async_mode": True})
    made.handshake()
    assert made.server.selected_context is chosen
    assert made.now >= 3.0
