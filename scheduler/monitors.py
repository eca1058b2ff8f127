"""This module asks every node's resource monitor; no other file here imports `requests`."""

import socket
import threading
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit, urlunsplit

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from jobqueue.clock import rfc3339
from jobqueue.resources import InvalidSnapshot, NodeSnapshot
from scheduler.decide.capacity import Node

TIMEOUT_S = 2.0
MAX_BYTES = 64 * 1024


class MonitorClient:
    """The client reads the snapshots of all nodes behind one URL.

    The name of a headless Service has one address per node, and the client asks each of them; a
    load-balanced address would answer for an arbitrary node.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        self._url = url.rstrip("/")
        self._clock = clock
        #: address -> when it first gave no valid answer
        self._silent_since: dict[str, float] = {}
        #: address -> the node that last answered there
        self._names: dict[str, str] = {}

    def nodes(self, window_s: Mapping[str, float] | None = None) -> list[Node]:
        """Return every node with its snapshot or an error, by name; all are asked in parallel.

        `window_s` maps a node to the length of its window (s), if it is to be shorter than the
        monitor's own.
        """
        addresses = self._addresses()
        if isinstance(addresses, str):
            return self._without_addresses(addresses)
        windows = window_s or {}
        asked = {
            address: _Call(self._ask, address, windows.get(self._name(address)))
            for address in addresses
        }
        deadline = time.monotonic() + TIMEOUT_S + 0.5
        found = [
            call.result(deadline) or self._without_answer(address, requests.Timeout())
            for address, call in asked.items()
        ]
        self._forget_all_but(addresses)
        return _one_a_name(found)

    def _without_addresses(self, problem: str) -> list[Node]:
        names = set(self._names.values()) or {urlsplit(self._url).hostname or self._url}
        return [Node(name, error=problem) for name in sorted(names)]

    def _addresses(self) -> list[str] | str:
        parts = urlsplit(self._url)
        try:
            infos = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)
        except OSError as error:
            return f"the resource monitor's name {parts.hostname} has no address ({error.strerror})"
        hosts = dict.fromkeys(str(info[4][0]) for info in infos)
        if parts.hostname == "localhost":  # both families of one machine, not two nodes
            return [self._url]
        return [
            urlunsplit(parts._replace(netloc=_netloc(host, parts.port or 80))) for host in hosts
        ]

    def _ask(self, address: str, window_s: float | None) -> Node:
        query = f"?window_s={min(max(window_s, 0.001), 10):.3f}" if window_s is not None else ""
        try:
            snapshot = NodeSnapshot.decode(_get(f"{address}/status{query}"))
        except (requests.RequestException, HTTPError, InvalidSnapshot, _Refused) as error:
            return self._without_answer(address, error)
        self._silent_since.pop(address, None)
        self._names[address] = snapshot.node
        return Node(snapshot.node, snapshot)

    def _forget_all_but(self, addresses: list[str]) -> None:
        """Forget old addresses: a new pod of a monitor has another one."""
        for known in (self._silent_since, self._names):
            for address in known.keys() - set(addresses):
                known.pop(address, None)

    def _name(self, address: str) -> str:
        return self._names.get(address, urlsplit(address).hostname or address)

    def _without_answer(self, address: str, error: Exception) -> Node:
        since = rfc3339(self._silent_since.setdefault(address, self._clock()))
        return Node(self._name(address), error=f"{_sentence(address, error)}, since {since}")


def _one_a_name(found: list[Node]) -> list[Node]:
    """Return one node for each name, by name: one machine may have two addresses."""
    by_name: dict[str, list[Node]] = {}
    for node in found:
        by_name.setdefault(node.name, []).append(node)
    return [_merged(by_name[name]) for name in sorted(by_name)]


def _merged(same: list[Node]) -> Node:
    """Return the answer with the fewest free resources of several under one name.

    While a monitor is being replaced, the old and the new one may both answer.
    """
    answers = [(node, node.snapshot) for node in same if node.snapshot is not None]
    snapshots = (snapshot for _, snapshot in answers if snapshot.gpus)
    machines = {tuple(sorted(gpu.uuid for gpu in snapshot.gpus)) for snapshot in snapshots}
    if len(machines) > 1:
        text = f"{len(answers)} monitors of different machines have the name {same[0].name}"
        return Node(same[0].name, error=f"{text}; set NODE_NAME of each")
    if not answers:
        return same[0]
    return min(answers, key=lambda answer: _passing(answer[1]))[0]


def _passing(snapshot: NodeSnapshot) -> int:
    """Return a number that is 0 for an unavailable node and grows with each available GPU."""
    return (1 + sum(gpu.available for gpu in snapshot.gpus)) if snapshot.available else 0


class _Call(threading.Thread):
    """A call runs in a daemon thread, so a monitor that never ends its answer delays no one."""

    def __init__(
        self, ask: Callable[[str, float | None], Node], address: str, window_s: float | None
    ) -> None:
        super().__init__(name="monitor", daemon=True)
        self._ask = ask
        self._address = address
        self._window_s = window_s
        self._node: Node | None = None
        self.start()

    def run(self) -> None:
        self._node = self._ask(self._address, self._window_s)

    def result(self, deadline: float) -> Node | None:
        self.join(max(0.0, deadline - time.monotonic()))
        return self._node


class _Refused(Exception):
    """The monitor's answer cannot be a snapshot; the text says why."""


def _get(url: str) -> bytes:
    """Return the body of an answer with status 200.

    It has at most MAX_BYTES, and arrives within TIMEOUT_S in total, even if it arrives in pieces.
    """
    deadline, body = time.monotonic() + TIMEOUT_S, b""
    with (
        _direct() as session,
        session.get(url, timeout=TIMEOUT_S, stream=True, allow_redirects=False) as response,
    ):
        if response.status_code != 200:
            raise _Refused(f"answers with status {response.status_code}")
        while chunk := response.raw.read1(8192, decode_content=True):
            body += chunk
            if len(body) > MAX_BYTES:
                raise _Refused(f"answers with more than {MAX_BYTES // 1024} KiB")
            if time.monotonic() > deadline:
                raise requests.Timeout
    return body


def _direct() -> requests.Session:
    """Return a session that ignores HTTP_PROXY, which is for hosts outside and knows no node."""
    session = requests.Session()
    session.trust_env = False
    return session


def _sentence(address: str, error: Exception) -> str:
    if isinstance(error, InvalidSnapshot):
        return f"the monitor's answer cannot be trusted ({error})"
    if isinstance(error, _Refused):
        return f"the monitor {error}"
    if isinstance(error, (requests.Timeout, ReadTimeoutError)):
        return f"the monitor at {address} does not answer within {TIMEOUT_S:g} s"
    return f"the monitor at {address} cannot be reached"


def _netloc(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
