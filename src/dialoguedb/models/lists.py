"""What every list can be asked (contract 1.5 to 1.8)."""

from msgspec import UNSET, Struct, UnsetType

from dialoguedb.models.fields import Bound, Cursor, Limit, Namespace, Order, Prefix


class ListRequest(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """A page of a list: which part of time, in which order, from where on."""

    namespace: Namespace | UnsetType = UNSET
    limit: Limit = 50
    order: Order | UnsetType = UNSET
    next: Cursor | UnsetType = UNSET
    created: Prefix | UnsetType = UNSET
    start_date: Bound | UnsetType = UNSET
    end_date: Bound | UnsetType = UNSET
