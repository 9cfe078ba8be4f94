"""Finding on a shelf: the rows that pass the filters, in the order of their relevance.

Filters are masks, so they are exact; neighbours count as evidence whether they pass or not. Where
there are few rows all are ranked; among many, those that promise most by their own words and
meaning are, with the rows around them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dialoguedb.search import facets, ranking
from dialoguedb.search.columns import Column, Found, WordLists
from dialoguedb.search.conditions import Conditions, FacetTest
from dialoguedb.search.entries import DIALOGUE, MEMORY, MESSAGE
from dialoguedb.search.results import Dialogues, Hit, Ranked, best_dialogues
from dialoguedb.search.shelf import NONE, Shelf

Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]

#: So many rows are all ranked; of more, this many that promise most.
CANDIDATES = 1024
#: Rows whose best stands for them where the best of many are sought.
_RUN = 64
#: A space that has more than this share of its shelf's rows is read with all of them.
_DENSE = 0.5
#: The vectors of less than this share of the rows are looked at one by one.
_SPARSE = 0.25
_UNIT = np.float32(1 / 127**2)


class Probe(NamedTuple):
    """What is sought on a shelf.

    Attributes:
        kind: MESSAGE, DIALOGUE or MEMORY.
        terms: the distinct words of the query.
        vector: int8 of the shelf's dimension; None to search by words alone.
        conditions: what results must be.
        space_id: the space; None for the whole project.
        limit: results at most.
        shares: what words, meaning and speaker weigh.
    """

    kind: int
    terms: Sequence[str]
    vector: NDArray[np.int8] | None
    conditions: Conditions
    space_id: int | None
    limit: int
    shares: ranking.Shares = ranking.SHIPPED


def find(shelf: Shelf, probe: Probe) -> list[Hit]:
    """Give the best results, best first; fewer than `limit` only when no more pass."""
    if probe.space_id is not None and probe.space_id not in shelf.spaces:
        return []
    view = _View(shelf, probe.space_id)
    if probe.kind == DIALOGUE:
        return _find_dialogues(view, probe)
    passing = view.of_kind(probe.kind) & _mask(view, probe.conditions, probe.kind)
    ranked = _rank(view, probe, probe.kind, passing, max(CANDIDATES, probe.limit))
    return [ranked.hit(which) for which in ranked.best()[: probe.limit].tolist()]


class _View:
    """The rows of a space or of a whole shelf, as they are at one moment.

    Positions are places in this view; where it is the whole shelf they are the rows themselves.
    """

    def __init__(self, shelf: Shelf, space_id: int | None) -> None:
        self.shelf = shelf
        self.all_rows = shelf.size
        self.space_id = space_id
        self.rows: Rows | None = None
        # What is asked for twice where dialogues are sought: by their messages and their labels.
        self._kinds: dict[int, Mask] = {}
        self._words: Found | None = None
        if space_id is not None:
            rows = shelf.spaces[space_id].rows
            mine: Rows = rows.first(rows.size)
            mine = mine[: np.searchsorted(mine, self.all_rows)]
            if len(mine) < self.all_rows * _DENSE:
                self.rows = mine
        self.count = self.all_rows if self.rows is None else len(self.rows)

    def take(self, column: Column) -> NDArray[Any]:
        """Give a column at the positions."""
        return column.first(self.count) if self.rows is None else column.array[self.rows]

    def at(self, positions: Rows) -> Rows:
        """Give the rows at positions."""
        return positions if self.rows is None else self.rows[positions]

    def positions(self, rows: Rows) -> Rows:
        """Give the positions of rows that are in the view, in any order; NONE stays."""
        beyond = (rows == NONE) | (rows >= self.all_rows)
        if self.rows is None:
            return np.where(beyond, NONE, rows)
        return np.where(beyond, NONE, np.searchsorted(self.rows, rows))

    def of_kind(self, kind: int) -> Mask:
        """Tell which positions hold a living resource of a kind, and of the space."""
        if kind not in self._kinds:
            alive = self.take(self.shelf.died) > self.all_rows
            mask: Mask = alive & (self.take(self.shelf.kind) == kind)
            if self.rows is None and self.space_id is not None:
                mask &= self.take(self.shelf.space) == self.space_id
            self._kinds[kind] = mask
        return self._kinds[kind]

    def find(self, lists: WordLists, numbers: Sequence[int], known: int) -> Found:
        """Find numbered words; `which` is a place in `numbers`, rows are positions."""
        words = np.array(numbers, np.int64)
        wanted = np.zeros(known, np.uint8)
        wanted[words] = np.arange(1, len(words) + 1)
        if self.rows is None:
            return lists.everywhere(words, wanted, self.count)
        return lists.among(wanted, self.rows)

    def words(self, terms: Sequence[str]) -> Found:
        """Find the query's words, whatever holds them; `which` is a place in `terms`."""
        if self._words is None:
            known = len(self.shelf.terms)
            looked_up = [self.shelf.terms.get(term, known) for term in terms]
            there = [place for place, number in enumerate(looked_up) if number < known]
            found = self.find(self.shelf.words, [looked_up[place] for place in there], known)
            which = np.array(there, np.int64)[found.which] if there else found.which
            self._words = Found(found.rows, which, found.counts)
        return self._words

    def having(self, lists: WordLists, numbers: Sequence[int], known: int) -> Mask:
        """Tell which positions have any of some numbered words."""
        mask: Mask = np.zeros(self.count, np.bool_)
        if not numbers:
            return mask
        if self.rows is None and len(numbers) < 64:
            mask[self.find(lists, numbers, known).rows] = True
            return mask
        wanted = np.zeros(known, np.uint8)
        wanted[np.array(numbers, np.int64)] = 1
        rows = np.arange(self.count) if self.rows is None else self.rows
        mask[lists.among(wanted, rows).rows] = True
        return mask


def _mask(view: _View, conditions: Conditions, kind: int) -> Mask:
    """Tell which positions pass the filters that are held against resources of a kind."""
    shelf = view.shelf
    mask: Mask = np.ones(view.count, np.bool_)
    for test in conditions.created:
        mask &= test.holds_array(view.take(shelf.created))
    for test in conditions.modified:
        modified = view.take(shelf.modified)
        if kind == DIALOGUE:
            modified = shelf.touched.array[view.take(shelf.owner)]
        mask &= test.holds_array(modified)
    for facet in (*conditions.tags, *conditions.metadata):
        mask &= _facet_mask(view, facet)
    if conditions.has_image is not None and kind == MESSAGE:
        mask &= view.take(shelf.image) == conditions.has_image
    if conditions.has_image and kind == MEMORY:
        mask &= False
    if conditions.dialogue_id is not None:
        mask &= _owned(view, _numbers(view, conditions.dialogue_id), kind)
    if conditions.thread_of is not None:
        parents = _numbers(view, conditions.thread_of)
        mask &= _owned(view, np.flatnonzero(_is_in(shelf.parent, parents)), kind)
    return mask


def _numbers(view: _View, dialogue_id: str) -> Rows:
    """Give the numbers under which a dialogue's id is known in the view's spaces."""
    shelf = view.shelf
    spaces = list(shelf.spaces) if view.space_id is None else [view.space_id]
    found = [shelf.owner_number(space, DIALOGUE, dialogue_id) for space in spaces]
    return np.array([number for number in found if number != NONE], np.int64)


def _is_in(column: Column, numbers: Rows) -> Mask:
    found: Mask = np.isin(column.first(column.size), numbers)
    return found


def _owned(view: _View, owners: Rows, kind: int) -> Mask:
    """Tell which positions belong to one of some dialogues."""
    if kind == MEMORY:
        return np.zeros(view.count, np.bool_)
    found: Mask = np.isin(view.take(view.shelf.owner), owners)
    return found


def _facet_mask(view: _View, test: FacetTest) -> Mask:
    shelf = view.shelf
    known = len(shelf.facet_values)
    if test.values is not None:
        looked_up = [shelf.facets.get(facets.facet(test.key, one)) for one in test.values]
        numbers = [number for number in looked_up if number is not None and number < known]
    else:
        of_key = list(shelf.facet_keys.get(test.key, ()))
        numbers = [one for one in of_key if one < known and test.accepts(shelf.facet_values[one])]
    accepted = view.having(shelf.tags, numbers, known)
    if test.key == facets.key_of("namespace"):
        of_key = [one for one in shelf.facet_keys.get(test.key, ()) if one < known]
        unnamed = ~view.having(shelf.tags, of_key, known)
        named = {number: space.namespace for number, space in list(shelf.spaces.items())}
        good = [one for one, name in named.items() if name and test.accepts(name)]
        accepted |= unnamed & np.isin(view.take(shelf.space), good)
    return accepted if test.wanted else ~accepted


def _rank(view: _View, probe: Probe, kind: int, passing: Mask, most: int) -> Ranked:
    """Rank the positions that pass, or those of them that promise most."""
    shelf = view.shelf
    eligible = view.of_kind(kind)
    texts = int(np.count_nonzero(eligible))
    found = _lookup(view, probe.terms, eligible)
    holders = np.bincount(found.which, minlength=len(probe.terms))
    weights = ranking.rarity(holders, max(texts, 1))
    candidates = np.flatnonzero(passing)
    meaning = _meaning(view, probe.vector, candidates)
    if len(candidates) > most:
        by_words = _promise(view, found, weights, probe.shares)
        candidates = _promising(view, by_words, meaning * probe.shares.meaning, passing, most)
    around = _around(view, candidates)
    counts = np.zeros((len(probe.terms), len(around)), np.float32)
    place_of = np.full(view.count, NONE, np.int32)
    place_of[around] = np.arange(len(around), dtype=np.int32)
    places = place_of[found.rows]
    held = places != NONE
    counts[found.which[held], places[held]] = found.counts[held]
    rows = view.at(around)
    scores = ranking.words(
        counts,
        shelf.length.array[rows].astype(np.float32),
        _places(view, shelf.previous, rows, place_of),
        _places(view, shelf.following, rows, place_of),
        weights=weights,
        mean_length=_mean_length(view, kind, texts),
    )
    at = place_of[candidates]
    speaker = _speaks(view, probe.terms, candidates)
    parts = ranking.combine(scores[at], meaning[candidates], speaker, probe.shares)
    chosen = view.at(candidates)
    return Ranked(
        parts,
        shelf.created.array[chosen],
        chosen,
        shelf.owner.array[chosen].astype(np.int64),
        lambda which: shelf.place(int(chosen[which])),
    )


def _lookup(view: _View, terms: Sequence[str], eligible: Mask) -> Found:
    """Find the query's words where they count; `which` is a place in `terms`."""
    found = view.words(terms)
    kept = eligible[found.rows]
    return Found(found.rows[kept], found.which[kept], found.counts[kept])


def _mean_length(view: _View, kind: int, texts: int) -> float:
    shelf = view.shelf
    total = shelf.length_total if view.space_id is None else shelf.spaces[view.space_id].words
    return total[kind] / max(texts, 1)


def _meaning(view: _View, vector: NDArray[np.int8] | None, wanted: Rows) -> NDArray[np.float32]:
    """Give the cosine of each wanted position's text with the query; of several pieces, the best.

    The other positions have 0, or theirs.
    """
    shelf = view.shelf
    if vector is None or not shelf.dimension:
        return np.zeros(view.count, np.float32)
    if len(wanted) < view.count * _SPARSE:
        found = np.zeros(view.count, np.float32)
        found[wanted] = shelf.vectors.rows_against(vector, view.at(wanted))
    elif view.rows is None:
        found = shelf.vectors.against(vector, view.count)
    else:
        found = shelf.vectors.rows_against(vector, view.rows)
    pieces = shelf.piece_row.size
    if pieces:
        # A copy, since a piece goes over to a newer row when its resource is tagged.
        rows = shelf.piece_row.first(pieces).copy()
        inside = rows < view.all_rows
        if view.rows is not None:
            inside &= np.isin(rows, view.rows)
        mine = np.flatnonzero(inside)
        scores = shelf.pieces.rows_against(vector, mine)
        np.maximum.at(found, view.positions(rows[mine]), scores)
    found *= _UNIT
    return found


def _promise(
    view: _View, found: Found, weights: NDArray[np.float32], shares: ranking.Shares
) -> NDArray[np.float32]:
    """Estimate what each position scores by its own words."""
    bound = max(float(weights.sum()), 1e-9)
    share = weights[found.which] * (found.counts / (found.counts + np.float32(1)))
    own = np.bincount(found.rows, weights=share, minlength=view.count).astype(np.float32)
    own *= np.float32(shares.words / bound)
    return own


def _promising(
    view: _View,
    by_words: NDArray[np.float32],
    by_meaning: NDArray[np.float32],
    passing: Mask,
    most: int,
) -> Rows:
    """Choose the passing positions that promise most, or stand next to those with the words."""
    chosen = _top(by_words + np.maximum(by_meaning, 0), passing, most)
    beside = _around(view, _top(by_words, by_words > 0, most // 4))
    return _distinct(view, [chosen, beside[passing[beside]]])


def _top(promise: NDArray[np.float32], allowed: Mask, most: int) -> Rows:
    """Give the allowed positions that promise most, in any order."""
    # Of many, those lie in the runs whose best promise most; so most are never sorted.
    runs = len(promise) // _RUN
    if runs > 4 * most:
        scores = np.where(allowed, promise, np.float32(-1))
        peaks = scores[: runs * _RUN].reshape(runs, _RUN).max(axis=1)
        best = np.argpartition(peaks, runs - most)[-most:]
        places = (best[:, np.newaxis] * _RUN + np.arange(_RUN)).ravel()
        places = np.concatenate([places, np.arange(runs * _RUN, len(promise))])
        places = places[allowed[places]]
    else:
        places = np.flatnonzero(allowed)
    if len(places) <= most:
        return places
    best = np.argpartition(promise[places], len(places) - most)[-most:]
    found: Rows = places[best]
    return found


def _around(view: _View, positions: Rows) -> Rows:
    """Give positions and those of the rows up to two before and after them, in order."""
    found = [positions]
    for column in (view.shelf.previous, view.shelf.following):
        step = positions
        for _ in range(2):
            step = view.positions(column.array[view.at(step)].astype(np.int64))
            step = step[step != NONE]
            found.append(step)
    return _distinct(view, found)


def _distinct(view: _View, found: Sequence[Rows]) -> Rows:
    """Give the positions of several lists once, in order; ten times as fast as `np.unique`."""
    marked = np.zeros(view.count, np.bool_)
    for positions in found:
        marked[positions] = True
    return np.flatnonzero(marked)


def _places(
    view: _View, column: Column, rows: Rows, place_of: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Give the places of rows' neighbours, NONE where they are not among those looked at."""
    positions = view.positions(column.array[rows].astype(np.int64))
    found: NDArray[np.int32] = np.where(positions == NONE, NONE, place_of[positions])
    return found.astype(np.int32)


def _speaks(view: _View, terms: Sequence[str], positions: Rows) -> Mask:
    """Tell where the query names the one who speaks."""
    shelf = view.shelf
    known = len(shelf.facet_values)
    named = [shelf.facets.get(facets.facet(facets.SPEAKER, term)) for term in terms]
    numbers = [number for number in named if number is not None and number < known]
    mask: Mask = np.zeros(len(positions), np.bool_)
    if numbers:
        wanted = np.zeros(known, np.uint8)
        wanted[np.array(numbers, np.int64)] = 1
        mask[shelf.tags.among(wanted, view.at(positions)).rows] = True
    return mask


def _find_dialogues(view: _View, probe: Probe) -> list[Hit]:
    """Find dialogues by their labels and by their messages; the best of both counts."""
    shelf = view.shelf
    conditions = probe.conditions
    allowed = view.of_kind(DIALOGUE) & _mask(view, conditions, DIALOGUE)
    own_positions = np.flatnonzero(allowed)
    owners = view.take(shelf.owner)
    own_rows = np.full(len(shelf.owner_names), NONE)
    own_rows[owners[own_positions]] = view.at(own_positions)
    heard = view.of_kind(MESSAGE) & (own_rows[owners] != NONE)
    if conditions.has_image:
        heard &= view.take(shelf.image)
    speaking = np.zeros(len(own_rows), np.bool_)
    speaking[owners[heard]] = True
    wanted = min(probe.limit, int(np.count_nonzero(speaking)))
    most = CANDIDATES
    while True:  # the best messages can all be of a few dialogues
        said = _rank(view, probe, MESSAGE, heard, most)
        if len(np.unique(said.owners)) >= wanted:
            break
        most *= 8
    labels = _rank(view, probe, DIALOGUE, allowed, max(CANDIDATES, probe.limit))
    return best_dialogues(
        said,
        labels,
        Dialogues(
            shelf.created.array[own_rows],
            own_rows,
            lambda number: shelf.place(int(own_rows[number])),
        ),
        limit=probe.limit,
        by_messages_only=bool(conditions.has_image),
    )
