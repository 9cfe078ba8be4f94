"""Summaries of conversations: by a built-in summariser, or by a language model that is set.

- **Given**: a `Source`: turns, the content of the summary that this one builds on, how long.
- **Gives**: a `Result`. Its content begins with the earlier one, byte for byte, so that nothing
  that was kept is lost however often a conversation is summarised.
- **Built in** (`extractive`): sentences of the conversation itself. `sentences` cuts turns,
  `cues` and `salience` weigh, `choosing` takes.
- **A language model** (`llm`): behind an OpenAI-compatible endpoint.
- **Pure**: no store, no engine, no clock. Whoever calls decides when to try again.
"""

from dialoguedb.summarize.protocol import (
    Answers,
    Interrupted,
    Result,
    Source,
    Summarizer,
    SummarizerRefused,
    SummarizerUnavailable,
    Turn,
    Usage,
)

__all__ = [
    "Answers",
    "Interrupted",
    "Result",
    "Source",
    "Summarizer",
    "SummarizerRefused",
    "SummarizerUnavailable",
    "Turn",
    "Usage",
]
