"""Find the operation of a method and a path, as the table says."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from dialoguedb.contract import OPERATIONS
from dialoguedb.errors import InvalidParameter, MethodNotAllowed, RouteNotFound
from dialoguedb.operation import Operation

PREFIX = "/api/v1"


class Match(NamedTuple):
    """The operations of a route (two where the body decides), and its path's fields as sent."""

    operations: tuple[Operation, ...]
    path: dict[str, str]


class _Node:
    """One segment of the paths; `below` by literal text, or by None for a field."""

    __slots__ = ("below", "methods")

    def __init__(self) -> None:
        self.below: dict[str | None, _Node] = {}
        self.methods: dict[str, list[tuple[Operation, tuple[str, ...]]]] = {}


class Routes:
    """All routes of the table, as a tree of their segments; a literal wins over a field."""

    def __init__(self, operations: Iterable[Operation] = OPERATIONS) -> None:
        self._root = _Node()
        for operation in operations:
            for route in operation.routes:
                self._add(operation, route.method, route.path)

    def _add(self, operation: Operation, method: str, path: str) -> None:
        node, names = self._root, []
        for segment in path.strip("/").split("/"):
            is_field = segment.startswith("{")
            if is_field:
                names.append(segment.strip("{}"))
            node = node.below.setdefault(None if is_field else segment, _Node())
        node.methods.setdefault(method, []).append((operation, tuple(names)))

    def match(self, method: str, raw_path: str) -> Match:
        """Find what a request asks for.

        Args:
            method: in upper case.
            raw_path: as sent, percent-encoded, without the query.
        Raises:
            RouteNotFound: no such path.
            MethodNotAllowed: the path takes other methods; they are in `Allow`.
        """
        path = raw_path.removeprefix(PREFIX) if raw_path.startswith(PREFIX + "/") else raw_path
        if path.endswith("/"):
            path = path[:-1]
        node: _Node | None = self._root
        values: list[str] = []
        for segment in path[1:].split("/"):
            if node is None:
                break
            following = node.below.get(segment)
            if following is None and segment:
                following = node.below.get(None)
                values.append(segment)
            node = following
        if node is None or not node.methods:
            raise RouteNotFound("There is no such path; GET /docs shows those there are")
        # HEAD is GET whose body the server keeps: load balancers ask like that.
        found = node.methods.get("GET" if method == "HEAD" else method)
        if found is None:
            allowed = ", ".join(sorted(node.methods))
            raise MethodNotAllowed(f"This path takes {allowed}", headers={"Allow": allowed})
        fields = dict(zip(found[0][1], values, strict=True))
        return Match(tuple(operation for operation, _ in found), fields)


def decoded(path: Mapping[str, str]) -> dict[str, str]:
    """Percent-decode the fields of a path, once (contract 1.3).

    Raises:
        InvalidParameter: one is not UTF-8.
    """
    return {name: _decoded(value, name) for name, value in path.items()}


def _decoded(value: str, name: str) -> str:
    if "%" not in value:
        return value
    try:
        return unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        raise InvalidParameter(f"Invalid {name}: it is not UTF-8", field=name) from None
