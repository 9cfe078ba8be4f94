"""Tags and metadata as words of the index, so that filters are looked up like words."""

from typing import Any

import msgspec

#: What stands before a tag, and before a word of a speaker's name. Metadata keys begin with "m".
TAGS, SPEAKER = "t", "n"
#: Between key and value; in no tag or metadata key (contract 3.4, 3.5).
_END = "\0"
Scalar = str | int | float | bool


def key_of(name: str) -> str:
    """Name a metadata key among the facets."""
    return "m" + name


def facet(key: str, value: Scalar) -> str:
    """Write one value of a key; 1 and 1.0 are one value, 1, "1" and true are three."""
    if isinstance(value, bool):
        return f"{key}{_END}b{int(value)}"
    if isinstance(value, str):
        return f"{key}{_END}s{value}"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"{key}{_END}n{value!r}"


def nothing(key: str) -> str:
    """Write that a key is there with an empty list; that is no value, but another than none."""
    return f"{key}{_END}e"


def parts(text: str) -> tuple[str, Scalar | None]:
    """Read what `facet` or `nothing` wrote: the key and the value, None for an empty list."""
    key, _, coded = text.partition(_END)
    mark, value = coded[:1], coded[1:]
    if mark == "s":
        return key, value
    if mark == "b":
        return key, value == "1"
    if mark == "e":
        return key, None
    return key, float(value) if not value.lstrip("-").isdigit() else int(value)


def of_resource(tags: str, metadata: str) -> list[str]:
    """List the facets of a resource.

    Args:
        tags: JSON array of strings.
        metadata: JSON object; of its values, those that a filter can hold against (contract 8.3):
            strings, numbers, booleans and arrays of strings.
    """
    found = [] if tags == "[]" else [facet(TAGS, tag) for tag in msgspec.json.decode(tags)]
    if metadata != "{}":
        for name, value in msgspec.json.decode(metadata).items():
            key = key_of(name)
            found += [facet(key, one) for one in _values(value)] or [nothing(key)]
    return list(dict.fromkeys(found))


def _values(value: Any) -> list[Scalar]:
    if isinstance(value, str | int | float):
        return [value]
    if isinstance(value, list):
        return [one for one in value if isinstance(one, str)]
    return []
