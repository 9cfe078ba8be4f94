"""What a server says of itself (contract 5.15)."""

from typing import Annotated, Literal

from msgspec import Meta, Struct


class Health(Struct):
    """The process answers."""

    status: Literal["ok"]
    version: str


class SearchReadiness(Struct):
    """How search stands: what it cannot find by meaning yet, it finds by its words."""

    embedder: str
    lag: Annotated[int, Meta(ge=0, description="Resources whose vectors are still to come.")]


class Readiness(Struct):
    """The store answers and can be written."""

    status: Literal["ready"]
    version: str
    search: SearchReadiness
