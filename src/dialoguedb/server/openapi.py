"""The OpenAPI 3.1 document, made of the table of operations."""

from collections import defaultdict
from functools import cache
from typing import Any

import msgspec

from dialoguedb import __version__
from dialoguedb.contract import COMMON_ERRORS, OPERATIONS
from dialoguedb.errors import DialogueDBError
from dialoguedb.models import positions
from dialoguedb.models.fields import Tags
from dialoguedb.operation import Operation, Route
from dialoguedb.server.answers import ErrorEnvelope
from dialoguedb.server.routes import PREFIX
from dialoguedb.wire import Field, fields_of

_REF = "#/components/schemas/{name}"
_STAMP = "2026-02-03T04:05:06.007Z"
_REQUEST_ID = "0c7b1a52-33c1-4a0e-8a51-6f5a2b9d1e10"
_TITLES = {
    "dialogues": "Dialogues",
    "messages": "Messages",
    "memories": "Memories",
    "search": "Search",
    "summaries": "Summaries",
    "context": "Context",
    "transfer": "Export and import",
    "service": "Service",
}
Schema = dict[str, Any]


@cache
def document() -> Schema:
    """Make the document; it is the same for every server of this release."""
    schemas = _schemas()
    paths: dict[str, Schema] = defaultdict(dict)
    for operation in OPERATIONS:
        for index, route in enumerate(operation.routes):
            method = route.method.lower()
            described = _operation(operation, route, schemas, index)
            present = paths[route.path].get(method)
            paths[route.path][method] = _either(present, described) if present else described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "DialogueDB",
            "version": __version__,
            "summary": "A conversation database: messages, state, memories, summaries, search.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}, {"url": PREFIX, "description": "The same, under a prefix"}],
        "security": [{"key": []}],
        "tags": [{"name": title} for title in _TITLES.values()],
        "paths": dict(paths),
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key."}
            },
            "headers": _headers(),
        },
    }


def _schemas() -> dict[str, Schema]:
    types: list[Any] = [ErrorEnvelope]
    for operation in OPERATIONS:
        types += [kind for kind in (operation.request, operation.response) if _is_struct(kind)]
    _, schemas = msgspec.json.schema_components(types, ref_template=_REF)
    _, (tags,) = None, msgspec.json.schema_components([Tags], ref_template=_REF)[0]
    schemas["Tags"] = tags
    return schemas


def _is_struct(kind: Any) -> bool:
    return (
        isinstance(kind, type) and issubclass(kind, msgspec.Struct) and bool(kind.__struct_fields__)
    )


def _headers() -> dict[str, Schema]:
    texts = {
        "X-Request-Id": ("The request's UUID; the server's log has it too.", "string"),
        "X-RateLimit-Limit": ("Requests that the key may make at once.", "integer"),
        "X-RateLimit-Remaining": ("Requests that are left.", "integer"),
        "X-RateLimit-Reset": ("When all are back: seconds since 1970.", "integer"),
    }
    return {
        name: {"description": text, "schema": {"type": kind}}
        for name, (text, kind) in texts.items()
    }


def _operation(
    operation: Operation, route: Route, schemas: dict[str, Schema], index: int
) -> Schema:
    room, _, _ = operation.name.partition(".")
    described: Schema = {
        "operationId": operation.name if index == 0 else f"{operation.name}.{index + 1}",
        "tags": [_TITLES[room]],
        "summary": operation.summary,
        "responses": _responses(operation, schemas),
    }
    if index:
        canonical = f"{operation.route.method} {operation.route.path}"
        described["description"] = f"The same as `{canonical}`."
    if operation.admin:
        described["description"] = "Needs a key with the admin scope."
    if operation.public:
        described["security"] = []
        return described
    fields = fields_of(operation.request)
    described["parameters"] = _parameters(operation, route, fields, schemas)
    if operation.body != "none":
        described["requestBody"] = _body(operation, route, fields, schemas)
    return described


def _either(one: Schema, other: Schema) -> Schema:
    """Describe two operations that share a route; the form of the body chooses (5.8, 5.9)."""
    both = dict(one)
    both["summary"] = f"{one['summary']}; or: {other['summary'][:1].lower()}{other['summary'][1:]}"
    both["requestBody"] = {"required": True, "content": _either_content(one, other, "requestBody")}
    good = dict(one["responses"]["200"])
    good["content"] = _either_content(one["responses"], other["responses"], "200")
    both["responses"] = {**one["responses"], "200": good}
    return both


def _either_content(one: Schema, other: Schema, part: str) -> Schema:
    media = [side[part]["content"]["application/json"] for side in (one, other)]
    return {
        "application/json": {
            "schema": {"anyOf": [side["schema"] for side in media]},
            "examples": {
                name: {"value": side["example"]}
                for name, side in zip(("one", "many"), media, strict=True)
            },
        }
    }


def _field_schema(operation: Operation, wire: str, schemas: dict[str, Schema]) -> Schema:
    found: Schema = schemas[operation.request.__name__]["properties"][wire]
    return found


def _parameters(
    operation: Operation, route: Route, fields: dict[str, Field], schemas: dict[str, Schema]
) -> list[Schema]:
    found = []
    for wire in fields:
        in_path = "{" + wire + "}" in route.path
        if in_path or (wire in operation.query):
            schema = {
                key: value
                for key, value in _field_schema(operation, wire, schemas).items()
                if key != "default" or not in_path
            }
            found.append(
                {
                    "name": wire,
                    "in": "path" if in_path else "query",
                    "required": in_path
                    or (operation.body == "none" and wire in operation.required),
                    "description": schema.get("description", f"The {wire}."),
                    "schema": schema,
                    "example": example_of(schema, schemas),
                }
            )
    if operation.idempotent:
        found.append(
            _header_parameter(
                "Idempotency-Key",
                "Makes the request safe to send again: it takes effect once in 24 hours.",
                {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
                "order-81-turn-4",
            )
        )
    if operation.conditional:
        found.append(
            _header_parameter(
                "If-Match",
                "The ETag of the version that the change is meant for.",
                {"type": "string", "pattern": '^(\\*|"[0-9]+"(, *"[0-9]+")*)$'},
                '"3"',
            )
        )
    if not operation.writes:
        found.append(_position_parameter())
    return found


def _position_parameter() -> Schema:
    return _header_parameter(
        positions.HEADER,
        f"The {positions.HEADER} of the answer to a write: what is read holds that write, also "
        "where reads go to a replica.",
        {"type": "string", "pattern": positions.FORM},
        "0/16B3740",
    )


def _header_parameter(name: str, text: str, schema: Schema, example: str) -> Schema:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": text,
        "schema": schema,
        "example": example,
    }


def _body(
    operation: Operation, route: Route, fields: dict[str, Field], schemas: dict[str, Schema]
) -> Schema:
    schema: Schema = {"$ref": _REF.format(name=operation.request.__name__)}
    in_body = {
        wire: field
        for wire, field in fields.items()
        if field.required or (wire in operation.required and "{" + wire + "}" not in route.path)
    }
    if operation.body == "patch":
        schema = _field_schema(operation, operation.body_field, schemas)
    elif operation.body == "array":
        array = _field_schema(operation, operation.body_field, schemas)
        schema = {"anyOf": [{**array, "minItems": 1}, schema]}
    only_here = [
        wire for wire in operation.required if wire in in_body and wire not in operation.query
    ]
    if only_here and operation.body == "object":
        schema = {"allOf": [schema, {"required": only_here}]}
    media: Schema = {"schema": schema}
    media["example"] = example_of(schema, schemas, only=_telling(operation, only_here))
    only_in_body = in_body.keys() - set(operation.query)
    return {"required": bool(only_in_body), "content": {"application/json": media}}


#: Fields that an example of a body shows: what a caller would send.
_TOLD = {
    "dialogues.create": {"namespace", "label", "message", "state", "metadata", "tags"},
    "dialogues.update": {"label", "tags", "state"},
    "messages.update": {"tags"},
    "memories.create": {"id", "value", "label", "namespace", "tags"},
    "memories.update": {"tags"},
    "summaries.create": {"dialogueId", "startId", "endId"},
    "search.find": {"query", "object", "namespace", "tags", "filter"},
    "context.build": {"maxTokens", "format", "query"},
}


def _telling(operation: Operation, needed: list[str]) -> set[str] | None:
    if operation.body == "object":
        return _TOLD.get(operation.name, {"role", "content", "name"}) | set(needed)
    return None


def _responses(operation: Operation, schemas: dict[str, Schema]) -> Schema:
    responses: Schema = {str(operation.status): _good(operation, schemas)}
    by_status: dict[int, list[type[DialogueDBError]]] = defaultdict(list)
    common = () if operation.public else COMMON_ERRORS
    for error in dict.fromkeys((*operation.errors, *common)):
        by_status[error.status].append(error)
    for status, errors in sorted(by_status.items()):
        responses[str(status)] = {
            "description": "; ".join(f"`{error.code}`" for error in errors),
            "headers": _header_refs(),
            "content": {
                "application/json": {
                    "schema": {"$ref": _REF.format(name="ErrorEnvelope")},
                    "examples": {error.code: {"value": _error_example(error)} for error in errors},
                }
            },
        }
    return responses


def _header_refs() -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in _headers()}


def _error_example(error: type[DialogueDBError]) -> Schema:
    return {
        "error": {
            "code": error.code,
            "message": error().message,
            "type": error.type,
            "details": [],
            "requestId": _REQUEST_ID,
            "timestamp": _STAMP,
        }
    }


def _good(operation: Operation, schemas: dict[str, Schema]) -> Schema:
    headers = _header_refs()
    if operation.versioned:
        headers["ETag"] = {"description": "The version.", "schema": {"type": "string"}}
    if operation.idempotent:
        headers["Idempotent-Replayed"] = {
            "description": "`true` when an earlier request with the same key made this answer.",
            "schema": {"type": "string"},
        }
    if operation.writes:
        headers[positions.HEADER] = {
            "description": "A position that holds the write: send it with reads that must see it. "
            "Only PostgreSQL has one.",
            "schema": {"type": "string", "pattern": positions.FORM},
        }
    if isinstance(operation.response, str):
        schema: Schema = {"type": "object" if "json" in operation.response else "string"}
        content: Schema = {operation.response: {"schema": schema}}
    else:
        (schema,), _ = msgspec.json.schema_components([operation.response], ref_template=_REF)
        if operation.answer_field:
            schema = schemas[operation.response.__name__]["properties"][operation.answer_field]
        content = {"application/json": {"schema": schema, "example": example_of(schema, schemas)}}
    return {"description": "Done.", "headers": headers, "content": content}


def example_of(schema: Schema, schemas: dict[str, Schema], *, only: set[str] | None = None) -> Any:
    """Make an example of a schema from the examples in it.

    Args:
        schema: a JSON schema; references point into `schemas`.
        schemas: the document's schemas by name.
        only: of the outermost object only these members.
    """
    if "examples" in schema:
        return schema["examples"][0]
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas, only=only)
    if "allOf" in schema:
        return example_of(schema["allOf"][0], schemas, only=only)
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0], schemas, only=only)
    if "enum" in schema:
        return schema["enum"][0]
    if "default" in schema:
        return schema["default"]
    match schema.get("type"):
        case "object":
            members = schema.get("properties", {})
            return {
                name: example_of(member, schemas)
                for name, member in members.items()
                if only is None or name in only
            }
        case "array":
            return [example_of(schema.get("items", {"type": "string"}), schemas)]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return "text"
