"""Sizes and counts that a request may not pass; a server's settings can change the first four."""

import msgspec

KIB = 1024
MIB = 1024 * 1024

MAX_BODY_BYTES = 36 * MIB  # contract 1.3
MAX_STATE_BYTES = MIB  # 3.9
MAX_VALUE_BYTES = MIB  # 3.10
MAX_METADATA_BYTES = 64 * KIB  # 3.5
MAX_METADATA_KEYS = 100
MAX_METADATA_KEY_LENGTH = 128
MAX_TAGS = 10  # 3.4
MAX_TAG_LENGTH = 64
MAX_PAGE_ITEMS = 1000  # 1.5
MAX_PAGE_BYTES = 8 * MIB
FIRST_MESSAGES = 10  # 4.1: the messages that come with a dialogue


class Limits(msgspec.Struct, frozen=True):
    """Limits that a server's settings can change.

    Attributes:
        max_batch_messages: messages in one request, 1..1000 (5.9).
        max_content_bytes: bytes of a message's content without its inline images (3.7).
        max_image_bytes: decoded bytes of one inline image (3.8).
        max_image_parts: image parts in one message (3.8).
        templates: slugs of the templates of summaries that there are (9.3).
    """

    max_batch_messages: int = 25
    max_content_bytes: int = 8 * MIB
    max_image_bytes: int = 25 * MIB
    max_image_parts: int = 20
    templates: tuple[str, ...] = ()
