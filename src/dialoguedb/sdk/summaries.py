"""What a summary holds, without colour."""

import msgspec

from dialoguedb.models import summaries
from dialoguedb.sdk.records import Json, absent, fixed, read, read_object


class SummaryRecord:
    """What a summary holds. Counts are None until it is completed."""

    __slots__ = ("_data",)
    _data: summaries.Summary

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r}, status={self.status!r})"

    @fixed
    def id(self) -> str:
        """Its id, unique in the project."""
        return self._data.id

    @fixed
    def dialogue_id(self) -> str:
        """The dialogue whose messages it is of."""
        return self._data.dialogue_id

    @fixed
    def project_id(self) -> str:
        """The project that it belongs to."""
        return self._data.project_id

    @fixed
    def namespace(self) -> str | None:
        """The namespace of its dialogue; None is the un-named one."""
        return absent(self._data.namespace)

    @fixed
    def status(self) -> summaries.SummaryStatus:
        """`processing`, then for good `completed` or `failed`."""
        return self._data.status

    @fixed
    def template(self) -> str | None:
        """The template that was asked for."""
        return absent(self._data.template)

    @fixed
    def error(self) -> str | None:
        """Why it has failed, and what to do."""
        return absent(self._data.error)

    @fixed
    def provider(self) -> str | None:
        """Whose model wrote it: `builtin`, or that of the settings."""
        return absent(self._data.provider)

    @fixed
    def model(self) -> str | None:
        """Which model wrote it."""
        return absent(self._data.model)

    @fixed
    def content(self) -> str | None:
        """The summary; None until it is completed, and where there was nothing to summarise."""
        return absent(self._data.content)

    @fixed
    def content_token_count(self) -> int | None:
        """The tokens of the content."""
        return absent(self._data.content_token_count)

    @fixed
    def from_created(self) -> str | None:
        """The time of the first message covered; ISO 8601, UTC."""
        return absent(self._data.from_created)

    @fixed
    def to_created(self) -> str | None:
        """The time of the last message covered; ISO 8601, UTC."""
        return absent(self._data.to_created)

    @fixed
    def message_count(self) -> int | None:
        """The messages in the range."""
        return absent(self._data.message_count)

    @fixed
    def summarized_count(self) -> int | None:
        """Those of them that were used."""
        return absent(self._data.summarized_count)

    @fixed
    def skipped_count(self) -> int | None:
        """Those of them in which nothing is said."""
        return absent(self._data.skipped_count)

    @fixed
    def total_tokens(self) -> int | None:
        """The tokens of the messages, estimated."""
        return absent(self._data.total_tokens)

    @fixed
    def chunks(self) -> int | None:
        """The pieces that the text was cut into."""
        return absent(self._data.chunks)

    @fixed
    def llm_input_tokens(self) -> int | None:
        """The tokens that a language model was sent, as it counts."""
        return absent(self._data.llm_input_tokens)

    @fixed
    def llm_output_tokens(self) -> int | None:
        """The tokens that it answered."""
        return absent(self._data.llm_output_tokens)

    @fixed
    def llm_total_tokens(self) -> int | None:
        """Both together."""
        return absent(self._data.llm_total_tokens)

    @fixed
    def llm_call_count(self) -> int | None:
        """How often it was asked."""
        return absent(self._data.llm_call_count)

    @fixed
    def based_on(self) -> str | None:
        """The summary that it builds on: it begins with that one's content."""
        return absent(self._data.based_on)

    @fixed
    def stale(self) -> bool:
        """Whether a message has been deleted from its range since, or has entered it."""
        return self._data.stale

    @fixed
    def metadata(self) -> Json:
        """What was set with it; flat."""
        found = absent(self._data.metadata)
        return {} if found is None else read_object(found)

    @fixed
    def tags(self) -> list[str]:
        """Its tags."""
        found = absent(self._data.tags)
        return [] if found is None else list(read(found))

    @fixed
    def created(self) -> str:
        """When it was asked for; ISO 8601, UTC."""
        return self._data.created

    @fixed
    def modified(self) -> str:
        """When it was made, or became stale; ISO 8601, UTC."""
        return self._data.modified

    def to_dict(self) -> Json:
        """Give the resource as the wire has it, as plain JSON values."""
        plain: Json = msgspec.json.decode(msgspec.json.encode(self._data))
        return plain
