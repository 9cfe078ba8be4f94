"""What the analyser knows about English: small words, contractions, irregular forms."""

from typing import Final

_SMALL = """
a about after again all also although always am an and another any anybody anyone anything are
as at be because been before being both but by can could did do does doing done each either
else ever every everybody everyone everything few for from get gets getting got had has have
having he her here hers herself him himself his i if im in into is it its itself ive just let
lets like many me might mine more most much must my myself neither no nobody none nor not
nothing of off oh ok okay on one ones only onto or other others our ours ourselves out over own
please quite rather really same shall she should since so some somebody someone something such
than that thats the their theirs them themselves then there theres these they theyre thing
things this those though through to too under until up upon us very was we were whether while
will with within without would yeah yes yet you youre your yours yourself yourselves youve
"""
_ASKING = "how what whats when whens where wheres which who whos whom whose why"
_NEGATABLE = "ai are ca could did does do had has have is must need sha should was were wo would"

#: Words that say little about what a text is about. A question is asked without them, unless it
#: has no others. "May" is not here: it is a month.
STOP_WORDS: Final = frozenset(_SMALL.split())

#: Words that ask. They stand in nearly every question and hardly in its answer.
QUESTION_WORDS: Final = frozenset(_ASKING.split())

#: What is left of a negation in front of "n't", where that is no word of its own.
NEGATED: Final = {"ca": "can", "wo": "will", "sha": "shall", "ai": "is"}

#: Negations that people write without the apostrophe.
UNMARKED_NEGATIONS: Final = {base + "nt": base for base in _NEGATABLE.split()}

#: Irregular form -> the form that a question is likely to use.
IRREGULAR: Final = {
    form: lemma
    for lemma, forms in {
        "become": "became",
        "begin": "began begun",
        "break": "broke broken",
        "bring": "brought",
        "build": "built",
        "buy": "bought",
        "catch": "caught",
        "child": "children",
        "choose": "chose chosen",
        "come": "came",
        "draw": "drew drawn",
        "drink": "drank drunk",
        "drive": "drove driven",
        "eat": "ate eaten",
        "fall": "fell fallen",
        "feel": "felt",
        "fight": "fought",
        "find": "found",
        "fly": "flew flown",
        "foot": "feet",
        "forget": "forgot forgotten",
        "freeze": "froze frozen",
        "give": "gave given",
        "go": "went gone goes",
        "grow": "grew grown",
        "hear": "heard",
        "hide": "hid hidden",
        "hold": "held",
        "keep": "kept",
        "know": "knew known",
        "lead": "led",
        "leave": "left",
        "lend": "lent",
        "lose": "lost",
        "make": "made",
        "man": "men",
        "mean": "meant",
        "meet": "met",
        "mouse": "mice",
        "pay": "paid",
        "person": "people",
        "ride": "rode ridden",
        "rise": "rose risen",
        "run": "ran",
        "say": "said",
        "see": "saw seen",
        "sell": "sold",
        "send": "sent",
        "sing": "sang sung",
        "sit": "sat",
        "sleep": "slept",
        "speak": "spoke spoken",
        "spend": "spent",
        "stand": "stood",
        "steal": "stole stolen",
        "swim": "swam swum",
        "take": "took taken",
        "teach": "taught",
        "tell": "told",
        "think": "thought",
        "throw": "threw thrown",
        "tooth": "teeth",
        "understand": "understood",
        "wake": "woke woken",
        "wear": "wore worn",
        "wife": "wives",
        "win": "won",
        "woman": "women",
        "write": "wrote written",
    }.items()
    for form in forms.split()
}
