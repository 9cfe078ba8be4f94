"""Choosing a summariser by settings and template."""

import subprocess
import sys

import pytest

from dialoguedb.errors import AdminError
from dialoguedb.settings import Settings, SummaryTemplate
from dialoguedb.summarize.opening import Wanted, open_summarizer, wanted
from summarize.conversations import Pieces

WITH_LLM = Settings(llm="openai:small:8b", llm_url="http://a/v1", llm_key="k")


def test_without_a_setting_the_built_in_one_serves() -> None:
    summarizer = open_summarizer(wanted(Settings()), Pieces())
    assert (summarizer.provider, summarizer.model) == ("builtin", "extractive-1")
    template = SummaryTemplate(prompt="x", max_tokens=20)
    assert wanted(Settings(), template) == Wanted("builtin")


@pytest.mark.parametrize(
    ("template", "provider", "model"),
    [
        (None, "openai", "small:8b"),
        (SummaryTemplate(prompt="x"), "openai", "small:8b"),
        (SummaryTemplate(prompt="x", model="big"), "openai", "big"),
        (SummaryTemplate(prompt="x", provider="openai"), "openai", "small:8b"),
        (SummaryTemplate(prompt="x", provider="builtin"), "builtin", None),
    ],
)
def test_a_template_goes_before_the_settings(
    template: SummaryTemplate | None, provider: str, model: str | None
) -> None:
    chosen = wanted(WITH_LLM, template)
    assert (chosen.provider, chosen.model) == (provider, model)
    if provider == "openai":
        assert chosen[2:] == ("http://a/v1", "k", 60)


def test_another_provider_is_refused_with_those_that_there_are() -> None:
    for choice in (Wanted("acme", "x"), Wanted("openai", None)):
        with pytest.raises(AdminError, match="known: builtin, openai:MODEL"):
            open_summarizer(choice, Pieces())


def test_without_its_package_the_message_says_how_to_install_it() -> None:
    """In a process of its own, in which there is none."""
    program = """
import sys
sys.modules["openai"] = None
from dialoguedb.errors import AdminError
from dialoguedb.summarize.opening import Wanted, open_summarizer
try:
    open_summarizer(Wanted("openai", "small"), None)
except AdminError as error:
    print(error.message)
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "pip install 'dialoguedb[llm]'" in run.stdout, run.stderr


def test_the_built_in_one_loads_no_client_of_models() -> None:
    program = """
import sys
from dialoguedb.summarize.opening import Wanted, open_summarizer
open_summarizer(Wanted(), None)
assert not {"openai", "httpx2"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
