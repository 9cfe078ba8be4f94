"""Searching on PostgreSQL: the database finds what may be relevant, and the same formula ranks it.

Where there are few texts all are ranked, as in memory, and the answers of both engines are the
same. Among many, those that promise most by their own words, those that are nearest in meaning, and
what stands beside them.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from operator import eq, itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dialoguedb.search import facets, ranking
from dialoguedb.search.entries import DIALOGUE, MESSAGE
from dialoguedb.search.results import Dialogues, Hit, Ranked, best_dialogues
from dialoguedb.search.shelf import Place
from dialoguedb.store.postgres.filters import (
    ALL,
    Filter,
    both,
    filter_of,
    image_only,
    of_messages,
    with_filter,
)
from dialoguedb.store.postgres.index import EntryIndex, Generation
from dialoguedb.store.postgres.pool import REACH
from dialoguedb.store.postgres.session import Binary, Session
from dialoguedb.store.postgres.tokens import (
    array_of,
    array_of_texts,
    halves_of,
    in_project,
    in_space,
    of_facets,
    of_sample,
    of_words,
    sample_level,
)
from dialoguedb.store.protocol import Query, Row, WallBroken

#: So many texts are all ranked.
EVERY = 1024
#: Texts up to which vectors are compared one by one and holders of words are counted one by one;
#: of more, the graph names the nearest if that is less work, and a sample tells what is frequent.
EXACT = 20_000
#: Of more texts than are all ranked, so many are: of as many for their meaning, and of so many
#: times as many for their words. Of the best ten of 10,000 texts, 0.99 are among them.
CANDIDATES = 96
_FOUND = 4
#: Of those with the words, so many whose neighbours are chosen too.
_HEARD = 24
#: How far a neighbour's words reach.
_REACH = 2
#: Texts with the rarer words among which those that promise most are chosen; of words that are all
#: frequent, some.
_RARER, _BOUND = 2_000, 20_000
#: Texts of a sample with a word, from which on it is known well enough how many there are in all.
_SURE = 8
#: What it takes to compare a vector that the graph names, one that a filter names, and one of a
#: scan: microseconds, measured; only what they are of each other counts.
BY_GRAPH, BY_KEY, BY_SCAN = 10.0, 3.0, 0.6
#: A search by the graph looks at one in so many, or it misses some of the nearest; pgvector takes
#: no more than so many. Of the nearest ten of 1,000,000 texts it names 0.98 then; decision 0012.
OF_GRAPH, MOST_REACH = 1_250, 1_000
#: Results that can be asked for where fewer than were wanted came.
_MOST = 50_000
#: What gives a score in its fifth column.
_SCORED = frozenset(
    {"search_by_words", "search_by_meaning", "search_passing_by_meaning", "search_graph"}
)
_UNIT = np.float32(1 / 127**2)
_NONE = np.int32(-1)
#: Columns of `search_every` and `search_some` that a text is sorted by: neighbours come together.
_IN_DIALOGUE = itemgetter(0, 1, 2, 3)

#: What tells a text from others of its kind: space, owner, sequence.
Key = tuple[int, str, int]
#: The same, and when it was made.
_Dated = tuple[int, str, int, int]


class _Statistics(NamedTuple):
    """What is known of all texts of a kind where the asker may look.

    Attributes:
        texts: how many there are.
        words: how many words they have.
        holders: how many texts hold each word of the query, if that has been asked; where they are
            many, about.
        passing: how many pass the filters, about.
    """

    texts: int
    words: int
    holders: NDArray[np.int64] | None = None
    passing: float = 0.0


class Searching:
    """One search, on one snapshot.

    Attributes:
        namespaces: of the spaces that it looks into, by their numbers.
    """

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
        wanted = {"project_id": project_id, "space": space_id or 0}
        asked: list[tuple[str, Mapping[str, Any]]] = [
            ("search_spaces", wanted),
            ("index_active", {}),
        ]
        if space_id is not None:
            asked.append(("search_figures", {"spaces": [space_id]}))
        found, active, *figures = session.ask_all(asked)
        for number, _, owner in found:
            if owner != project_id or number != (space_id or number):
                raise WallBroken(f"a search was to look into space {number}, where it may not")
        self.namespaces: dict[int, str] = {number: name for number, name, _ in found}
        self._generation = Generation._make(active[0]) if active else None
        # Citus takes these statements for one node only.
        together = [[number] for number in self.namespaces] if index.apart else [self.namespaces]
        self._apart = [_numbers(list(spaces)) for spaces in together]
        self._asked: dict[str, Any] = {}
        self._owners: dict[tuple[int, str], int] = {}
        self._figures = self._checked(figures[0]) if figures else None

    def find(self, query: Query) -> list[Hit]:
        """Give the best results, best first; fewer than the limit only when no more pass."""
        if self._generation is None or not self.namespaces:
            return []
        self._prepare(query, self._generation)
        passing = filter_of(query.conditions, query.kind, self._where, self.namespaces)
        if query.kind == DIALOGUE:
            return self._dialogues(query, passing)
        ranked = self._ranked(query.kind, passing, query.limit)
        return [ranked.hit(which) for which in ranked.best()[: query.limit].tolist()]

    def nearest(self, query: Query, most: int, *, by_graph: bool) -> list[tuple[Key, float]]:
        """Name the texts of a kind that are nearest in meaning, and how near they are, 0..1.

        Args:
            query: its text, kind and conditions.
            most: how many.
            by_graph: ask the graph; else all are compared.
        """
        assert self._generation is not None
        self._prepare(query, self._generation)
        passing = filter_of(query.conditions, query.kind, self._where, self.namespaces)
        if by_graph:
            self._look_at(self._grown())
        statement = "search_graph" if by_graph else _exactly(passing)
        rows = self._ask(statement, passing, kind=query.kind, most=most)
        return [(_key(row), float(row[4] * _UNIT)) for row in rows]

    def messages(self, places: Sequence[Place]) -> list[Row]:
        """Read what messages hold, as `messages_at` does of each."""
        return self._ask(
            "search_messages",
            key_spaces=_numbers([place.space_id for place in places]),
            key_owners=_texts([place.owner for place in places]),
            key_created=_numbers([place.created for place in places]),
            key_sequences=_numbers([place.sequence for place in places]),
        )

    def _prepare(self, query: Query, generation: Generation) -> None:
        vector = self._index.vector(generation, query.text)
        named = [facets.facet(facets.SPEAKER, term) for term in query.terms]
        self._tokens = self._where(of_words(query.terms))
        self._by_meaning = vector is not None
        self._for_dialogues = query.kind == DIALOGUE
        self._dimension = generation.dimension
        self._asked |= {
            "words": Binary(array_of(self._tokens)),
            "speakers": Binary(array_of(self._where(of_facets(named)))),
            "vector": None if vector is None else Binary(halves_of(vector)),
            "generation": generation.number,
        }

    # ── what is asked of the database ────────────────────────────────────────────────────────

    def _ask(
        self, statement: str, passing: Filter = ALL, *, kind: int = MESSAGE, **params: Any
    ) -> list[Row]:
        """Run a statement of the search and see that it looked only where it may."""
        return self._ask_all([(statement, passing, params)], kind)[0]

    def _ask_all(
        self, asked: Sequence[tuple[str, Filter, Mapping[str, Any]]], kind: int
    ) -> list[list[Row]]:
        """Run several at once; what has a score (the fifth column) comes best first."""
        sent = []
        for statement, passing, params in asked:
            sql = with_filter(statement, passing)
            if statement == "search_graph":
                sql = sql.replace("/* dimension */", str(self._dimension))
                sql = sql.replace("/* generation */", str(self._asked["generation"]))
            sent.append((sql, self._asked | {"kind": kind} | dict(passing.params) | dict(params)))
        found = [self._checked(rows) for rows in self._everywhere(sent)]
        for (statement, _, _), rows in zip(asked, found, strict=True):
            if len(self._apart) > 1 and statement in _SCORED:
                rows.sort(key=itemgetter(4), reverse=True)
        return found

    def _everywhere(self, asked: Sequence[tuple[str, Mapping[str, Any]]]) -> list[list[Row]]:
        """Run statements over all spaces; on Citus over one after the other."""
        sent = [
            (sql, {**params, "spaces": spaces}) for sql, params in asked for spaces in self._apart
        ]
        found = self._session.search_all(sent)
        each = len(self._apart)
        return [list(chain(*found[at : at + each])) for at in range(0, len(found), each)]

    def _checked(self, rows: list[Row]) -> list[Row]:
        for row in rows:
            if row[0] not in self.namespaces:
                raise WallBroken(f"a search looked into space {row[0]}, where it may not")
        return rows

    def _counted(self, statement: str, passing: Filter, kind: int, **params: Any) -> list[Row]:
        """Run a statement that counts: its rows hold a place, and the first and last space."""
        sql = with_filter(statement, passing)
        values = self._asked | {"kind": kind} | dict(passing.params) | params
        (rows,) = self._everywhere([(sql, values)])
        self._checked([(space,) for row in rows if row[3] for space in row[1:3]])
        return [(row[0], *row[3:]) for row in rows]

    def _statistics(self, kind: int) -> _Statistics:
        if self._figures is None:
            self._figures = self._ask("search_figures")
        mine = [row for row in self._figures if row[1] == kind]
        return _Statistics(sum(row[2] for row in mine), sum(row[3] for row in mine))

    def _looked_at(self, kind: int, known: _Statistics, passing: Filter) -> _Statistics:
        """Learn how many texts hold each word of the query, and how many pass."""
        if known.texts <= EXACT:
            holders = np.zeros(len(self._tokens), np.int64)
            share = 1.0
        else:
            holders, share = self._sampled(kind, known.texts, passing)
        rare = np.flatnonzero(holders == 0)
        if len(rare):
            tokens = Binary(array_of(self._tokens[rare]))
            for place, texts in self._counted("search_holders", ALL, kind, rare=tokens):
                holders[rare[place - 1]] += texts
        return known._replace(holders=holders, passing=share * known.texts)

    def _sampled(self, kind: int, texts: int, passing: Filter) -> tuple[NDArray[np.int64], float]:
        """Estimate from a sample.

        Returns: for each word how many texts hold it, 0 where it is too rare to tell, and which
            share of all texts passes.
        """
        holders = np.zeros(len(self._tokens), np.int64)
        sample = Binary(array_of(self._where(of_sample(sample_level(texts)))))
        rows = self._counted("search_sample", passing, kind, sample=sample)
        total = pass_ = 0
        for place, found, passing_ in rows:
            if place:
                holders[place - 1] += found
            else:
                total, pass_ = total + found, pass_ + passing_
        holders = np.where(holders >= _SURE, holders * texts // max(total, 1), 0)
        return holders, pass_ / total if total else 1.0

    # ── ranking ──────────────────────────────────────────────────────────────────────────────

    def _ranked(
        self, kind: int, passing: Filter, limit: int, *, likely: Filter | None = None
    ) -> Ranked:
        """Rank the texts of a kind that pass; of many, those that promise most.

        Fewer than `limit` come only when no more pass. `likely` lets pass a few more, with less
        work: candidates are chosen by it.
        """
        known = self._statistics(kind)
        if known.texts <= EVERY:
            return self._rank(kind, known, self._ask("search_every", passing, kind=kind))
        known = self._looked_at(kind, known, likely or passing)
        # Where dialogues are sought, the best messages of many are needed.
        most = max(CANDIDATES * (1 + self._for_dialogues), limit)
        chosen = self._promising(kind, known, likely or passing, most)
        ranked = self._rank_some(kind, known, passing, chosen)
        if len(ranked.created) < limit:
            # What is left has neither words nor meaning in common with the query: the latest.
            rows = self._ask("search_passing", passing, kind=kind, most=max(EVERY, limit))
            chosen |= dict.fromkeys(map(_key, rows), 1)
            ranked = self._rank_some(kind, known, passing, chosen)
        return ranked

    def _promising(
        self, kind: int, known: _Statistics, passing: Filter, most: int
    ) -> dict[Key, int]:
        """Choose candidates by their words and by their meaning.

        Returns: of each 1, and 0 for what only stands beside them.
        """
        by_words, heard, nearest = self._found(kind, known, passing, most)
        assert known.holders is not None
        bound = float(ranking.rarity(known.holders, max(known.texts, 1)).sum())
        for_words = ranking.WORDS / max(bound, 1e-9)
        for_meaning = ranking.MEANING * float(_UNIT)
        scores = {row[:4]: max(row[4], 0) * for_meaning for row in nearest}
        for row in by_words:
            scores[row[:4]] = row[4] * for_words + max(row[5] or 0, 0) * for_meaning
        reach = dict.fromkeys(sorted(scores, key=scores.__getitem__, reverse=True)[:most], 0)
        chosen = {key[:3]: 1 for key in reach}
        if kind != MESSAGE:
            return chosen
        reach |= {row[:4]: _REACH for row in heard}
        for row, far in self._around(reach):
            chosen[_key(row)] = max(chosen.get(_key(row), 0), int(row[4] <= far))
        return chosen

    def _found(
        self, kind: int, known: _Statistics, passing: Filter, most: int
    ) -> tuple[list[Row], list[Row], list[Row]]:
        """Ask for the texts that promise most by their words and by their meaning, best first.

        Returns: by words; those of all, whether they pass or not, whose neighbours are wanted: they
            count as evidence; by meaning.
        """
        asked: list[tuple[str, Filter, Mapping[str, Any]]] = []
        by_graph = False
        words = self._words(known)
        if words is not None:
            asked.append(("search_by_words", passing, words | {"most": _FOUND * most}))
            if passing is not ALL:
                asked.append(("search_by_words", ALL, words | {"most": _HEARD}))
        if self._by_meaning:
            by_graph = self._by_graph(known, passing, most)
            statement = "search_graph" if by_graph else _exactly(passing)
            asked.append((statement, passing, {"most": most}))
        found = self._ask_all(asked, kind)
        nearest = found.pop() if self._by_meaning else []
        if by_graph and len(nearest) < most:
            nearest = self._ask(_exactly(passing), passing, kind=kind, most=most)
        by_words = found[0] if found else []
        return by_words, found[-1][:_HEARD] if found else [], nearest

    def _words(self, known: _Statistics) -> dict[str, Any] | None:
        """Give the parameters of a search by words; None if no text holds any."""
        assert known.holders is not None
        order = [place for place in np.argsort(known.holders).tolist() if known.holders[place]]
        if not order:
            return None
        total = np.cumsum(known.holders[order])
        count = max(1, int(np.searchsorted(total, _RARER, side="right")))
        return {
            "weights": ranking.rarity(known.holders, max(known.texts, 1)).tolist(),
            "rarer": Binary(array_of(self._tokens[order[:count]])),
            "bound": _BOUND,
        }

    def _by_graph(self, known: _Statistics, passing: Filter, most: int) -> bool:
        """Tell whether the graph names the nearest with less work than comparing all takes.

        It is that of all projects: what is not looked for is passed on the way.
        """
        if known.texts <= EXACT:
            return False
        there = max(self._grown(), known.texts)
        by_graph = most * there / max(known.passing, 1) * BY_GRAPH
        all_ = known.texts * BY_SCAN
        exactly = all_ if passing is ALL else known.passing * BY_KEY
        if by_graph >= exactly:
            return False
        self._look_at(there)
        return True

    def _grown(self) -> int:
        """Tell how many vectors the graph holds, about."""
        (row,) = self._session.ask("index_grown", name=f"vectors_graph_{self._asked['generation']}")
        return row[0] or 0

    def _look_at(self, there: int) -> None:
        """Have a search by the graph look at as many as one of that size asks for.

        A node of Citus has a part of it, for which the least is enough.
        """
        reach = min(MOST_REACH, there // OF_GRAPH)
        if reach > REACH and not self._index.apart:
            self._session.set("graph_reach", reach=str(reach))

    def _around(self, keys: Mapping[_Dated, int]) -> Iterable[tuple[Row, int]]:
        """Give the messages beside some, and beside those so far away from these.

        Args:
            keys: space, dialogue, number and time of each, and how far what stands beside it is
                wanted too.
        Returns: each, and how far its own is; a message can come several times.
        """
        found: list[tuple[Row, int]] = []
        for far in set(keys.values()):
            mine = [key for key, its_own in keys.items() if its_own == far]
            rows = self._ask(
                "search_around",
                key_spaces=_numbers([key[0] for key in mine]),
                key_owners=_texts([key[1] for key in mine]),
                key_sequences=_numbers([key[2] for key in mine]),
                key_created=_numbers([key[3] for key in mine]),
                key_reach=_numbers([far + _REACH] * len(mine)),
            )
            found += [(row, far) for row in rows]
        return found

    def _rank_some(
        self, kind: int, known: _Statistics, passing: Filter, chosen: Mapping[Key, int]
    ) -> Ranked:
        """Rank chosen texts: those with 1 count, what stands beside them has 0."""
        rows = self._ask(
            "search_some",
            passing,
            kind=kind,
            key_spaces=_numbers([key[0] for key in chosen]),
            key_owners=_texts([key[1] for key in chosen]),
            key_sequences=_numbers([key[2] for key in chosen]),
            key_wanted=_numbers(list(chosen.values())),
        )
        return self._rank(kind, known, rows)

    def _rank(self, kind: int, known: _Statistics, rows: list[Row]) -> Ranked:
        """Rank texts that pass; the others count as their neighbours."""
        rows = sorted(rows, key=_IN_DIALOGUE)
        n = len(rows)
        spaces, owners, created, sequences, lengths, passes, likeness, counted, speaks = (
            zip(*rows, strict=True) if rows else [()] * 9
        )
        counts = np.zeros((len(self._tokens), n), np.float32)
        held = [place for place, row in enumerate(counted) if row is not None]
        if held:
            counts[:, held] = np.array([counted[place] for place in held], np.float32).T
        holders = known.holders
        if holders is None:
            holders = np.count_nonzero(counts, axis=1)
        together = _together(spaces, owners)
        previous, following = _neighbours(together, n if kind == MESSAGE else 0, n)
        scores = ranking.words(
            counts,
            np.array(lengths, np.float32),
            previous,
            following,
            weights=ranking.rarity(holders, max(known.texts, 1)),
            mean_length=known.words / max(known.texts, 1),
        )
        meaning = np.array([one or 0.0 for one in likeness], np.float32) * _UNIT
        passing = np.flatnonzero(np.array(passes, np.bool_))
        parts = ranking.combine(
            scores[passing], meaning[passing], np.array(speaks, np.bool_)[passing]
        )
        chosen = passing.tolist()
        return Ranked(
            parts,
            np.array(created, np.int64)[passing],
            _later(owners, sequences)[passing],
            self._numbered(spaces, owners, chosen),
            lambda which: _place(kind, rows[chosen[which]]),
        )

    def _numbered(
        self, spaces: Sequence[int], owners: Sequence[str], chosen: Sequence[int]
    ) -> NDArray[np.int64]:
        """Number the dialogues of chosen texts, if dialogues are sought."""
        if not self._for_dialogues:
            return np.zeros(len(chosen), np.int64)
        known = self._owners
        named = [(spaces[one], owners[one]) for one in chosen]
        return np.array([known.setdefault(name, len(known)) for name in named], np.int64)

    # ── dialogues ────────────────────────────────────────────────────────────────────────────

    def _dialogues(self, query: Query, passing: Filter) -> list[Hit]:
        """Find dialogues by their labels and by their messages; the best of both counts."""
        heard = of_messages(passing)
        if query.conditions.has_image:
            heard = both(heard, image_only())
        # Few messages have lost their dialogue.
        likely = ALL if passing is ALL and not query.conditions.has_image else None
        wanted = query.limit
        while True:  # the best messages can all be of a few dialogues
            said = self._ranked(MESSAGE, heard, wanted, likely=likely)
            few = len(np.unique(said.owners)) < query.limit
            if not few or len(said.created) < wanted or wanted >= _MOST:
                break
            wanted *= 8
        labels = self._ranked(DIALOGUE, passing, query.limit if few else 0)
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
            key_spaces=_numbers([space_id for space_id, _ in self._owners]),
            key_owners=_texts([owner for _, owner in self._owners]),
        )
        return {(row[0], row[1]): row[3] for row in rows}


def _exactly(passing: Filter) -> str:
    """Name what compares all vectors, or those of the texts that pass."""
    return "search_by_meaning" if passing is ALL else "search_passing_by_meaning"


def _numbers(values: Sequence[int]) -> Binary:
    """Write an array; psycopg takes twenty times as long."""
    return Binary(array_of(np.array(values, np.int64)))


def _texts(values: Sequence[str]) -> Binary:
    return Binary(array_of_texts(values))


def _key(row: Row) -> Key:
    return row[0], row[1], row[2]


def _place(kind: int, row: Row) -> Place:
    space_id, owner, created, sequence, *_ = row
    return Place(space_id, kind, owner, created, sequence)


def _later(owners: Sequence[str], sequences: Sequence[int]) -> NDArray[np.int64]:
    """Order texts of one moment: by their ids, which rise, and by their numbers."""
    numbers = {owner: number for number, owner in enumerate(sorted(set(owners)))}
    order = np.lexsort((sequences, [numbers[owner] for owner in owners]))
    later = np.zeros(len(owners), np.int64)
    later[order] = np.arange(len(owners))
    return later


def _together(spaces: Sequence[int], owners: Sequence[str]) -> NDArray[np.bool_]:
    """Tell of each text but the last whether the next one is of the same dialogue."""
    same_space = np.fromiter(map(eq, spaces, spaces[1:]), np.bool_)
    return same_space & np.fromiter(map(eq, owners, owners[1:]), np.bool_)


def _neighbours(
    together: NDArray[np.bool_], n: int, of: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Give the places of the texts before and after each in its dialogue; they are sorted.

    Args:
        together: whether a text and the next one are of one dialogue.
        n: how many texts can have neighbours: all or none.
        of: how many there are.
    """
    previous, following = (np.full(of, _NONE, np.int32) for _ in range(2))
    if n:
        places = np.arange(n - 1, dtype=np.int32)
        previous[1:] = np.where(together, places, _NONE)
        following[:-1] = np.where(together, places + 1, _NONE)
    return previous, following
