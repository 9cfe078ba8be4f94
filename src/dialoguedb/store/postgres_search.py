"""Searching on PostgreSQL: the database finds what may be relevant, and the same formula ranks it.

Where there are few texts all are ranked, as in memory, and the answers of both engines are the
same. Among many, those that promise most by their own words, those that are nearest in meaning, and
what stands beside them.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dialoguedb.search import facets, ranking
from dialoguedb.search.entries import DIALOGUE, MESSAGE
from dialoguedb.search.results import Dialogues, Hit, Ranked, best_dialogues
from dialoguedb.search.shelf import Place
from dialoguedb.store.postgres_filters import (
    ALL,
    Filter,
    both,
    filter_of,
    image_only,
    of_messages,
    with_filter,
)
from dialoguedb.store.postgres_index import EntryIndex, Generation, active
from dialoguedb.store.postgres_session import Binary, Session
from dialoguedb.store.postgres_tokens import (
    array_of,
    halves_of,
    in_project,
    in_space,
    of_facets,
    of_words,
)
from dialoguedb.store.protocol import Query, Row, WallBroken

#: So many texts are all ranked.
EVERY = 1024
#: Vectors in a scope up to which all are compared; of more, the graph names the nearest.
EXACT = 10_000
#: Of more texts, so many are ranked for each reason: their words, their meaning.
CANDIDATES = 192
#: Of those with the words, so many whose neighbours are ranked too.
_HEARD = 48
#: How far a neighbour's words reach.
_REACH = 2
#: Texts with a word beyond which it chooses no candidates, if rarer ones do.
_FREQUENT = 20_000
#: Results that can be asked for where fewer than were wanted came.
_MOST = 50_000
_UNIT = np.float32(1 / 127**2)
_NONE = np.int32(-1)


class _Text(NamedTuple):
    """A row of `search_every` or `search_some`."""

    space_id: int
    owner: str
    sequence: int
    created: int
    length: int
    passes: bool
    likeness: float | None
    counts: list[int] | None
    speaks: bool


#: What tells a text from others of its kind.
Key = tuple[int, str, int]


class _Statistics(NamedTuple):
    """What is known of all texts of a kind where the asker may look."""

    texts: int
    words: int
    holders: NDArray[np.int64] | None = None


class Searching:
    """One search, on one snapshot."""

    def __init__(
        self, session: Session, index: EntryIndex, project_id: str, space_id: int | None
    ) -> None:
        """Prepare it.

        Args:
            session: with the snapshot.
            index: what is known of the index besides the database.
            project_id: the project.
            space_id: the one space to look in; None for all of the project.
        """
        self._session = session
        self._index = index
        self._where = (
            partial(in_project, project_id=project_id)
            if space_id is None
            else partial(in_space, space_id=space_id)
        )
        found = session.ask("search_spaces", project_id=project_id, space=space_id or 0)
        for number, _, owner in found:
            if owner != project_id or number != (space_id or number):
                raise WallBroken(f"a search was to look into space {number}, where it may not")
        self._namespaces: dict[int, str] = {number: name for number, name, _ in found}
        self._asked: dict[str, Any] = {"spaces": list(self._namespaces)}
        self._owners: dict[tuple[int, str], int] = {}

    def find(self, query: Query) -> list[Hit]:
        """Give the best results, best first; fewer than the limit only when no more pass."""
        generation = active(self._session)
        if generation is None or not self._namespaces:
            return []
        self._prepare(query, generation)
        passing = filter_of(query.conditions, query.kind, self._where, self._namespaces)
        if query.kind == DIALOGUE:
            return self._dialogues(query, generation, passing)
        ranked = self._ranked(query.kind, passing, generation, query.limit)
        return [ranked.hit(which) for which in ranked.best()[: query.limit].tolist()]

    def _prepare(self, query: Query, generation: Generation) -> None:
        vector = self._index.vector(generation, query.text)
        named = [facets.facet(facets.SPEAKER, term) for term in query.terms]
        self._asked |= {
            "words": Binary(array_of(self._where(of_words(query.terms)))),
            "speakers": Binary(array_of(self._where(of_facets(named)))),
            "vector": None if vector is None else Binary(halves_of(vector)),
            "generation": generation.number,
        }
        self._tokens = self._where(of_words(query.terms))
        self._terms = len(query.terms)
        self._by_meaning = vector is not None

    # ── what is asked of the database ────────────────────────────────────────────────────────

    def _ask(
        self, statement: str, passing: Filter = ALL, *, kind: int = MESSAGE, **params: Any
    ) -> list[Row]:
        """Run a statement of the search and see that it looked only where it may."""
        values = self._asked | {"kind": kind} | dict(passing.params) | params
        return self._checked(self._session.search(with_filter(statement, passing), values))

    def _checked(self, rows: list[Row]) -> list[Row]:
        for row in rows:
            if row[0] not in self._namespaces:
                raise WallBroken(f"a search looked into space {row[0]}, where it may not")
        return rows

    def _statistics(self, kind: int) -> _Statistics:
        rows = self._ask("search_figures", kind=kind)
        return _Statistics(sum(row[1] for row in rows), sum(row[2] for row in rows))

    def _holders(self, kind: int) -> NDArray[np.int64]:
        """Count the texts that hold each word of the query."""
        holders = np.zeros(self._terms, np.int64)
        if not self._terms:
            return holders
        sql = with_filter("search_holders", ALL)
        for place, lowest, highest, texts in self._session.search(
            sql, self._asked | {"kind": kind}
        ):
            if texts:
                self._checked([(lowest,), (highest,)])
            holders[place - 1] = texts
        return holders

    # ── ranking ──────────────────────────────────────────────────────────────────────────────

    def _ranked(self, kind: int, passing: Filter, generation: Generation, limit: int) -> Ranked:
        """Rank the texts of a kind that pass; of many, those that promise most.

        Fewer than `limit` come only when no more pass.
        """
        known = self._statistics(kind)
        if known.texts <= EVERY:
            rows = self._ask("search_every", passing, kind=kind)
            return self._rank(kind, known, [_Text._make(row) for row in rows])
        known = known._replace(holders=self._holders(kind))
        most = max(CANDIDATES, limit)
        chosen = self._promising(kind, known, passing, generation, most)
        ranked = self._rank_some(kind, known, passing, chosen)
        if len(ranked.created) < limit:
            rows = self._ask("search_passing", passing, kind=kind, most=_MOST)
            ranked = self._rank_some(kind, known, passing, {_key(row): row[3] for row in rows})
        return ranked

    def _promising(
        self, kind: int, known: _Statistics, passing: Filter, generation: Generation, most: int
    ) -> dict[Key, int]:
        """Choose candidates by their words and by their meaning; with each, when it was made."""
        chosen: dict[Key, int] = {}
        heard: list[Row] = []
        if self._terms and known.holders is not None:
            by_words = self._by_words(kind, known, passing, most)
            chosen |= {_key(row): row[3] for row in by_words}
            heard = by_words
            if passing is not ALL:  # neighbours count as evidence whether they pass or not
                heard = self._by_words(kind, known, ALL, _HEARD)
        if self._by_meaning:
            nearest = self._nearest(kind, known, passing, generation, most)
            chosen |= {_key(row): row[3] for row in nearest}
        if kind == MESSAGE and heard:
            beside = self._around([(row, _REACH) for row in heard[:_HEARD]])
            chosen |= {_key(row): row[3] for row in beside}
        return chosen

    def _by_words(self, kind: int, known: _Statistics, passing: Filter, most: int) -> list[Row]:
        assert known.holders is not None
        weights = ranking.rarity(known.holders, max(known.texts, 1))
        rarer = self._rarer(known.holders)
        if not len(rarer):
            return []
        return self._ask(
            "search_by_words",
            passing,
            kind=kind,
            weights=weights.tolist(),
            rarer=Binary(array_of(rarer)),
            most=most,
        )

    def _rarer(self, holders: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the tokens that choose: the rarest, as long as they are not too frequent."""
        order = [place for place in np.argsort(holders).tolist() if holders[place]]
        total = np.cumsum(holders[order])
        count = max(1, int(np.searchsorted(total, _FREQUENT, side="right")))
        return self._tokens[order[:count]]

    def _nearest(
        self, kind: int, known: _Statistics, passing: Filter, generation: Generation, most: int
    ) -> list[Row]:
        """Find the texts nearest in meaning: by the graph where there are many, else exactly."""
        if known.texts > EXACT:
            sql = with_filter("search_graph", passing)
            sql = sql.replace("/* dimension */", str(generation.dimension))
            sql = sql.replace("/* generation */", str(generation.number))
            values = self._asked | {"kind": kind, "most": most} | dict(passing.params)
            found = self._checked(self._session.search(sql, values))
            if len(found) >= most:
                return found
        return self._ask("search_by_meaning", passing, kind=kind, most=most)

    def _around(self, rows: Iterable[tuple[Row, int]]) -> list[Row]:
        """Give the messages beside some: each with how many before and after it."""
        found = list(rows)
        return self._ask(
            "search_around",
            key_spaces=[row[0] for row, _ in found],
            key_owners=[row[1] for row, _ in found],
            key_sequences=[row[2] for row, _ in found],
            key_created=[row[3] for row, _ in found],
            key_reach=[reach for _, reach in found],
        )

    def _rank_some(
        self, kind: int, known: _Statistics, passing: Filter, chosen: Mapping[Key, int]
    ) -> Ranked:
        """Rank chosen texts, with what stands beside them."""
        keys = dict.fromkeys(chosen, 1)
        if kind == MESSAGE and chosen:
            beside = self._around([((*key, created), _REACH) for key, created in chosen.items()])
            for row in beside:
                keys.setdefault(_key(row), 0)
        rows = self._ask(
            "search_some",
            passing,
            kind=kind,
            key_spaces=[key[0] for key in keys],
            key_owners=[key[1] for key in keys],
            key_sequences=[key[2] for key in keys],
            key_wanted=list(keys.values()),
        )
        texts = [_Text._make(row) for row in rows]
        return self._rank(
            kind, known, [text if keys[text[:3]] else text._replace(passes=False) for text in texts]
        )

    def _rank(self, kind: int, known: _Statistics, texts: Sequence[_Text]) -> Ranked:
        """Rank texts that pass; the others count as their neighbours."""
        texts = sorted(texts, key=lambda text: (text.space_id, text.owner, text.created, text[2]))
        n = len(texts)
        counts = np.zeros((self._terms, n), np.float32)
        for place, text in enumerate(texts):
            if text.counts is not None:
                counts[:, place] = text.counts
        holders = known.holders
        if holders is None:
            holders = np.count_nonzero(counts, axis=1)
        previous, following = _neighbours(texts) if kind == MESSAGE else _no_neighbours(n)
        scores = ranking.words(
            counts,
            np.array([text.length for text in texts], np.float32),
            previous,
            following,
            weights=ranking.rarity(holders, max(known.texts, 1)),
            mean_length=known.words / max(known.texts, 1),
        )
        meaning = np.array([text.likeness or 0.0 for text in texts], np.float32) * _UNIT
        passing = np.flatnonzero(np.array([text.passes for text in texts], np.bool_))
        parts = ranking.combine(
            scores[passing],
            meaning[passing],
            np.array([texts[place].speaks for place in passing], np.bool_),
        )
        chosen = [texts[place] for place in passing.tolist()]
        return Ranked(
            parts,
            np.array([text.created for text in chosen], np.int64),
            _later(chosen),
            np.array([self._number(text.space_id, text.owner) for text in chosen], np.int64),
            lambda which: _place(kind, chosen[which]),
        )

    def _number(self, space_id: int, owner: str) -> int:
        return self._owners.setdefault((space_id, owner), len(self._owners))

    # ── dialogues ────────────────────────────────────────────────────────────────────────────

    def _dialogues(self, query: Query, generation: Generation, passing: Filter) -> list[Hit]:
        """Find dialogues by their labels and by their messages; the best of both counts."""
        heard = of_messages(passing)
        if query.conditions.has_image:
            heard = both(heard, image_only())
        wanted = query.limit
        while True:  # the best messages can all be of a few dialogues
            said = self._ranked(MESSAGE, heard, generation, wanted)
            few = len(np.unique(said.owners)) < query.limit
            if not few or len(said.created) < wanted or wanted >= _MOST:
                break
            wanted *= 8
        labels = self._ranked(DIALOGUE, passing, generation, query.limit)
        made = self._made(passing)
        names = list(self._owners)
        created = np.array([made.get(name, 0) for name in names], np.int64)
        by_age = sorted(range(len(names)), key=lambda number: (created[number], names[number]))
        later = np.zeros(len(names), np.int64)
        later[by_age] = np.arange(len(names))
        return best_dialogues(
            said,
            labels,
            Dialogues(
                created,
                later,
                lambda number: Place(
                    names[number][0], DIALOGUE, names[number][1], int(created[number]), 0
                ),
            ),
            limit=query.limit,
            by_messages_only=bool(query.conditions.has_image),
        )

    def _made(self, passing: Filter) -> dict[tuple[int, str], int]:
        """Tell when the dialogues that have been met were made."""
        rows = self._ask(
            "search_dialogues",
            passing,
            kind=DIALOGUE,
            key_spaces=[space_id for space_id, _ in self._owners],
            key_owners=[owner for _, owner in self._owners],
        )
        return {(row[0], row[1]): row[3] for row in rows}


def _key(row: Row) -> Key:
    return row[0], row[1], row[2]


def _place(kind: int, text: _Text) -> Place:
    return Place(text.space_id, kind, text.owner, text.created, text.sequence)


def _later(texts: Sequence[_Text]) -> NDArray[np.int64]:
    """Order texts of one moment: by their ids, which rise, and by their numbers."""
    order = sorted(range(len(texts)), key=lambda place: (texts[place].owner, texts[place].sequence))
    later = np.zeros(len(texts), np.int64)
    later[order] = np.arange(len(texts))
    return later


def _no_neighbours(n: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    none = np.full(n, _NONE, np.int32)
    return none, none


def _neighbours(texts: Sequence[_Text]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Give the places of the texts before and after each in its dialogue; they are sorted."""
    previous, following = (np.full(len(texts), _NONE, np.int32) for _ in range(2))
    for place in range(1, len(texts)):
        if texts[place - 1][:2] == texts[place][:2]:
            previous[place] = place - 1
            following[place - 1] = place
    return previous, following
