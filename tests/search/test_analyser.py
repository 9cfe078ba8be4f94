"""The analyser: what terms a text gives, and what questions find it (contract 8.7)."""

import random
import threading
import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialoguedb.search import analyser
from dialoguedb.search.analyser import MAX_QUERY_TERMS, MAX_TERM_CHARACTERS, query_terms, terms

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=200)
LETTERS = st.characters(exclude_categories=["Cs"])
SAMPLES = """
The don't Caroline's 3.14 1,000 2025-03-15 10:30am v1.2.3 ada@example.com C++ .NET #fun @ada
https://example.com/a?b=c snake_case camelCase error-42 U.S.A. O'Brien 世界 東京タワー ข้าวผัด
학교에서 مُحَمَّد שָׁלוֹם हिन्दी Ёлка 🍕 👩🏽‍🚀 🇪🇪 naïve STRASSE ﬁne and/or (hello) wait...what
"""
WORDS = st.sampled_from(SAMPLES.split())
TEXTS = st.text(LETTERS, max_size=60) | st.lists(WORDS, max_size=12).map(" ".join)


def finds(question: str, text: str) -> bool:
    """Whether every term of the question is a term of the text."""
    asked = query_terms(question)
    return bool(asked) and set(asked) <= set(terms(text))


def touches(question: str, text: str) -> bool:
    return not set(query_terms(question)).isdisjoint(terms(text))


# ── words ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("   \n\t ", []),
        ("Painting paints PAINTED", ["paint", "paint", "paint"]),
        ('"Hello," (world)! *bold* what?', ["hello", "world", "bold", "what"]),
        ("wait...what—now", ["wait", "what", "now"]),
        ("went gone goes going", ["go", "go", "go", "go"]),
        ("children's feet", ["child", "foot"]),
        ("don't don\u2019t dont DON'T", ["do", "not"] * 4),
        ("can't won't isn't", ["can", "not", "will", "not", "is", "not"]),
        ("it's I'm we'll they've you'd we're", ["it", "i", "we", "they", "you", "we"]),
        ("Caroline's Caroline\u2019s dogs'", ["carolin", "carolin", "dog"]),
        ("O'Brien", ["obrien", "brien"]),
        ("l'homme", ["lhomm", "homm"]),
        ("Café CAFE\u0301 naïve", ["cafe", "cafe", "naiv"]),
        ("STRASSE straße", ["strass", "strass"]),
        ("İstanbul Łódź Søren", ["istanbul", "lodz", "soren"]),
        ("Ёлка ёлка Ωμέγα", ["елка", "елка", "ωμεγα"]),
        ("\uff26\uff55ll ﬁne", ["full", "fine"]),
        ("foo™ bar®", ["foo", "bar"]),
        ("a\x00b\x01c\u200bd", ["a", "b", "c", "d"]),
        ("soft\u00adhyphen", ["softhyphen"]),
        ("U.S.A. e.g. p.m.", ["usa", "eg", "pm"]),
    ],
)
def test_words_lose_case_accents_endings_and_punctuation(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3.14", ["3.14"]),
        ("1,000", ["1000"]),
        ("1,000,000.50", ["1000000.50"]),
        ("$100, 50% -5", ["100", "50", "5"]),
        ("2025-03-15", ["2025-03-15", "2025", "03", "15"]),
        ("10:30", ["10:30", "10", "30"]),
        (
            "2025-03-15T10:30",
            ["2025-03-15t10:30", "2025-03-15", "2025", "03", "15", "10", "30"],
        ),
        ("10:30am", ["10:30am", "10:30", "am"]),
        ("5km 1990s", ["5km", "5", "km", "1990s", "1990"]),
        ("v1.2.3", ["v1.2.3", "1.2.3", "1", "2", "3"]),
        ("٣ ३ \uff13", ["3", "3", "3"]),
    ],
)
def test_numbers_are_kept_whole(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C++ C# .NET", ["c++", "c", "c#", "c", ".net", "net"]),
        ("#fun @alice", ["#fun", "fun", "@alice", "alic"]),
        ("snake_case", ["snakecas", "snake", "case"]),
        ("HTTPServer", ["httpserver", "http", "server"]),
        ("error-42 GPT-4 gpt4", ["error42", "error", "42", *["gpt4", "gpt", "4"] * 2]),
        ("AT&T", ["at&t", "at", "t"]),
        ("and/or", ["and/or", "and", "or"]),
        (
            "ada.b@example.com",
            ["ada.b@example.com", "ada.b", "ada", "example.com", "exampl", "com"],
        ),
        (
            "/usr/bin/run.py",
            ["usr/bin/run.py", "usr", "bin", "run.py", "run", "py"],
        ),
        (
            "(https://example.com/a?q=1).",
            [
                "https",
                "example.com/a?q=1",
                "example.com/a",
                "example.com",
                "exampl",
                "com",
                "a",
                "q",
                "1",
            ],
        ),
    ],
)
def test_addresses_and_identifiers_are_kept_whole_and_in_parts(
    text: str, expected: list[str]
) -> None:
    assert terms(text) == expected


def test_stems_are_those_of_this_version() -> None:
    """Where a new stemmer gives others, `VERSION` has to grow: indexes hold these."""
    words = "geologist evening succeeded universities generously hopping news skies dying happily"
    stems = "geolog evening succeed universiti generous hop news sky die happili"
    assert terms(words) == stems.split()


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("The snake_case name", "snakeCase"),
        ("an e-mail", "email"),
        ("an e-mail", "E-Mails"),
        ("the error42", "error-42"),
        ("I do not know", "don't know"),
        ("I don't know", "dont know"),
        ("made in the USA", "U.S.A."),
        ("it costs 1000", "1,000"),
        ("see https://example.com/docs", "example.com/docs"),
        ("mail ada@example.com now", "example.com"),
        ("mail ada@example.com now", "Ada"),
        ("in src/main/app.py", "app.py"),
        ("on 2025-03-15 we met", "2025"),
        ("they bought shoes", "what did they buy"),
        ("\u0645\u0643\u062a\u0628\u0629", "\u0645\u0643\u062a\u0628\u0647"),  # library
        ("كتاب أحمد", "احمد"),
        ("مُحَمَّد", "محمد"),
        ("محـــمد", "محمد"),
        ("שָׁלוֹם", "שלום"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u062e\u0648\u0627\u0647\u0645",
        ),  # with a joiner
        ("Hello 世界", "世界"),
        ("私は東京に住んでいます", "東京"),
        ("私は東京に住んでいます", "京"),
        ("ﾀﾜｰに行く", "タワー"),
        ("ラーメンが好き", "ラーメン"),
        ("ผมชอบกินข้าวผัดมาก", "ข้าวผัด"),
        ("ຂ້ອຍມັກເຂົ້າ", "ເຂົ້າ"),
        ("ខ្ញុំចូលចិត្តបាយ", "បាយ"),
        ("ကျွန်တော်ထမင်းကြိုက်တယ်", "ထမင်း"),
        ("학교에서 만나요", "학교"),
        ("집에 갔다", "집"),
        ("मुझे हिन्दी आती है", "हिन्दी"),
        ("iPhone15を買う", "iPhone15"),
        ("🍕🍕🎉", "🍕"),
        ("ok 👍🏽", "👍"),
        ("👩🏽‍🚀 up", "👩"),
        ("👩🏽‍🚀 up", "👩🏽‍🚀"),
        ("I ❤️ it", "❤"),
        ("go 🇪🇪!", "🇪🇪"),
    ],
)
def test_a_text_is_found_by_its_words(text: str, question: str) -> None:
    assert finds(question, text)


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("3.14", "314"),
        ("3.14", "14"),
        ("हिन्दी", "हिन्द"),
        ("大学", "学大"),
        ("🇪🇪", "🇩🇪"),
        ("café", "cane"),
    ],
)
def test_what_differs_is_another_term(text: str, question: str) -> None:
    assert not finds(question, text)


# ── questions ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What did Caroline paint?", ["carolin", "paint"]),
        ("what's the dog's name, the DOG", ["dog", "name"]),
        ("What is it?", ["what", "is", "it"]),
        ("to be or not to be", ["to", "be", "or", "not"]),
        ("in May", ["may"]),
        ("東京タワー", ["東京", "京タ", "タワ", "ワー"]),
        ("学", ["学"]),
        ("학교", ["학교"]),
        ("", []),
        ("?!", []),
    ],
)
def test_a_question_gives_distinct_terms_without_small_words(
    question: str, expected: list[str]
) -> None:
    assert query_terms(question) == expected


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ('"paint"', ["paint"]),
        ("paint*", ["paint"]),
        ("paint NEAR/2 lake", ["paint", "near/2", "near", "2", "lake"]),
        ("paint OR NOT lake", ["paint", "lake"]),
        ("col:paint", ["col:paint", "col", "paint"]),
        ("-paint ^lake", ["paint", "lake"]),
        ("paint\x00lake", ["paint", "lake"]),
        ("'; DROP TABLE x --", ["drop", "tabl", "x"]),
    ],
)
def test_the_syntax_of_query_languages_is_only_text(question: str, expected: list[str]) -> None:
    assert query_terms(question) == expected


def test_a_question_of_many_words_counts_its_first_ones() -> None:
    found = query_terms("the " + " ".join(f"word{number}x" for number in range(10_000)))
    assert len(found) == MAX_QUERY_TERMS
    assert found[0] == "word0x"


def test_a_long_token_is_found_by_itself_and_bounded() -> None:
    text = "x" * 500
    assert terms(text) == ["x" * MAX_TERM_CHARACTERS]
    assert finds(text, f"it was {text}.")


# ── properties ───────────────────────────────────────────────────────────────────────────────


@FIXED
@given(TEXTS)
def test_a_question_asks_for_terms_that_its_own_text_has(text: str) -> None:
    asked = query_terms(text)
    assert set(asked) <= set(terms(text))
    assert bool(asked) == bool(terms(text))
    assert len(asked) == len(set(asked)) <= MAX_QUERY_TERMS


@FIXED
@given(TEXTS)
def test_a_text_is_found_by_each_of_its_words(text: str) -> None:
    for word in text.split():
        if terms(word):
            assert finds(word, text)


@FIXED
@given(TEXTS, TEXTS)
def test_the_terms_of_a_text_are_those_of_its_chunks(one: str, other: str) -> None:
    assert terms(f"{one} {other}") == terms(one) + terms(other)


@FIXED
@given(TEXTS)
def test_terms_are_short_and_hold_neither_space_nor_control_characters(text: str) -> None:
    for term in terms(text):
        assert 0 < len(term) <= MAX_TERM_CHARACTERS
        assert not any(c.isspace() or unicodedata.category(c) == "Cc" for c in term)


@FIXED
@given(TEXTS)
def test_the_form_of_normalisation_does_not_count(text: str) -> None:
    # Spaces that only one form has separate in it.
    if text.split() == unicodedata.normalize("NFKC", text).split():
        assert terms(unicodedata.normalize("NFC", text)) == terms(text)
    assert terms(unicodedata.normalize("NFD", text)) == terms(unicodedata.normalize("NFC", text))


@FIXED
@given(st.text("abcstnABCSTN'.,!?*(\")-_", max_size=12))
def test_plain_words_take_a_short_cut_to_the_same_terms(chunk: str) -> None:
    assert terms(chunk) == list(analyser._analyse(chunk, analyser._singles_and_pairs))


@FIXED
@given(st.text(st.characters(min_codepoint=1, max_codepoint=0x10FFFF), max_size=40))
def test_no_text_fails(text: str) -> None:
    assert terms(text) == terms(text)
    query_terms(text)


# ── size, time, threads ──────────────────────────────────────────────────────────────────────

HARD = [
    "a", "A", "aA", "a.", "a-", "a'", "'", "1,", "1,000,", "1.", "1a", "a1", ".", "#", "+", "a+",
    "A.", "://", "http://", "ab:", "a@", "_", "世", "ข้า", "\u0e48\u0e38", "\u0315\u0300",
    "\uff9e\u0f73", "👩\u200d", "🏽", "🇪", "🏴\U000e0067", "학", "हि", "\u0627\u0654", "\x00a",
    "n't",
]  # fmt: skip


@pytest.mark.parametrize("unit", HARD)
def test_no_long_text_takes_more_than_linear_time(unit: str) -> None:
    text = "a" + unit * (60_000 // len(unit))
    begin = time.perf_counter()
    assert len(terms(text)) <= 3 * len(text)
    query_terms(text)
    # Some 0.1 s here; what is quadratic takes minutes.
    assert time.perf_counter() - begin < 10


def test_what_is_remembered_is_bounded() -> None:
    for number in range(analyser.MAX_KNOWN_CHUNKS + 100):
        terms(f"w{number}")
        assert len(analyser._known) <= analyser.MAX_KNOWN_CHUNKS
    long = "y" * (analyser.MAX_KNOWN_CHARACTERS + 1)
    terms(long)
    assert long not in analyser._known


def test_threads_get_the_same_terms() -> None:
    chunks = [f"painting{n} {'run' * (n % 7)}ning O'Brien{n}'s 世界{n} don't" for n in range(2000)]
    analyser._known.clear()
    expected = [terms(chunk) for chunk in chunks]
    analyser._known.clear()
    wrong: list[str] = []

    def work(seed: int) -> None:
        order = list(range(len(chunks)))
        random.Random(seed).shuffle(order)
        wrong.extend(chunks[n] for n in order if terms(chunks[n]) != expected[n])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
