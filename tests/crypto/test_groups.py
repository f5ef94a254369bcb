"""Key exchange groups: both sides agree, vectors, and every kind of bad share."""

from __future__ import annotations

import contextlib
from functools import partial

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from caesura.crypto import groups
from caesura.crypto.groups import GROUPS, Group, KeyPair
from caesura.errors import IllegalParameter, UsageError
from caesura.wire.registries import NamedGroup

unhex = bytes.fromhex
every = pytest.mark.parametrize("group", list(GROUPS.values()), ids=lambda each: each.name)
curves = pytest.mark.parametrize("code", [NamedGroup.secp256r1, NamedGroup.secp384r1, NamedGroup.secp521r1])

# Points of small order on Curve25519 (RFC 7748 section 6.1 asks for the check; the list is that of cr.yp.to/ecdh.html).
SMALL_ORDER = [
    bytes(32),
    b"\1" + bytes(31),
    unhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    unhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    unhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    unhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    unhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
]


def x25519_pair(private: bytes) -> KeyPair:
    group = GROUPS[NamedGroup.x25519]
    key = X25519PrivateKey.from_private_bytes(private)
    return KeyPair(group, key.public_key().public_bytes_raw(), partial(group.agree, key))  # type: ignore[attr-defined]


def test_all_groups_are_there() -> None:
    names = {"x25519", "secp256r1", "secp384r1", "secp521r1", "X25519MLKEM768", "MLKEM1024"}
    assert {group.name for group in GROUPS.values()} == names
    assert all(GROUPS[group.code] is group for group in GROUPS.values())


@every
def test_both_sides_get_the_same_secret(group: Group) -> None:
    pair = group.generate()
    share, secret = group.respond(pair.share)
    assert (len(pair.share), len(share)) == (group.client_share_length, group.server_share_length)
    assert pair.exchange(share) == secret
    assert any(secret.reveal())


@every
def test_keys_are_fresh_each_time(group: Group) -> None:
    pair = group.generate()
    assert pair.share != group.generate().share
    first, second = group.respond(pair.share), group.respond(pair.share)
    assert first[0] != second[0]
    assert first[1] != second[1]


@every
def test_a_key_pair_serves_one_exchange(group: Group) -> None:
    """RFC 9846 section 4.3.8: a share is not used for two connections, not even when the first attempt fails."""
    pair = group.generate()
    share, _ = group.respond(pair.share)
    pair.exchange(share)
    with pytest.raises(UsageError, match="has been used"):
        pair.exchange(share)
    pair = group.generate()
    with pytest.raises(IllegalParameter):
        pair.exchange(share[:-1])
    with pytest.raises(UsageError):
        pair.exchange(share)


@every
@pytest.mark.parametrize("change", [-1, 1, None])
def test_shares_of_another_length_are_refused(group: Group, change: int | None) -> None:
    pair = group.generate()
    share, _ = group.respond(pair.share)
    for victim, value in ((group.respond, pair.share), (pair.exchange, share)):
        bad = b"" if change is None else (value + b"\0")[: len(value) + change]
        with pytest.raises(IllegalParameter, match=group.name):
            victim(bad)


@every
def test_no_key_shows_in_a_repr(group: Group) -> None:
    pair = group.generate()
    assert repr(pair) == f"<KeyPair {group.name}>"


@every
@given(data=st.data())
def test_random_shares_end_in_a_secret_or_an_alert(group: Group, data: st.DataObject) -> None:
    length = group.client_share_length
    share = data.draw(st.binary(min_size=length, max_size=length))
    if len(share) == length and data.draw(st.booleans()):
        share = b"\4" + share[1:]
    with contextlib.suppress(IllegalParameter):
        group.respond(share)


def test_x25519_vector() -> None:
    """RFC 7748 section 6.1."""
    alice = x25519_pair(unhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"))
    assert alice.share.hex() == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    bob = unhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    assert alice.exchange(bob).reveal().hex() == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"


def test_x25519_of_the_handshake_trace() -> None:
    """RFC 8448 section 3."""
    client = x25519_pair(unhex("49af42ba7f7994852d713ef2784bcbcaa7911de26adc5642cb634540e7ea5005"))
    assert client.share.hex() == "99381de560e4bd43d23d8e435a7dbafeb3c06e51c13cae4d5413691e529aaf2c"
    server = unhex("c9828876112095fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f")
    assert client.exchange(server).reveal().hex() == "8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d"


@pytest.mark.parametrize("share", SMALL_ORDER)
@pytest.mark.parametrize("code", [NamedGroup.x25519, NamedGroup.X25519MLKEM768], ids=lambda each: each.name)
def test_points_of_small_order_are_refused(code: NamedGroup, share: bytes) -> None:
    """RFC 9846 section 7.4.2: an all-zero secret ends the handshake, in the hybrid too."""
    group = GROUPS[code]
    pair = group.generate()
    theirs, _ = group.respond(pair.share)
    with pytest.raises(IllegalParameter, match="small order"):
        group.respond(pair.share[:-32] + share)
    with pytest.raises(IllegalParameter, match="small order"):
        pair.exchange(theirs[:-32] + share)


def test_an_all_zero_secret_is_refused_even_if_the_library_lets_it_pass() -> None:
    class Lenient:
        def exchange(self, _peer: object) -> bytes:
            return bytes(32)

    group = GROUPS[NamedGroup.x25519]
    with pytest.raises(IllegalParameter, match="small order"):
        group.agree(Lenient(), b"\x09" + bytes(31))  # type: ignore[attr-defined]


@curves
def test_points_not_on_the_curve_are_refused(code: NamedGroup) -> None:
    group = GROUPS[code]
    share = group.generate().share
    bad = share[:-1] + bytes([share[-1] ^ 1])
    with pytest.raises(IllegalParameter, match="curve"):
        group.respond(bad)


@curves
@pytest.mark.parametrize("first", [0, 2, 3, 6, 7])
def test_points_that_are_not_uncompressed_are_refused(code: NamedGroup, first: int) -> None:
    group = GROUPS[code]
    with pytest.raises(IllegalParameter, match="uncompressed"):
        group.respond(bytes([first]) + group.generate().share[1:])


def test_the_secret_of_a_curve_is_the_x_coordinate_in_full_length() -> None:
    """RFC 9846 section 7.4.2: leading zeros are kept; one exchange in 256 has some."""
    group = GROUPS[NamedGroup.secp256r1]
    peer = ec.derive_private_key(7, ec.SECP256R1())
    point = peer.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    lengths = {len(group.respond(point)[1]) for _ in range(600)}
    assert lengths == {32}


def test_the_hybrid_is_mlkem_first() -> None:
    """draft-ietf-tls-ecdhe-mlkem: shares and secret are ML-KEM-768 and then X25519."""
    group = GROUPS[NamedGroup.X25519MLKEM768]
    kem, ecdh = MLKEM768PrivateKey.generate(), X25519PrivateKey.generate()
    ours = kem.public_key().public_bytes_raw() + ecdh.public_key().public_bytes_raw()
    share, secret = group.respond(ours)
    expected = kem.decapsulate(share[:1088]) + ecdh.exchange(X25519PublicKey.from_public_bytes(share[1088:]))
    assert secret.reveal() == expected

    pair = group.generate()
    first, ciphertext = MLKEM768PublicKey.from_public_bytes(pair.share[:1184]).encapsulate()
    second = ecdh.exchange(X25519PublicKey.from_public_bytes(pair.share[1184:]))
    answer = ciphertext + ecdh.public_key().public_bytes_raw()
    assert pair.exchange(answer).reveal() == first + second


def test_an_encapsulation_key_out_of_range_is_refused() -> None:
    """FIPS 203 section 7.2, the modulus check: no coefficient reaches 3329."""
    group = GROUPS[NamedGroup.X25519MLKEM768]
    with pytest.raises(IllegalParameter, match="encapsulation key"):
        group.respond(b"\xff" * 1184 + group.generate().share[1184:])
    with pytest.raises(IllegalParameter, match="encapsulation key"):
        GROUPS[NamedGroup.MLKEM1024].respond(b"\xff" * 1568)


def test_a_forged_ciphertext_gives_another_secret() -> None:
    group = GROUPS[NamedGroup.X25519MLKEM768]
    pair = group.generate()
    share, secret = group.respond(pair.share)
    assert pair.exchange(bytes([share[0] ^ 1]) + share[1:]) != secret


def test_without_mlkem_the_hybrid_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        @staticmethod
        def from_seed_bytes(_seed: bytes) -> None:
            raise UnsupportedAlgorithm("no ML-KEM")

    monkeypatch.setattr(groups, "MLKEM768PrivateKey", Missing)
    assert NamedGroup.X25519MLKEM768 not in groups._groups()
    assert NamedGroup.MLKEM1024 not in groups._groups()
    assert NamedGroup.x25519 in groups._groups()
