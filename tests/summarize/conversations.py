"""Conversations for these tests, and a counter of tokens that needs no data."""

import re
from typing import Final

from dialoguedb.summarize import Turn

DAY_MS: Final = 86_400_000
#: 2025-03-14, 09:00 UTC.
START_MS: Final = 1_741_942_800_000

_PIECE = re.compile(r"\w{1,5}|[^\w\s]|\n")


class Pieces:
    """Counts pieces of words, signs and line breaks: a whole costs more than its parts."""

    name = "pieces"
    exact = False

    def count(self, text: str) -> int:
        return len(_PIECE.findall(text))


def turns_of(text: str) -> list[Turn]:
    """Read lines such as `ada: My wheel is bent.`; `---` begins the next day."""
    made: list[Turn] = []
    day = 0
    for line in text.strip().splitlines():
        if line.strip() == "---":
            day += 1
            continue
        role, _, said = line.strip().partition(": ")
        made.append(Turn("user", role, said, START_MS + day * DAY_MS + len(made) * 1000))
    return made


WORKSHOP = turns_of(
    """
    Ada: Hi! Good to see you.
    Ben: Hey, good to see you too! How are you?
    Ada: My bicycle's front wheel is bent after I hit a kerb on Station Road.
    Ben: Oh no. Are you hurt?
    Ada: No, I'm fine, thanks.
    Ben: Which rim is it?
    Ada: It's a Mavic Open Pro with 32 spokes, bought in 2019.
    Ben: Straightening it costs 45 euros, and a new wheel costs 180 euros.
    Ada: Hmm. That's a lot. Would the old one last?
    Ben: It'd last a season at most, because the rim has a crack near the valve.
    Ada: OK, let's order the new wheel then.
    Ben: Great! I've ordered it from the warehouse in Utrecht.
    ---
    Ben: Good morning! The wheel has arrived.
    Ada: Wow, that was quick! Thanks so much!
    Ben: You're welcome. When do you want to pick it up?
    Ada: Friday at 5 pm.
    Ben: We close at 4 pm on Fridays.
    Ada: Then I'll come on Saturday at noon and bring my son's bicycle too.
    Ben: Perfect. See you on Saturday!
    Ada: See you!
    """
)
