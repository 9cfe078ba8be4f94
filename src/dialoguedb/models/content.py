"""Message content: any shape goes in and comes out unchanged (contract 3.7, 3.8)."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from dialoguedb.errors import (
    ContentTooLarge,
    ImageTooLarge,
    InvalidImageContent,
    InvalidInput,
    MissingParameter,
    TooManyImages,
)
from dialoguedb.models import documents
from dialoguedb.models.limits import Limits

PREVIEW_CHARACTERS = 200
_IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_DATA_URI = re.compile(r"data:(?P<head>[^,]*),(?P<payload>.*)", re.IGNORECASE | re.DOTALL)
_NOT_BASE64_DIGITS = re.compile(r"[\s=]+")


class Content(NamedTuple):
    """Checked content.

    Attributes:
        text: its compact JSON.
        length: UTF-8 bytes of the string, or of the compact JSON of an object or array.
        preview: the first 200 characters of its text; None when it has none.
    """

    text: str
    length: int
    preview: str | None


class Image(NamedTuple):
    """A recognised image part: its inline base64 payload, None for one that has an address."""

    payload: str | None


def check(raw: msgspec.Raw, limits: Limits) -> None:
    """Check content.

    Raises:
        MissingParameter: it is null or empty.
        InvalidInput, InvalidImageContent, TooManyImages, ContentTooLarge, ImageTooLarge: as 3.7
            and 3.8 say.
        InvalidJson: see `documents.value_of`.
    """
    value = documents.value_of(raw)
    if value is None or value == "" or value == []:
        raise MissingParameter("content is required", field="content")
    if isinstance(value, str):
        _check_size(_bytes_in(value), limits)
        return
    if not isinstance(value, dict) and not (
        isinstance(value, list) and all(isinstance(part, dict) for part in value)
    ):
        raise InvalidInput(
            "Invalid content: must be a non-empty string, an object or an array of objects",
            field="content",
        )
    inline = _check_images(value if isinstance(value, list) else [value], limits)
    if len(bytes(raw)) - inline > limits.max_content_bytes:  # else its compact form is not either
        _check_size(len(documents.compact(raw).encode()) - inline, limits)


def measure(raw: msgspec.Raw) -> Content:
    """Make checked content compact, and measure it."""
    text = documents.compact(raw)
    value = documents.plain(text)
    if isinstance(value, str):
        return Content(text, _bytes_in(value), value[:PREVIEW_CHARACTERS])
    return Content(text, _bytes_in(text), _preview(value if isinstance(value, list) else [value]))


def _bytes_in(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.max_content_bytes:
        raise ContentTooLarge(
            f"Invalid content: {size} bytes without its inline images, at most "
            f"{limits.max_content_bytes} are allowed",
            field="content",
        )


def _check_images(parts: list[dict[str, Any]], limits: Limits) -> int:
    """Check the image parts and give the bytes of their inline payloads."""
    found = list(images_in(parts))
    if len(found) > limits.max_image_parts:
        raise TooManyImages(
            f"Invalid content: {len(found)} image parts, at most {limits.max_image_parts} are "
            "allowed in one message",
            field="content",
        )
    payload_bytes = 0
    for image in found:
        if image.payload is None:
            continue
        payload_bytes += len(documents.text_of(image.payload).encode()) - 2  # without quotes
        size = len(_NOT_BASE64_DIGITS.sub("", image.payload)) * 3 // 4
        if size > limits.max_image_bytes:
            raise ImageTooLarge(
                f"Invalid content: an image of {size} bytes, at most {limits.max_image_bytes} "
                "are allowed",
                field="content",
            )
    return payload_bytes


def images_in(parts: list[dict[str, Any]]) -> Iterator[Image]:
    """Find the image parts among content parts (3.8).

    Raises:
        InvalidImageContent: the inline data of one starts with `data:`.
    """
    for part in parts:
        image: Image | None = None
        if part.get("type") == "image":
            image = _source_image(part.get("source"))
        elif part.get("type") == "image_url":
            image = _url_image(part.get("image_url"))
        if image:
            yield image


def _source_image(source: object) -> Image | None:
    if not isinstance(source, dict):
        return None
    data = source.get("data")
    if isinstance(data, str) and data[:5].lower() == "data:":
        raise InvalidImageContent(
            "image source.data must be raw base64, without a data: prefix", field="content"
        )
    payload = data if isinstance(data, str) else None
    if payload is None and not isinstance(source.get("url"), str):
        return None
    return Image(payload) if _is_image_type(source.get("media_type")) else None


def _url_image(holder: object) -> Image | None:
    url = holder.get("url") if isinstance(holder, dict) else None
    if not isinstance(url, str):
        return None
    inline = _DATA_URI.fullmatch(url)
    if not inline:
        return Image(None)
    media_type, *parameters = inline["head"].split(";")
    if not any(parameter.strip().lower() == "base64" for parameter in parameters):
        return Image(None)
    return Image(inline["payload"]) if _is_image_type(media_type.strip() or None) else None


def _is_image_type(media_type: object) -> bool:
    """Tell whether a media type is that of an image; one that is left out may be."""
    if media_type is None:
        return True
    return isinstance(media_type, str) and media_type.lower() in _IMAGE_TYPES


def _preview(parts: list[dict[str, Any]]) -> str | None:
    texts = [text for part in parts if isinstance(text := part.get("text"), str) and text]
    return " ".join(texts)[:PREVIEW_CHARACTERS] or None
