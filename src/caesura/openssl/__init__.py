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

from caesura.openssl.async_jobs import *  # noqa: F403
from caesura.openssl.asynchronous import *  # noqa: F403
from caesura.openssl.bios import *  # noqa: F403
from caesura.openssl.connections import *  # noqa: F403
from caesura.openssl.constants import *  # noqa: F403
from caesura.openssl.contexts import *  # noqa: F403
from caesura.openssl.events import *  # noqa: F403
from caesura.openssl.facts import *  # noqa: F403
from caesura.openssl.methods import *  # noqa: F403
from caesura.openssl.poll import *  # noqa: F403
from caesura.openssl.quic import *  # noqa: F403
from caesura.openssl.sessions import *  # noqa: F403
from caesura.openssl.wait_contexts import *  # noqa: F403
