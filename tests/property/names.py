"""The names and values of the state machine: legal but confusable ones, and ones to be refused."""

from typing import Any, NamedTuple

import hypothesis.strategies as st

# ruff: noqa: RUF001 (look-alike letters are the point)

# ---- legal, but made to be confused with each other or with syntax -------------------------------

IDS = ["a", "A", "ab", "a_b", "aXb", "a'b", "_", "*", ";--", "a:b", "messages", "end", "~", "..."]
IDS += ["a=b&c+d", "$1", "{id}", "`|^", "null", "-1", "i" * 64]
NAMESPACES = ["a", "A", "ab", "a_b", "aXb", "a-b", "0", "n" * 64]
TEXTS = ["%", "_", "'", '"', "a", "A", "а", "é", "e\u0301", "a%", "a_", "ab", "\u200b", "\u202e"]
TEXTS += ["😀", "a\nb", " ", "\x01", "\x7f", "\\", "\u2028", "\U0010ffff", "\ufeff", "x" * 64]
TEXTS += ["' OR 1=1 --", "null", ":space", "$in"]
DATES = ["2025-01-15", "2025-01-15T10:00:00Z", "2025-01-15T12:00:00.000+02:00", "2031-06-01"]
DATES += ["2025-01-31T23:59:59.9999Z", "2025-02-01", "2024-12-31T23:30:00-01:00"]
BOUNDS = ["2024", "2025-01", "2025-01-15", "2025-01-31T23:59:59.999Z", "2031", "2025-02-28"]
BOUNDS += ["2025-01-15T12:00:00.000+02:00", "2026-12"]
PREFIXES = ["2025", "2025-01", "2025-01-15", "2025-01-15T10", "2025-01-15T10:00:00.000Z"]

ANY_TEXT = st.sampled_from(TEXTS)
SCALARS = ANY_TEXT | st.integers(-(2**53), 2**53) | st.booleans() | st.sampled_from([0.5, -2.25])
TAGS = st.lists(ANY_TEXT, max_size=3)
METADATA = st.dictionaries(ANY_TEXT, SCALARS | st.lists(ANY_TEXT, max_size=2), max_size=3)
VALUES = st.recursive(
    SCALARS | st.sampled_from([None, "\x00", 2**64 + 1, 1.0]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(ANY_TEXT, inner, max_size=2),
    max_leaves=4,
)
STATE = st.dictionaries(st.sampled_from(["a", "A", "a\x00", "namespace", "%"]), VALUES, max_size=3)
BLOCKS = st.fixed_dictionaries({"type": st.just("text"), "text": ANY_TEXT}) | STATE
CONTENT = ANY_TEXT | st.sampled_from(["a\x00b", "é" * 201]) | STATE
CONTENT |= st.lists(BLOCKS, min_size=1, max_size=3)
MESSAGE = st.fixed_dictionaries(
    {"role": ANY_TEXT, "content": CONTENT},
    optional={
        "name": ANY_TEXT,
        "tags": TAGS,
        "metadata": METADATA,
        "created": st.sampled_from(DATES),
    },
)
DIALOGUE = st.fixed_dictionaries(
    {},
    optional={
        "label": ANY_TEXT,
        "tags": TAGS,
        "metadata": METADATA,
        "state": STATE,
        "created": st.sampled_from(DATES),
    },
)
CHANGES = st.fixed_dictionaries(
    {}, optional={"label": ANY_TEXT | st.sampled_from(["", None]), "tags": TAGS, "state": STATE}
)
MEMORY = st.fixed_dictionaries(
    {"value": VALUES.filter(lambda value: value is not None)},
    optional={"label": ANY_TEXT, "description": ANY_TEXT, "tags": TAGS, "metadata": METADATA},
)

# ---- to be refused -------------------------------------------------------------------------------

BAD_IDS = ["%", "a%", "a b", "a/b", "a?", "#", '"', "a\\b", "<", "é", "а", "a\x00", "a\n", "\x7f"]
BAD_IDS += [".", "..", "", "i" * 65, "😀", "\u200b", "ａ"]
BAD_NAMESPACES = ["_a", "a_", "-", "a.b", "a:b", "a/b", "%", "а", "ａ", "a\x00", "a\n", " a", "a b"]
BAD_NAMESPACES += ["n" * 65, "'", "é"]
BAD_TAGS: list[object] = [["\x00"], [""], ["x" * 65], ["x"] * 11, "x", [1], {"a": "b"}]
BAD_METADATA: list[object] = [{"k": None}, {"k": {"a": 1}}, {"k": [1]}, {"k\x00": 1}, {"k": "\x00"}]
BAD_METADATA += [{"": 1}, {"k" * 129: 1}, [], "x", {str(n): n for n in range(101)}]
BAD_DATES: list[object] = [
    "yesterday",
    "2025-13-01",
    "2025-02-30",
    "20250101T",
    5,
    "2025-01-01T25Z",
]
BAD_LIMITS = ["0", "-1", "1.5", "abc", "1e2", "%"]
BAD_BOUNDS = ["yesterday", "2025-13", "%", "2025-02-30", "2025-01-01T99"]

MESSAGE_BODY = {"role": "user", "content": "x"}


class Refused(NamedTuple):
    """A request that must be refused: what is sent, and the code and field of the answer."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    codes: tuple[str, ...]
    field: str


def _bodies(base: dict[str, Any]) -> list[tuple[dict[str, Any], tuple[str, ...], str]]:
    """Return bodies with one bad field that dialogues, messages and memories share."""
    cases = [(base | {"id": bad}, ("INVALID_PARAMETER",), "id") for bad in BAD_IDS]
    cases += [(base | {"tags": bad}, ("INVALID_INPUT",), "tags") for bad in BAD_TAGS]
    cases += [(base | {"metadata": bad}, ("INVALID_INPUT",), "metadata") for bad in BAD_METADATA]
    cases.append((base | {"metdata": {}}, ("INVALID_PARAMETER",), "metdata"))
    return cases


def _texts(
    base: dict[str, Any], **limits: int
) -> list[tuple[dict[str, Any], tuple[str, ...], str]]:
    """Return bodies with one bad text field each: NUL, too long, not a string."""
    return [
        (base | {field: bad}, ("INVALID_INPUT",), field)
        for field, limit in limits.items()
        for bad in ("\x00", "a\x00b", "x" * (limit + 1), 5, ["x"])
    ]


def _messages() -> list[tuple[dict[str, Any], tuple[str, ...], str]]:
    """Return message inputs with one bad field each (3.4 to 3.7)."""
    base: dict[str, Any] = MESSAGE_BODY
    cases = _bodies(base) + _texts(base, role=64, name=256)
    cases += [(base | {"created": bad}, ("INVALID_PARAMETER",), "created") for bad in BAD_DATES]
    missing: list[object] = [None, "", []]
    cases += [(base | {"content": bad}, ("MISSING_PARAMETER",), "content") for bad in missing]
    wrong: list[object] = [5, True, [1], ["x"], [[]], [{}, 1]]
    cases += [(base | {"content": bad}, ("INVALID_INPUT",), "content") for bad in wrong]
    cases += [({"content": "x"}, ("MISSING_PARAMETER",), "role")]
    cases += [({"role": "user"}, ("MISSING_PARAMETER",), "content")]
    cases += [(base | {"role": ""}, ("MISSING_PARAMETER", "INVALID_INPUT"), "role")]
    image = {"type": "image", "source": {"type": "base64", "data": "DATA:image/png;base64,AA=="}}
    cases += [(base | {"content": [image]}, ("INVALID_IMAGE_CONTENT",), "content")]
    return cases


def refused_requests(dialogue_id: str) -> list[Refused]:
    """Return every bad value in every place; `dialogue_id` is an active dialogue."""
    into = {"dialogueId": dialogue_id}
    requests = []
    for body, codes, field in _messages():
        deep = f"messages[1].{field}"
        requests.append(Refused("POST", "/message", into, body, codes, field))
        requests.append(Refused("POST", "/messages", into, [MESSAGE_BODY, body], codes, deep))
        whole = {"messages": [MESSAGE_BODY, body]}
        requests.append(Refused("POST", "/dialogue", {}, whole, codes, deep))
    dialogues = _bodies({}) + _texts({}, label=1024)
    dialogues += [({"created": bad}, ("INVALID_PARAMETER",), "created") for bad in BAD_DATES]
    dialogues += [({"state": bad}, ("INVALID_INPUT",), "state") for bad in ([], "x", 1)]
    memories = _bodies({"value": 1}) + _texts({"value": 1}, label=1024, description=8192)
    memories += [
        ({}, ("MISSING_PARAMETER",), "value"),
        ({"value": None}, ("INVALID_INPUT",), "value"),
    ]
    for where, cases in (("/dialogue", dialogues), ("/memory", memories)):
        requests += [Refused("POST", where, {}, body, codes, field) for body, codes, field in cases]
    return requests + _refused_batches(into) + _refused_names(dialogue_id)


def _refused_batches(into: dict[str, str]) -> list[Refused]:
    """Return batches of a wrong size, and `message` beside `messages` (5.1, 5.9)."""
    many, both = [MESSAGE_BODY] * 26, {"message": MESSAGE_BODY, "messages": [MESSAGE_BODY]}
    return [
        Refused("POST", "/messages", into, many, ("INVALID_INPUT",), "messages"),
        Refused("POST", "/messages", into, [], ("MISSING_PARAMETER",), "messages"),
        Refused("POST", "/dialogue", {}, {"messages": many}, ("INVALID_INPUT",), "messages"),
        Refused("POST", "/dialogue", {}, both, ("INVALID_INPUT",), "message"),
        Refused("POST", "/message", {}, MESSAGE_BODY, ("MISSING_PARAMETER",), "dialogueId"),
    ]


def _refused_names(dialogue_id: str) -> list[Refused]:
    """Return bad namespaces on every route, and bad list parameters (1.5, 1.7, 1.8, 3.3)."""
    bad, requests = ("INVALID_PARAMETER",), []
    one = f"/dialogue/{dialogue_id}"
    routes: list[tuple[str, str, Any]] = [("GET", "/dialogue", None), ("GET", "/memory", None)]
    routes += [
        ("GET", one, None),
        ("PUT", one, {}),
        ("DELETE", one, None),
        ("PUT", f"{one}/state", {}),
    ]
    routes += [
        ("POST", f"{one}/end", {}),
        ("GET", f"{one}/messages", None),
        ("GET", "/message/a", None),
    ]
    routes += [("POST", f"{one}/messages", MESSAGE_BODY), ("PUT", "/message/a", {"tags": []})]
    routes += [("GET", "/memory/a", None), ("PUT", "/memory/a", {"tags": []})]
    routes += [("DELETE", "/memory/a", None), ("DELETE", "/message/a", None)]
    for name in BAD_NAMESPACES:
        query = {"namespace": name}
        requests += [Refused(*route[:2], query, route[2], bad, "namespace") for route in routes]
        bodies = [("/dialogue", {"namespace": name}), ("/memory", {"value": 1, "namespace": name})]
        bodies.append((f"{one}/message", MESSAGE_BODY | {"namespace": name}))
        requests += [Refused("POST", where, {}, body, bad, "namespace") for where, body in bodies]
    wrong = [("limit", value) for value in BAD_LIMITS] + [("order", "ASC"), ("order", "%")]
    wrong += [
        (field, value) for field in ("created", "startDate", "endDate") for value in BAD_BOUNDS
    ]
    wrong += [("next", "%"), ("next", "eyJ2IjoxfQ"), ("next", "\x00"), ("Limit", "1"), ("tag", "a")]
    for where in ("/dialogue", "/memory", f"{one}/messages"):
        requests += [Refused("GET", where, {key: value}, None, bad, key) for key, value in wrong]
    return requests
