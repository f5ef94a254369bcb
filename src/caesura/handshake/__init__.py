"""The handshakes: straight-line generators that ask, and the driver that answers.

`hello` comes first and chooses the version; `client13` and `server13` read like figure 1 of RFC 9846; `post13` is what
follows a handshake. None of them touches a socket, a clock, an engine, or asks which transport it runs on.
"""
