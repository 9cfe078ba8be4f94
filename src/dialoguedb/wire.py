"""From path, query and body to a checked request: what the table of operations says, done.

A good request takes the fast path: one strict decode and the rules of its fields. A bad one is
walked once more, field by field, so that its answer names everything that is wrong with it.
"""

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import UnionType
from typing import Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec import inspect as shapes

from dialoguedb import contract
from dialoguedb.errors import (
    Detail,
    DialogueDBError,
    ImmutableField,
    InvalidInput,
    InvalidParameter,
    MissingParameter,
    ValidationFailed,
)
from dialoguedb.models import documents
from dialoguedb.models.dialogues import UpdateDialogue
from dialoguedb.models.limits import Limits
from dialoguedb.models.messages import Message, NewMessage
from dialoguedb.models.rules import Rule
from dialoguedb.models.transfer import RECORDS
from dialoguedb.operation import Operation

S = TypeVar("S", bound=Struct)
#: More problems than this in one request help nobody.
MAX_DETAILS = 100


class Field(NamedTuple):
    """What the wire says of one field of a request.

    `kinds`: of a list whose objects tell by their `type` what they are, the Structs by that.
    """

    name: str
    wire: str
    type: Any
    required: bool
    rule: Rule | None
    error: type[DialogueDBError]
    nested: type[Struct] | None
    kinds: Mapping[str, type[Struct]]
    many: bool
    scalar: type | None
    choices: tuple[str, ...]
    hint: str


def fields_of(struct: type[Struct]) -> dict[str, Field]:
    """Read the fields of a request Struct, by wire name."""
    hints = get_type_hints(struct, include_extras=True)
    found = {}
    for shape in shapes.type_info(struct).fields:  # type: ignore[attr-defined]
        inner, extra = _unwrap(shape.type)
        nested, many = None, isinstance(inner, shapes.ListType)
        element = _unwrap(inner.item_type)[0] if isinstance(inner, shapes.ListType) else inner
        if isinstance(element, shapes.StructType):
            nested = element.cls
        tagged = inner.item_type if isinstance(inner, shapes.ListType) else None
        found[shape.encode_name] = Field(
            name=shape.name,
            wire=shape.encode_name,
            type=_without_unset(hints[shape.name]),
            required=shape.required,
            rule=extra.get("rule"),
            error=extra.get("error", InvalidInput),
            nested=nested,
            kinds=_kinds(tagged),
            many=many,
            scalar={shapes.IntType: int, shapes.BoolType: bool}.get(type(inner)),
            choices=tuple(map(str, getattr(inner, "values", ()))),
            hint=extra.get("hint", ""),
        )
    return found


def _unwrap(shape: shapes.Type) -> tuple[shapes.Type, dict[str, Any]]:
    """Take the notes off a type; of a type that may be null, the other one."""
    extra: dict[str, Any] = {}
    if isinstance(shape, shapes.UnionType):
        shape = next(one for one in shape.types if not isinstance(one, shapes.NoneType))
    while isinstance(shape, shapes.Metadata):
        extra |= shape.extra or {}
        shape = shape.type
    return shape, extra


def _kinds(shape: shapes.Type | None) -> dict[str, type[Struct]]:
    """Give the Structs of a union by the `type` that tells them apart."""
    if not isinstance(shape, shapes.UnionType):
        return {}
    return {str(one.tag): one.cls for one in shape.types if isinstance(one, shapes.StructType)}


def _without_unset(hint: Any) -> Any:
    if get_origin(hint) is UnionType or hint.__class__.__name__ == "_UnionGenericAlias":
        kept = tuple(one for one in get_args(hint) if one is not UnsetType)
        return kept[0] if len(kept) == 1 else kept[0] | kept[1]
    return hint


_REQUESTS: tuple[type[Struct], ...] = (
    NewMessage,
    *(row.request for row in contract.OPERATIONS if not row.public),
)
_FIELDS = {struct: fields_of(struct) for struct in _REQUESTS}
_OF_RECORDS = {struct: fields_of(struct) for struct in RECORDS}
_RULED: dict[type[Struct], tuple[Field, ...]] = {
    struct: tuple(field for field in fields.values() if field.rule or field.nested)
    for struct, fields in (_FIELDS | _OF_RECORDS).items()
}


def _wire_names(struct: type[Struct]) -> set[str]:
    return set(struct.__struct_encode_fields__)


#: Fields that answers carry and no body takes: tolerated in every body (1.3).
READ_ONLY = frozenset(
    set().union(*map(_wire_names, contract.RESOURCES))
    - _wire_names(NewMessage)
    - {wire for row in contract.OPERATIONS if row.body != "none" for wire in _FIELDS[row.request]}
)
_OF_OLD_CLIENTS = frozenset({"expiresTimestamp", "previousId"})
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_IN_PATH = re.compile(r"\{(\w+)\}")


class RequestReader:
    """Reads the requests of one operation."""

    def __init__(self, operation: Operation, limits: Limits, *, refuse_unknown: bool) -> None:
        """Prepare the decoders.

        Args:
            operation: the row of the table.
            limits: what a request may not pass.
            refuse_unknown: whether an unknown field of a body is an error (1.3).
        """
        self.operation = operation
        self._limits = limits
        self._refuse_unknown = refuse_unknown
        self._struct = operation.request
        self._fields = _FIELDS[operation.request]
        self._decode = msgspec.json.Decoder(operation.request).decode
        self._query = frozenset(operation.query)
        self._required = [self._fields[wire] for wire in operation.required]
        self._body_field = self._fields.get(operation.body_field)
        # 1.3: what comes empty there may be told by the path.
        self._may_be_empty = {"namespace"} | {
            wire for route in operation.routes for wire in _IN_PATH.findall(route.path)
        }
        resource = _wire_names(operation.resource) if operation.resource else set()
        # Only what is written can have been read before.
        known = READ_ONLY | _OF_OLD_CLIENTS | resource
        self._tolerated = known if operation.writes else frozenset()

    def read(
        self, path: Mapping[str, str], query: Sequence[tuple[str, str]], body: bytes
    ) -> Struct:
        """Make the request of its parts.

        Args:
            path: the fields in the path, by wire name, percent-decoded.
            query: the parameters of the query, percent-decoded, in order.
            body: the body as sent, UTF-8 JSON; ignored where the operation takes none.
        Raises:
            BadRequest, TooLarge, ImmutableField: the request is not valid; nothing happened.
        """
        given = self._given(path, query)
        if self.operation.body == "none":
            request = self._from_parameters(given)
        else:
            request = self._from_body(body, given)
            if not self.operation.writes and body.strip():
                _refuse_twice(body)
        for field in self._required:
            value = getattr(request, field.name)
            if value is UNSET or (field.many and not value):
                raise _missing(field.wire)
        return request

    def _given(self, path: Mapping[str, str], query: Sequence[tuple[str, str]]) -> dict[str, str]:
        """Bring path and query together; what both say must agree."""
        given: dict[str, str] = {}
        unknown: list[DialogueDBError] = []
        for wire, value in query:
            if wire not in self._query:
                if self.operation.strict_query:
                    unknown.append(_unknown(wire, self._query, "parameter"))
            elif value == "" and wire in self._may_be_empty:
                continue  # 1.3: an empty one counts as absent
            elif self._fields[wire].many and wire in given:
                given[wire] += "," + value  # 8.6: repeated, or with commas
            elif given.setdefault(wire, value) != value:
                raise _differs(wire, "it is given twice with different values")
        if unknown:
            raise together(unknown)
        for wire, value in path.items():
            if given.setdefault(wire, value) != value:
                raise _differs(wire, "path and query differ")
        return given

    def _from_parameters(self, given: Mapping[str, str]) -> Struct:
        """Read path and query: all at once, and where that fails field by field."""
        plain = {wire: _plain(self._fields[wire], text) for wire, text in given.items()}
        try:
            request = msgspec.convert(plain, self._struct)
        except msgspec.ValidationError:
            return self._explain_parameters(given)
        return request if obeys_rules(request, self._limits) else self._explain_parameters(given)

    def _explain_parameters(self, given: Mapping[str, str]) -> Struct:
        found: list[DialogueDBError] = []
        values = {}
        for wire, text in given.items():
            field = self._fields[wire]
            try:
                values[field.name] = self._parameter(field, text)
            except DialogueDBError as error:
                found.append(error)
        if found:
            raise together(found)
        return self._struct(**values)

    def _parameter(self, field: Field, text: str) -> Any:
        """Read one parameter of path or query."""
        try:
            value = msgspec.convert(_plain(field, text), field.type)
        except msgspec.ValidationError as error:
            raise InvalidParameter(
                f"Invalid {field.wire}: {_problem(error, field)}", field=field.wire
            ) from None
        for problem in field.rule(value, self._limits) if field.rule else ():
            raise _placed(problem, field.wire, field.wire)
        return value

    def _from_body(self, body: bytes, given: Mapping[str, str]) -> Struct:
        body = body.strip(b" \t\r\n") or b"{}"
        if self._body_field is not None and (
            self.operation.body == "patch" or body.startswith(b"[")
        ):
            body = b'{"%s":%s}' % (self._body_field.wire.encode(), self._checked(body))
        try:
            request = self._decode(body)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return self._explain(body, given)
        if not obeys_rules(request, self._limits):
            return self._explain(body, given)
        return self._addressed(request, given)

    def _checked(self, body: bytes) -> bytes:
        """Check a body before it is put inside another: it must be JSON by itself."""
        documents.value_of(body)
        return body

    def _addressed(self, request: Struct, given: Mapping[str, str]) -> Struct:
        """Set the fields that came with path or query; a body may only repeat them."""
        for wire, text in given.items():
            field = self._fields[wire]
            value = self._parameter(field, text)
            held = getattr(request, field.name)
            if held is UNSET or held == "" or field.scalar:
                setattr(request, field.name, value)
            elif held != value:
                if wire in self.operation.fixed:
                    raise ImmutableField(f"{wire} cannot be changed", field=wire)
                raise _differs(wire, "path or query and body differ")
        return request

    def _explain(self, body: bytes, given: Mapping[str, str]) -> Struct:
        """Walk a body that the fast path refused; raise all that is wrong, or take what is right.

        What is right here and not there are tolerated fields, and unknown ones where the
        settings say so.
        """
        levels = documents.MAX_NESTING + documents.ENVELOPE_NESTING
        if not isinstance(documents.value_of(body, levels=levels), dict):
            raise InvalidInput("The body must be a JSON object")
        members = documents.members_of(body)
        walk = _Walk(
            self._limits, self._refuse_unknown, leave_out_read=self._struct is UpdateDialogue
        )
        kept = walk.struct(self._struct, members, self._tolerated)
        for field in self._required:
            if not field.required and field.wire not in given and field.wire not in members:
                walk.add(_missing(field.wire), "", field.wire)
        if walk.found:
            raise together(walk.found)
        request = self._addressed(self._decode(msgspec.json.encode(kept)), given)
        _agree(walk.stated, request)
        return request


def _plain(field: Field, text: str) -> Any:
    """Read the text of a parameter as the kind of value that its field is."""
    if field.scalar is int and text.isascii() and text.isdigit():
        return int(text[:18])
    if field.many:
        return text.split(",")
    if field.scalar is bool:
        return _BOOLEANS.get(text, text)
    return text


def _refuse_twice(body: bytes) -> None:
    """Refuse a body that gives a field twice: of two filters, one would be dropped."""
    pairs: list[tuple[str, Any]] = json.loads(body, object_pairs_hook=list)
    given = Counter(wire for wire, _ in pairs)
    twice = [_differs(wire, "it is given twice") for wire, count in given.items() if count > 1]
    if twice:
        raise together(twice)


def _agree(stated: Iterable[tuple[str, str, object]], request: Struct) -> None:
    """Refuse messages that say that they belong to another dialogue than the one addressed."""
    dialogue = getattr(request, "dialogue_id", getattr(request, "id", UNSET))
    actual = {"namespace": getattr(request, "namespace", ""), "dialogueId": dialogue}
    for place, wire, value in stated:
        if actual[wire] is not UNSET and value != actual[wire]:
            raise _differs(f"{place}.{wire}", "the message belongs to another dialogue")


def obeys_rules(request: Struct, limits: Limits) -> bool:
    """Tell whether the fields of a decoded request, and of Structs in it, obey their rules."""
    for field in _RULED[type(request)]:
        value = getattr(request, field.name)
        if value is UNSET or value is None:
            continue
        if field.rule and field.rule(value, limits):
            return False
        if field.nested:
            for item in value if field.many else (value,):
                if not obeys_rules(item, limits):
                    return False
    return True


class _Walk:
    """One walk through a body, collecting what is wrong."""

    def __init__(self, limits: Limits, refuse_unknown: bool, *, leave_out_read: bool) -> None:
        """Begin; with `leave_out_read`, messages that were read and not written are no input."""
        self.found: list[DialogueDBError] = []
        self.stated: list[tuple[str, str, object]] = []
        self._leave_out_read = leave_out_read
        self._limits = limits
        self._refuse_unknown = refuse_unknown

    def struct(
        self,
        struct: type[Struct],
        members: Mapping[str, Raw],
        tolerated: Iterable[str],
        *,
        at: str = "",
    ) -> dict[str, Any]:
        """Check the members of one object; give the good ones that have an effect."""
        fields = _FIELDS.get(struct) or _OF_RECORDS[struct]
        kept: dict[str, Any] = {}
        for wire, raw in members.items():
            if len(self.found) == MAX_DETAILS:
                break
            if wire in fields:
                value = self._member(fields[wire], raw, at)
                if value is not UNSET:
                    kept[wire] = value
            elif wire not in tolerated and self._refuse_unknown:
                self.add(_unknown(wire, fields, "field"), at, _shown(wire))
        for field in fields.values():
            if field.required and field.wire not in members:
                self.add(_missing(field.wire), at, field.wire)
        return kept

    def _member(self, field: Field, raw: Raw, at: str) -> Any:
        text = bytes(raw)
        if field.scalar is int:
            text = _whole(text)
        if field.nested and field.many and text.startswith(b"["):
            return self._array(field, text, at)
        if field.nested and not field.many and text.startswith(b"{"):
            return self._message(documents.members_of(text), _join(at, field.wire))
        try:
            value = msgspec.json.decode(text, type=field.type)
        except msgspec.ValidationError as error:
            if text == b"null" and field.required:
                self.add(_missing(field.wire), at, field.wire)
            else:
                self._mistyped(field, error, at)
            return UNSET
        problems = field.rule(value, self._limits) if field.rule and value is not None else ()
        for problem in problems:
            self.add(problem, at, field.wire)
        return Raw(text)

    def _mistyped(self, field: Field, error: msgspec.ValidationError, at: str) -> None:
        place = _place(error)
        if str(error).startswith("Expected `str` of length >= 1") and field.required:
            self.add(_missing(field.wire), at, field.wire)
            return
        code = "TOO_LONG" if "of length <=" in str(error) else "INVALID"
        problem = f"Invalid {{field}}: {_problem(error, field)}"
        self.add(field.error(problem, field=place, detail_code=code), at, field.wire)

    def _array(self, field: Field, text: bytes, at: str) -> Any:
        """Walk the messages of a batch, or the records of an import."""
        items = msgspec.json.decode(text, type=list[Raw])
        for error in field.rule(items, self._limits) if field.rule else ():
            self.add(error, at, field.wire)
            return UNSET  # too many to walk
        kept = []
        for index, raw in enumerate(items):
            place = f"{_join(at, field.wire)}[{index}]"
            if not bytes(raw).startswith(b"{"):
                self._note(InvalidInput(f"{place}: must be an object", field=place))
                continue
            members = documents.members_of(raw)
            if not (self._leave_out_read and members.keys() >= {"dialogueId", "sequence"}):
                kept.append(
                    self._record(field.kinds, members, place)
                    if field.kinds
                    else self._message(members, place)
                )
        return kept

    def _record(
        self, kinds: Mapping[str, type[Struct]], members: dict[str, Raw], at: str
    ) -> dict[str, Any]:
        """Walk an object that tells by its `type` what it is."""
        kind = documents.value_of(members.pop("type", Raw(b"null")))
        struct = kinds.get(kind) if isinstance(kind, str) else None
        if struct is None:
            problem = f"Invalid {{field}}: use {', '.join(kinds)}"
            self.add(InvalidInput(problem, field=""), at, "type")
            return {}
        return {"type": kind, **self.struct(struct, members, (), at=at)}

    def _message(self, members: Mapping[str, Raw], at: str) -> dict[str, Any]:
        tolerated = READ_ONLY | _OF_OLD_CLIENTS | _wire_names(Message)
        for wire in members.keys() & {"namespace", "dialogueId"}:
            self.stated.append((at, wire, msgspec.json.decode(members[wire])))
        return self.struct(NewMessage, members, tolerated, at=at)

    def add(self, error: DialogueDBError, at: str, wire: str) -> None:
        """Note a problem of the field `wire` of the object at the path `at`."""
        self._note(_placed(error, wire, _join(at, wire), at))

    def _note(self, error: DialogueDBError) -> None:
        if len(self.found) < MAX_DETAILS:
            self.found.append(error)


def _whole(text: bytes) -> bytes:
    """Write a whole number without point and exponent: JSON has one kind of number."""
    try:
        number = float(text)
    except ValueError:
        return text
    return b"%d" % number if number.is_integer() else text


def _placed(error: DialogueDBError, wire: str, whole: str, at: str = "") -> DialogueDBError:
    """Give a rule's error its place: the field's name in the text, the whole path in the detail."""
    detail = error.details[0]
    place = detail.field or ""
    place = "" if place == wire else place
    text = error.message.replace("{field}", wire + place)
    return type(error)(
        f"{at}: {text}" if at else text,
        field=whole + place,
        detail_code=detail.code,
        value=detail.value,
    )


def _join(at: str, wire: str) -> str:
    return f"{at}.{wire}" if at else wire


def together(found: Sequence[DialogueDBError]) -> DialogueDBError:
    """Make one error of several: of their class if they share one, else `VALIDATION_ERROR`."""
    if len(found) == 1:
        return found[0]
    kinds = {type(error) for error in found}
    details = [detail for error in found for detail in error.details]
    message = "; ".join(error.message for error in found[:3])
    if len(found) > 3:
        message += f"; and {len(found) - 3} more"
    return (kinds.pop() if len(kinds) == 1 else ValidationFailed)(message, details=details)


def _missing(wire: str) -> MissingParameter:
    return MissingParameter(f"{wire} is required", field=wire)


def _differs(wire: str, problem: str) -> InvalidParameter:
    return InvalidParameter(f"Invalid {wire}: {problem}", field=wire)


def _unknown(wire: str, known: Iterable[str], kind: str) -> InvalidParameter:
    """Refuse a name that is not known, with the nearest one that is."""
    shown = _shown(wire)
    near = difflib.get_close_matches(wire[:64], sorted(known), n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known)) or 'none'}"
    message = f"Unknown {kind} '{shown}'; {hint}"
    return InvalidParameter(message, details=[Detail("UNKNOWN_PARAMETER", message, shown)])


def _shown(wire: str) -> str:
    """Cut a name that is not ours: an answer is no echo of megabytes."""
    return wire if len(wire) <= 64 else wire[:64] + "…"


def _place(error: msgspec.ValidationError) -> str:
    """Read the place inside the field from msgspec's text, such as ` - at `$[3]``."""
    _, found, rest = str(error).partition(" - at `$")
    return rest.rstrip("`") if found else ""


def _problem(error: msgspec.ValidationError, field: Field) -> str:
    """Say what msgspec says, for a person who does not know it."""
    if field.scalar is int:
        return field.hint or "use a whole number from 1"
    if field.choices:
        return f"use {' or '.join(field.choices)}"
    text = str(error).partition(" - at `")[0]
    if "matching regex" in text:
        return field.hint
    return text[:1].lower() + text[1:].replace("`", "")
