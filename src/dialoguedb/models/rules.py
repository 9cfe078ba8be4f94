"""What a field's value must be beyond its JSON type (contract 3); each rule names its problems.

A rule takes the decoded value and the limits, and returns errors whose details name the place
inside the field (`""` for the field itself, `[3]`, `.key`); no error means that the value is good.
`{field}` in a message stands for the field's name, which only the caller knows.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from dialoguedb.errors import (
    BadRequest,
    DialogueDBError,
    InvalidInput,
    InvalidParameter,
    StateTooLarge,
    ValueTooLarge,
)
from dialoguedb.models import content, documents, times
from dialoguedb.models.limits import (
    MAX_METADATA_BYTES,
    MAX_METADATA_KEY_LENGTH,
    MAX_METADATA_KEYS,
    MAX_STATE_BYTES,
    MAX_TAG_LENGTH,
    MAX_TAGS,
    MAX_VALUE_BYTES,
    Limits,
)

Rule = Callable[[Any, Limits], Sequence[DialogueDBError]]


def text(value: str, limits: Limits) -> Sequence[DialogueDBError]:
    """Refuse U+0000, which names and labels may not hold (design, section 2)."""
    return [_invalid("", "must not hold the character U+0000")] if "\0" in value else ()


def tags(value: list[str], limits: Limits) -> Sequence[DialogueDBError]:
    """Check tags by 3.4: at most 10, each 1..64 characters."""
    found: list[DialogueDBError] = []
    if len(value) > MAX_TAGS:
        found.append(_invalid("", f"at most {MAX_TAGS} tags are allowed", "TOO_MANY"))
    for index, tag in enumerate(value[: 2 * MAX_TAGS]):
        if not tag:
            found.append(_invalid(f"[{index}]", "must not be empty"))
        elif len(tag) > MAX_TAG_LENGTH:
            problem = f"at most {MAX_TAG_LENGTH} characters are allowed"
            found.append(_invalid(f"[{index}]", problem, "TOO_LONG"))
        elif "\0" in tag:
            found.append(_invalid(f"[{index}]", "must not hold the character U+0000"))
    return found


def metadata(value: msgspec.Raw, limits: Limits) -> Sequence[DialogueDBError]:
    """Check metadata by 3.5: flat, scalars and arrays of strings, at most 100 keys and 64 KiB."""
    if bytes(value) == b"{}":
        return ()
    if not isinstance(documents.value_of(value), dict):
        return [_invalid("", "must be an object")]
    members = documents.pairs_of(value)  # with every value of a key that is doubled
    found: list[DialogueDBError] = []
    if len(members) > MAX_METADATA_KEYS:
        found.append(_invalid("", f"at most {MAX_METADATA_KEYS} keys are allowed", "TOO_MANY"))
    for key, member in members[: MAX_METADATA_KEYS + 1]:
        place = f".{key[:MAX_METADATA_KEY_LENGTH]}"
        if not 1 <= len(key) <= MAX_METADATA_KEY_LENGTH:
            problem = f"a key must have 1 to {MAX_METADATA_KEY_LENGTH} characters"
            found.append(_invalid(place, problem, "TOO_LONG"))
        if wrong := _metadata_problem(key, member):
            found.append(_invalid(place, wrong))
    size = len(documents.compact(value).encode())
    if size > MAX_METADATA_BYTES:
        problem = f"{size} bytes, at most {MAX_METADATA_BYTES} are allowed"
        found.append(_invalid("", problem, "TOO_LONG"))
    return found


def _holds_nul(key: str, member: object) -> bool:
    texts = [key, *(member if isinstance(member, list) else [member])]
    return any(isinstance(item, str) and "\0" in item for item in texts)


def _metadata_problem(key: str, member: object) -> str | None:
    if isinstance(member, list):
        if not all(isinstance(item, str) for item in member):
            return "an array may hold strings only"
    elif not isinstance(member, str | int | float | bool):
        return "must be a string, a number, a boolean or an array of strings"
    return "must not hold the character U+0000" if _holds_nul(key, member) else None


def message_content(value: msgspec.Raw, limits: Limits) -> Sequence[DialogueDBError]:
    """Check content by 3.7 and 3.8."""
    try:
        content.check(value, limits)
    except DialogueDBError as error:
        if not error.details:  # not JSON at all: no matter of this field
            raise
        return [_relocated(error)]
    return ()


def _relocated(error: DialogueDBError) -> DialogueDBError:
    """Leave the field's own name to the caller, who knows its whole path."""
    detail = error.details[0]
    return type(error)(error.message, field="", detail_code=detail.code, value=detail.value)


def state(value: msgspec.Raw, limits: Limits) -> Sequence[DialogueDBError]:
    """Check state by 3.9: an object of at most 1 MiB."""
    if not isinstance(documents.value_of(value), dict):
        return [_invalid("", "must be an object")]
    return _within(value, MAX_STATE_BYTES, StateTooLarge)


def memory_value(value: msgspec.Raw, limits: Limits) -> Sequence[DialogueDBError]:
    """Check a memory's value by 3.10: anything but null, at most 1 MiB."""
    if documents.value_of(value) is None:
        return [_invalid("", "must not be null")]
    return _within(value, MAX_VALUE_BYTES, ValueTooLarge)


def _within(
    value: msgspec.Raw, most: int, error: type[DialogueDBError]
) -> Sequence[DialogueDBError]:
    size = len(bytes(value))
    if size > most:
        size = len(documents.compact(value).encode())
    return (
        [error(f"Invalid {{field}}: {size} bytes, at most {most} are allowed", field="")]
        if size > most
        else ()
    )


def instant(value: str, limits: Limits) -> Sequence[DialogueDBError]:
    """Check a custom time of creation by 3.2."""
    try:
        times.parse_instant(value)
    except ValueError as error:
        return [InvalidParameter(f"Invalid {{field}}: {error}", field="")]
    return ()


def period(value: str, limits: Limits) -> Sequence[DialogueDBError]:
    """Check a bound of a date filter by 1.8."""
    try:
        times.parse_period(value)
    except ValueError as error:
        return [InvalidParameter(f"Invalid {{field}}: {error}", field="")]
    return ()


def prefix(value: str, limits: Limits) -> Sequence[DialogueDBError]:
    """Check a date prefix by 1.8."""
    try:
        times.parse_prefix(value)
    except ValueError as error:
        return [InvalidParameter(f"Invalid {{field}}: {error}", field="")]
    return ()


def template(value: str, limits: Limits) -> Sequence[DialogueDBError]:
    """Check that there is such a template of summaries (9.1)."""
    if value in limits.templates:
        return ()
    known = ", ".join(limits.templates) or "none is set"
    problem = f"there is no such template; those of the settings (summary_templates): {known}"
    return [InvalidParameter(f"Invalid {{field}}: {problem}", field="")]


def batch(value: list[Any], limits: Limits) -> Sequence[DialogueDBError]:
    """Check the number of messages in one request by 5.9."""
    if len(value) > limits.max_batch_messages:
        problem = f"{len(value)} messages, at most {limits.max_batch_messages} are allowed"
        return [_invalid("", problem, "TOO_MANY")]
    return ()


def _invalid(place: str, problem: str, detail_code: str = "INVALID") -> BadRequest:
    return InvalidInput(f"Invalid {{field}}: {problem}", field=place, detail_code=detail_code)
