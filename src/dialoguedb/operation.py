"""What a row of the table of operations says (`contract.py`)."""

from typing import Any, Literal

from msgspec import Struct

from dialoguedb.errors import DialogueDBError

Method = Literal["GET", "POST", "PUT", "DELETE"]
#: none: a body is ignored; object: a JSON object or nothing; array: an array, or an object that
#: holds it; patch: the body is itself the value of one field.
BodyForm = Literal["none", "object", "array", "patch"]


class Route(Struct, frozen=True):
    """One method and path; `{name}` in it is a field of the request."""

    method: Method
    path: str


class Operation(Struct, frozen=True, kw_only=True):
    """One row of the table.

    Attributes:
        name: `room.verb`.
        route: the canonical method and path.
        aliases: other ways in, equal in every respect (5.0).
        summary: for the reference.
        request: the Struct of all its fields, from path, query and body together.
        response: the type of the answer.
        body: the form of the body.
        body_field: the request's field that an `array` or `patch` body is.
        required: fields that must come from path, query or body, by wire name.
        query: fields that may come in the query, by wire name.
        strict_query: whether an unknown query parameter is refused (1.3).
        fixed: fields that the body may only repeat; another value is 409 (5.12, 5.14).
        resource: the Struct whose fields the body may carry without effect (1.3).
        public: whether it needs no key.
        admin: whether it needs a key with the admin scope.
        writes: whether it changes the store; then it answers `X-DialogueDB-Position` where the
            database has replicas, and what only reads takes that header.
        idempotent: whether it takes an `Idempotency-Key` (5.15).
        versioned: whether it answers an `ETag` (5.15).
        conditional: whether it takes `If-Match` (5.15).
        status: of its success (1.4).
        answer_field: the attribute of the engine's answer that is the body; all of it if empty.
        errors: what it can answer besides `COMMON_ERRORS`.
    """

    name: str
    route: Route
    summary: str
    response: Any
    request: type[Struct] = Struct
    aliases: tuple[Route, ...] = ()
    body: BodyForm = "none"
    body_field: str = ""
    required: tuple[str, ...] = ()
    query: tuple[str, ...] = ("namespace",)
    strict_query: bool = False
    fixed: tuple[str, ...] = ()
    resource: type[Struct] | None = None
    public: bool = False
    admin: bool = False
    writes: bool = False
    idempotent: bool = False
    versioned: bool = False
    conditional: bool = False
    status: Literal[200, 202] = 200
    answer_field: str = ""
    errors: tuple[type[DialogueDBError], ...] = ()

    @property
    def routes(self) -> tuple[Route, ...]:
        """Give the canonical route and the aliases."""
        return (self.route, *self.aliases)
