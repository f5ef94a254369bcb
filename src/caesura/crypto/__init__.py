"""The only door to `cryptography`: primitives, keys, certificates and trust. Nothing here knows a message."""
