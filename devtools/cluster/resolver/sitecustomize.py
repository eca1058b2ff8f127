"""On PYTHONPATH of a service under test: TEST_HOSTS=`name=address,address` is what a headless
Service's name says.
"""

import os
import socket

_name, _, _addresses = os.environ.get("TEST_HOSTS", "").partition("=")
_resolve = socket.getaddrinfo


def _getaddrinfo(host, *args, **kwargs):  # type: ignore[no-untyped-def]
    hosts = _addresses.split(",") if _name and host == _name else [host]
    return [info for one in hosts for info in _resolve(one, *args, **kwargs)]


socket.getaddrinfo = _getaddrinfo
