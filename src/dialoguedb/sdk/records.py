"""What resources hold, without colour: the wire's Struct, and the changes not saved yet."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from dialoguedb.errors import InvalidInput
from dialoguedb.models import dialogues, memories, messages
from dialoguedb.models.documents import same
from dialoguedb.models.fields import Status
from dialoguedb.sdk.calls import Null, encoded

T = TypeVar("T")
Json = dict[str, Any]


class MessageInput(TypedDict):
    """A message to store.

    `role` is `user`, `assistant`, `system` or one of your own; `content` a text, an object or a
    list of content blocks; `created` a time of your own (ISO 8601).
    """

    role: str
    content: Any
    id: NotRequired[str]
    name: NotRequired[str]
    tags: NotRequired[Sequence[str]]
    metadata: NotRequired[Mapping[str, Any]]
    created: NotRequired[str]


#: Where a message can be given: as a mapping, or as the wire's own Struct.
NewMessage = MessageInput | Mapping[str, Any] | messages.NewMessage


def read(raw: Raw) -> Any:
    """Read a stored JSON value; each time a new one, which the caller may change."""
    return msgspec.json.decode(raw)


def read_object(raw: Raw) -> Json:
    """Read a stored JSON object; each time a new one."""
    found: Json = msgspec.json.decode(raw)
    return found


def absent(value: T | UnsetType) -> T | None:
    """Give None for what is not there."""
    return None if isinstance(value, UnsetType) else value


if TYPE_CHECKING:
    fixed = property
else:

    class fixed(property):
        """A property that says why it cannot be assigned."""

        def __set__(self, record: object, value: object) -> None:
            kind, name = type(record), self.fget.__name__
            able = [one for one in ("label", "state", "tags") if _can_be_set(kind, one)]
            hint = f"; to be set are {', '.join(able)}, then save()" if able else ""
            raise AttributeError(f"{kind.__name__}.{name} cannot be changed{hint}")


def _can_be_set(kind: type, name: str) -> bool:
    return getattr(getattr(kind, name, None), "fset", None) is not None


class Tagged:
    """A resource whose tags can be changed."""

    __slots__ = ("_data", "_tags", "_tags_assigned")
    _data: messages.Message | memories.Memory | dialogues.Dialogue
    _tags: list[str] | None
    _tags_assigned: bool

    @property
    def tags(self) -> list[str]:
        """Its tags; the list may be assigned or changed in place, then `save()`."""
        if self._tags is None:
            self._tags = list(read(self._data.tags))
        return self._tags

    @tags.setter
    def tags(self, value: Sequence[str]) -> None:
        """Set the tags; see there."""
        self._tags = texts(value)
        self._tags_assigned = True

    @fixed
    def is_dirty(self) -> bool:
        """Whether there are changes that are not saved."""
        return self._tags_are_dirty()

    def _tags_are_dirty(self) -> bool:
        return self._tags is not None and (
            self._tags_assigned or self._tags != read(self._data.tags)
        )

    def _hold(self, data: Any) -> None:
        """Take what the server says; changes that are not saved are dropped."""
        self._data = data
        self._tags = None
        self._tags_assigned = False

    def to_dict(self) -> Json:
        """Give the resource as the wire has it, as plain JSON values; unsaved changes apart."""
        plain: Json = msgspec.json.decode(msgspec.json.encode(self._data))
        return plain


def texts(value: Sequence[str]) -> list[str]:
    """Take tags.

    Raises:
        InvalidInput: it is no list of texts.
    """
    if isinstance(value, Iterable) and not isinstance(value, str):
        held = list(value)
        if all(isinstance(one, str) for one in held):
            return held
    raise InvalidInput("Invalid tags: use a list of texts", field="tags")


class MessageRecord(Tagged):
    """What a message holds."""

    __slots__ = ("_content",)
    _data: messages.Message
    _content: Any

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r}, role={self.role!r})"

    @fixed
    def id(self) -> str:
        """Its id, unique in the project."""
        return self._data.id

    @fixed
    def dialogue_id(self) -> str:
        """The dialogue that it belongs to."""
        return self._data.dialogue_id

    @fixed
    def namespace(self) -> str | None:
        """The namespace of its dialogue; None is the un-named one."""
        return absent(self._data.namespace)

    @fixed
    def role(self) -> str:
        """Who speaks: user, assistant, system, or another role."""
        return self._data.role

    @fixed
    def name(self) -> str | None:
        """The speaker's name."""
        return absent(self._data.name)

    @fixed
    def content(self) -> Any:
        """What was said: a text, an object or a list of content blocks, as it was stored."""
        if self._content is UNSET:
            self._content = read(self._data.content)
        return self._content

    @fixed
    def content_length(self) -> int:
        """The content's UTF-8 bytes."""
        return self._data.content_length

    @fixed
    def preview(self) -> str | None:
        """The first 200 characters of its text; None when it has none."""
        found = absent(self._data.preview)
        return None if found is None else str(read(found))

    @fixed
    def metadata(self) -> Json:
        """What was set with it at creation; flat."""
        return read_object(self._data.metadata)

    @fixed
    def sequence(self) -> int:
        """Its insertion number in the dialogue, from 1."""
        return self._data.sequence

    @fixed
    def created(self) -> str:
        """When it was said; ISO 8601, UTC."""
        return self._data.created

    @fixed
    def modified(self) -> str:
        """When its tags were changed last; ISO 8601, UTC."""
        return self._data.modified


class MemoryRecord(Tagged):
    """What a memory holds."""

    __slots__ = ("_value",)
    _data: memories.Memory
    _value: Any

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r})"

    @fixed
    def id(self) -> str:
        """Its id, unique in the project."""
        return self._data.id

    @fixed
    def namespace(self) -> str | None:
        """Its namespace; None is the un-named one."""
        return absent(self._data.namespace)

    @fixed
    def label(self) -> str | None:
        """A text for people."""
        return absent(self._data.label)

    @fixed
    def description(self) -> str | None:
        """What it is about."""
        return absent(self._data.description)

    @fixed
    def value(self) -> Any:
        """What is remembered: any JSON value but null."""
        if self._value is UNSET:
            self._value = read(self._data.value)
        return self._value

    @fixed
    def metadata(self) -> Json:
        """What was set with it at creation; flat."""
        return read_object(self._data.metadata)

    @fixed
    def created(self) -> str:
        """When it was stored; ISO 8601, UTC."""
        return self._data.created

    @fixed
    def modified(self) -> str:
        """When its tags were changed last; ISO 8601, UTC."""
        return self._data.modified


class DialogueRecord(Tagged):
    """What a dialogue holds, and what has been changed of it and is not saved."""

    __slots__ = ("_label", "_loaded", "_next", "_patch", "_state")
    _data: dialogues.Dialogue
    _label: str | UnsetType | None
    #: The state as it is here; None as long as nobody has looked at it.
    _state: Json | None
    #: The keys of it that were set here, whatever their values were.
    _patch: frozenset[str]
    #: The cursor behind the messages that are loaded, and whether any have been.
    _next: str | None
    _loaded: bool

    def _hold(self, data: dialogues.Dialogue) -> None:
        """Take what the server says; changes that are not saved are dropped."""
        super()._hold(data)
        self._label = UNSET
        self._state = None
        self._patch = frozenset()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r}, status={self.status!r})"

    @fixed
    def id(self) -> str:
        """Its id, unique in the project."""
        return self._data.id

    @fixed
    def project_id(self) -> str:
        """The project that it belongs to."""
        return self._data.project_id

    @fixed
    def request_id(self) -> str:
        """The request that created it, a UUID."""
        return self._data.request_id

    @fixed
    def status(self) -> Status:
        """Its status: only an active dialogue takes new messages."""
        return self._data.status

    @fixed
    def namespace(self) -> str | None:
        """Its namespace; None is the un-named one."""
        return absent(self._data.namespace)

    @fixed
    def thread_of(self) -> str | None:
        """Its parent dialogue, if it is a thread."""
        return absent(self._data.thread_of)

    @fixed
    def total_messages(self) -> int:
        """How many messages are stored in it."""
        return self._data.total_messages

    @fixed
    def thread_count(self) -> int:
        """How many dialogues are threads of it."""
        return self._data.thread_count

    @fixed
    def last_message_created(self) -> str | None:
        """The time of its latest message; ISO 8601, UTC."""
        return absent(self._data.last_message_created)

    @fixed
    def metadata(self) -> Json:
        """What was set with it at creation; flat."""
        return read_object(self._data.metadata)

    @fixed
    def version(self) -> int:
        """Its version: it grows with each change of label, tags, state or status."""
        return self._data.version

    @fixed
    def created(self) -> str:
        """When it was made; ISO 8601, UTC."""
        return self._data.created

    @fixed
    def modified(self) -> str:
        """When it was changed last; ISO 8601, UTC."""
        return self._data.modified

    @fixed
    def ended_at(self) -> str | None:
        """When it was ended; ISO 8601, UTC."""
        return absent(self._data.ended_at)

    @fixed
    def archived_at(self) -> str | None:
        """When it was archived; ISO 8601, UTC."""
        return absent(self._data.archived_at)

    @fixed
    def has_more_messages(self) -> bool:
        """Whether there are messages after those loaded, for `load_messages(next=True)`."""
        return self._next is not None or (not self._loaded and self.total_messages > 0)

    @fixed
    def is_dirty(self) -> bool:
        """Whether label, state or tags have changes that are not saved."""
        return self._label is not UNSET or self._tags_are_dirty() or self._state_is_dirty()

    @property
    def label(self) -> str | None:
        """A text for people; None for none. To be assigned, then `save()`."""
        return absent(self._data.label) if isinstance(self._label, UnsetType) else self._label

    @label.setter
    def label(self, value: str | None) -> None:
        """Set the label; see there."""
        if value is not None and not isinstance(value, str):
            raise InvalidInput("Invalid label: use a text or None", field="label")
        self._label = value

    @property
    def state(self) -> Json:
        """Its state; it may be assigned, or changed in place, then `save()`."""
        if self._state is None:
            self._state = read_object(self._data.state)
        return self._state

    @state.setter
    def state(self, value: Mapping[str, Any]) -> None:
        """Replace the state; see there."""
        if not isinstance(value, Mapping):
            raise InvalidInput("Invalid state: use a dict", field="state")
        self._state = dict(value)
        self._patch = frozenset(self._state)

    def _merge(self, value: Mapping[str, Any]) -> None:
        if not isinstance(value, Mapping):
            raise InvalidInput("Invalid state: use a dict", field="state")
        self.state.update(value)
        self._patch |= value.keys()

    def _state_is_dirty(self) -> bool:
        if self._state is None:
            return False
        plain = read(Raw(encoded(self._state, "state")))
        return bool(self._patch) or not same(plain, read(self._data.state))

    def _changes(self) -> Json:
        """Give what has been changed and is not saved, by wire name."""
        changed: Json = {}
        if self._label is not UNSET:
            changed["label"] = Null if self._label is None else self._label
        if self._tags_are_dirty():
            changed["tags"] = self._tags
        if self._state_is_dirty():
            changed["state"] = self._state
        return changed

    def _put_on(self, newer: dialogues.Dialogue) -> None:
        """Put the unsaved changes on a newer version: only what was changed here, key by key."""
        before = read(self._data.state)
        label, tags, assigned = self._label, self._tags, self._tags_assigned
        mine, patch = self._state, self._patch
        had_tags = self._tags_are_dirty()
        self._hold(newer)
        self._label = label
        if had_tags:
            self._tags, self._tags_assigned = tags, assigned
        if mine is None:
            return
        theirs = self.state
        for key in before.keys() - mine.keys():
            theirs.pop(key, None)
        for key, value in mine.items():
            if key in patch or key not in before or not same(value, before[key]):
                theirs[key] = value
        self._patch = patch


def fields_of(message: NewMessage) -> Any:
    """Take a message to store.

    Raises:
        InvalidInput: it is no mapping.
    """
    if isinstance(message, Mapping | Struct):
        return message
    raise InvalidInput(
        f"Invalid messages: a message is a dict with role and content, not a "
        f"{type(message).__name__}",
        field="messages",
    )
