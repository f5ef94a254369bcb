"""Bytes to values and back: the wire formats, and nothing that decides anything.

`codec` is the presentation language, `registries` the code points, `messages` the handshake messages, `extensions` what
they carry, `records` the TLS record header. Pure functions of their input: no state, no clock, no randomness, no keys.
What is malformed raises `DecodeError`, what contradicts itself `IllegalParameter`; what it means is for the handshake
to judge.
"""
