"""List workflows page by page."""

from collections.abc import Callable, Iterator
from typing import Any

from scheduler.engines.argo.errors import Api, NoAnswer, Refused
from scheduler.engines.argo.manifests import workflows_path
from scheduler.engines.argo.status.fields import as_dict

PAGE = 250
_TRIES = 3
_EXPIRED = 410


class Lister:
    """The lister reads the lists of one namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.version: str | None = None  #: of the last list: where a watch begins
        self._api = api
        self._namespace = namespace

    def pages(
        self, selector: str, keep_alive: Callable[[], None]
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield the pages of a list; `keep_alive` is called before each request."""
        query, tries = {"labelSelector": selector, "limit": str(PAGE)}, 0
        while True:
            keep_alive()
            try:
                answer = self._api.call("GET", workflows_path(self._namespace), query)
            except Refused as error:  # it took longer than the server keeps it: from the start
                tries += 1
                if error.status != _EXPIRED or tries >= _TRIES:
                    raise
                query.pop("continue", None)
                continue
            yield _items(answer)
            metadata = as_dict(answer.get("metadata"))
            self.version = metadata.get("resourceVersion") or self.version
            if not metadata.get("continue"):
                return
            query["continue"] = str(metadata["continue"])


def _items(answer: dict[str, Any]) -> list[dict[str, Any]]:
    items = answer.get("items")
    if not isinstance(items, list):  # never "there are none": that would end every job
        raise NoAnswer("its answer is not a list of workflows")
    return [
        item for item in items if isinstance(item, dict) and isinstance(item.get("metadata"), dict)
    ]
