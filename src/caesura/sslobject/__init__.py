"""SSL: the object of the manual pages, over a connection of any transport (SSL_new(3) and its neighbours).

`base` is what every SSL is, `ends` its BIOs, `facts` what it can say, `verbs` all that one may be asked; `records` is
the SSL of TLS and DTLS, which stands on `record_base`. That of QUIC is `quic`, which stands on `quic_base` and
`quic_streams`; beside it are `quic_stream` and `quic_listener`: each an object of a `domain`, what they have in common
in `quic_object`. They are imported when they are asked for.
"""

from caesura.sslobject.base import SSL
from caesura.sslobject.ends import Want
from caesura.sslobject.records import RecordSSL

__all__ = ["SSL", "RecordSSL", "Want"]
