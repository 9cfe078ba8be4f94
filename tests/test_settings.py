"""Settings: where they come from, what wins, and what is said of bad ones."""

import io
import re
import tempfile
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from rich.console import Console
from typer.main import get_command

from dialoguedb.cli.main import app
from dialoguedb.errors import AdminError
from dialoguedb.models.limits import Limits
from dialoguedb.settings import (
    FILE_ONLY,
    PREFIX,
    SECRETS,
    Settings,
    SummaryTemplate,
    help_of,
    is_file,
    load,
    path_of,
    state_folder,
    tiktoken_folder,
    without_password,
)

ROOT = Path(__file__).parent.parent
NAMES = Settings.__struct_fields__
#: Those that can be told in each way.
SIMPLE = [name for name in NAMES if name not in FILE_ONLY]
#: Three other values than the default for each setting, as texts: file, environment, flag.
VALUES: dict[type, tuple[str, str, str]] = {
    int: ("11", "12", "13"),
    float: ("1.5", "2.5", "3.5"),
    str: ("one", "two", "three"),
}
#: The same for settings that take only some texts.
FORMS: dict[str, tuple[str, str, str]] = {
    "embedder": ("openai:a", "fastembed:b/c", "sentence-transformers:d"),
    "llm": ("openai:a", "openai:b/c", "openai:d:8b"),
    "llm_url": ("http://a", "https://b:1/v1", "http://[::1]:2/v1/"),
    "embedder_url": ("http://a", "https://b:1/v1", "http://[::1]:2/v1/"),
    "replica": (
        "postgresql://a/b",
        "postgres://c:1,d:2/e",
        "postgresql://u@[::1]/f?sslmode=require",
    ),
}


def kind_of(name: str) -> type:
    """The Python type of a setting's default, or str for one that may be absent."""
    default = getattr(Settings(), name)
    return str if default is None else type(default)


def values_of(name: str) -> tuple[Any, Any, Any]:
    """What the file, the environment and a flag say in these tests, as Python values."""
    hint = get_type_hints(Settings)[name]
    if name in FORMS:
        return FORMS[name]
    if name == "cors_origin":
        return ("https://a",), ("https://b", "https://c"), ("https://d",)
    if kind_of(name) is bool:
        return (not getattr(Settings(), name),) * 3
    if all(isinstance(choice, str) for choice in get_args(hint)) and get_args(hint):
        choices = get_args(hint)
        return choices[-1], choices[0], choices[1]
    kind = float if name == "rate_limit" else kind_of(name)
    file, env, flag = VALUES[kind]
    return kind(file), kind(env), kind(flag)


def toml_of(name: str, value: Any) -> str:
    return f"{name} = {msgspec.json.encode(value).decode()}\n"


def text_of(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize("name", SIMPLE)
def test_a_flag_wins_over_a_variable_and_a_variable_over_the_file(
    name: str, tmp_path: Path
) -> None:
    """Each place alone works, and what is said nowhere is the default."""
    file, env, flag = values_of(name)
    config = tmp_path / "settings.toml"
    config.write_text(toml_of(name, file))
    environ = {PREFIX + name.upper(): text_of(env)}
    assert getattr(load({}, environ={}), name) == getattr(Settings(), name)
    assert getattr(load({}, config=config, environ={}), name) == file
    assert getattr(load({}, environ=environ), name) == env
    assert getattr(load({name: flag}, environ={}), name) == flag
    assert getattr(load({}, config=config, environ=environ), name) == env
    assert getattr(load({name: flag}, config=config, environ=environ), name) == flag
    assert getattr(load({name: None}, config=config, environ=environ), name) == env


def test_the_places_are_brought_together_setting_by_setting(tmp_path: Path) -> None:
    """One flag does not hide what the file says of something else."""
    config = tmp_path / "settings.toml"
    config.write_text('port = 1\nhost = "::1"\nlog_level = "error"\n')
    got = load({"port": 3}, config=config, environ={"DIALOGUEDB_HOST": "127.0.0.2"})
    assert (got.port, got.host, got.log_level) == (3, "127.0.0.2", "error")


def test_an_empty_variable_counts_as_absent(tmp_path: Path) -> None:
    """As containers set it."""
    config = tmp_path / "settings.toml"
    config.write_text("port = 1\n")
    environ = {PREFIX + name.upper(): "" for name in NAMES}
    assert load({}, environ=environ) == Settings()
    assert load({}, config=config, environ=environ).port == 1


def test_other_variables_are_no_settings() -> None:
    """Neither those of other programs nor unknown ones with our prefix."""
    assert load({}, environ={"PORT": "1", "DIALOGUEDB_NONSENSE": "1"}) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("port", "x", "int"),
        ("port", "-1", "0"),
        ("port", "65536", "65535"),
        ("port", "1.5", "int"),
        ("rate_limit", "-1", "0"),
        ("rate_limit", "many", "float"),
        ("rate_limit", "nan", "0"),
        ("rate_burst", "0", "1"),
        ("metrics_public", "perhaps", "true or false"),
        ("access_log", "2", "true or false"),
        ("unknown_fields", "keep", "reject, ignore"),
        ("log_level", "loud", "debug, info, warning, error"),
        ("embedder", "none", "static or openai:MODEL or sentence-transformers:MODEL"),
        ("embedder", "openai:", "openai:MODEL"),
        ("embedder", "static:x", "static or"),
        ("embedder_url", "host/v1", "https://HOST/v1"),
        ("embedder_url", "ftp://host", "https://HOST/v1"),
        ("embedder_url", "https://u:p@host", "https://HOST/v1"),
        ("embedder_url", "https://host?k=p", "https://HOST/v1"),
        ("llm", "builtin", "openai:MODEL"),
        ("llm", "openai:", "openai:MODEL"),
        ("llm", "openai:a b", "openai:MODEL"),
        ("llm_url", "https://u:p@host", "https://HOST/v1"),
        ("llm_key", "sk one", "character"),
        ("llm_timeout_seconds", "601", "600"),
        ("embedder_key", "sk one", "character"),
        ("embedder_key", "sk-one\n", "character"),
        ("embedder_timeout_seconds", "0", "1"),
        ("embedder_timeout_seconds", "601", "600"),
        ("max_batch_messages", "0", "1"),
        ("max_batch_messages", "1001", "1000"),
        ("max_content_bytes", "0", "1"),
        ("max_image_parts", "-1", "0"),
        ("shutdown_seconds", "0", "1"),
        ("workers", "0", "1"),
        ("workers", "65", "64"),
        ("db_connections", "1", "2"),
        ("db_timeout_seconds", "0", "1"),
        ("replica", "standby.db", "postgresql://user@host/name"),
        ("replica", "http://host", "postgresql://user@host/name"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_setting(name: str, text: str, said: str) -> None:
    """The message names the setting and says what would do; nothing of the library shows."""
    with pytest.raises(AdminError) as caught:
        load({}, environ={PREFIX + name.upper(): text})
    message = caught.value.message
    assert message.startswith(f"setting {name}: ")
    assert said in message
    assert not re.search(r"[`$]|msgspec|Literal", message)
    with pytest.raises(AdminError, match=f"setting {name}: "):
        load({name: text}, environ={})


def test_a_rate_limit_is_a_number_of_requests() -> None:
    """Without an end it is no limit, and 0 says that already."""
    with pytest.raises(AdminError, match="setting rate_limit: "):
        load({}, environ={"DIALOGUEDB_RATE_LIMIT": "inf"})


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('port = "x"', "port"),
        ("port = [1]", "port"),
        ("host = 1", "host"),
        ("port = 2020-01-01", "port"),
        ("cors_origin = [1]", "cors_origin"),
        ('metrics_public = "perhaps"', "metrics_public"),
        ("db = {}", "db"),
    ],
)
def test_a_bad_value_of_the_file_is_refused_by_its_name(
    line: str, name: str, tmp_path: Path
) -> None:
    """As one of a variable is."""
    config = tmp_path / "settings.toml"
    config.write_text(line)
    with pytest.raises(AdminError, match=f"^setting {name}: .*[a-z]{{3}}"):
        load({}, config=config, environ={})


def test_an_unknown_key_of_the_file_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    """A setting that is misspelled is not silently ignored."""
    config = tmp_path / "settings.toml"
    config.write_text("prot = 1\n")
    with pytest.raises(AdminError) as caught:
        load({}, config=config, environ={})
    assert "prot" in caught.value.message
    assert str(config) in caught.value.message
    assert all(name in caught.value.message for name in NAMES)


@pytest.mark.parametrize("data", [b"port = ", b"port 1", b"\xff\xfe", b"port = 1\nport = 2"])
def test_a_file_that_is_no_toml_is_refused_by_its_name(data: bytes, tmp_path: Path) -> None:
    """Also one that is no UTF-8, or says a thing twice."""
    config = tmp_path / "settings.toml"
    config.write_bytes(data)
    with pytest.raises(AdminError, match=f"{re.escape(str(config))} is not valid TOML"):
        load({}, config=config, environ={})


def test_a_file_that_cannot_be_read_is_refused_by_its_name(tmp_path: Path) -> None:
    """It is missing, or a directory."""
    for path in (tmp_path / "missing.toml", tmp_path):
        with pytest.raises(AdminError, match=f"{re.escape(str(path))} cannot be read"):
            load({}, config=path, environ={})


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_no_message_shows_a_key(name: str) -> None:
    """Even where another setting is wrong."""
    with pytest.raises(AdminError) as caught:
        load({}, environ={PREFIX + name.upper(): "skv1_secret", "DIALOGUEDB_PORT": "x"})
    assert "secret" not in caught.value.message


def test_a_key_that_cannot_be_one_is_refused_without_showing_it() -> None:
    with pytest.raises(AdminError) as caught:
        load({}, environ={"DIALOGUEDB_EMBEDDER_KEY": "my secret"})
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_key_is_not_shown_with_the_settings(name: str) -> None:
    """Everything else is; rich shows no more than `repr`."""
    settings = load({}, environ={PREFIX + name.upper(): "sk-hidden", "DIALOGUEDB_PORT": "1"})
    console = Console(file=io.StringIO(), record=True)
    console.print(settings)
    for shown in (repr(settings), str(settings), console.export_text()):
        assert "hidden" not in shown
        assert f"{name}='***'" in shown
        assert "port=1" in shown


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://u:hidden@h:5432/d", "postgresql://u:***@h:5432/d"),
        ("postgres://u:hid%40den@h:1,h2:2/d?sslmode=x", "postgres://u:***@h:1,h2:2/d?sslmode=x"),
        ("postgresql://u:hid/den@hidden@h/d", "postgresql://u:***@h/d"),
        ("postgresql://h/d?user=u&password=hidden&a=b", "postgresql://h/d?user=u&password=***&a=b"),
        ("postgresql:///d?sslpassword=hidden", "postgresql:///d?sslpassword=***"),
        ("postgresql://u@h:5432/d?options=a@b", "postgresql://u@h:5432/d?options=a@b"),
        ("postgresql://[::1]:5432/d", "postgresql://[::1]:5432/d"),
        ("a:b@c.db", "a:b@c.db"),
        ("sqlite:///a:b@c.db", "sqlite:///a:b@c.db"),
    ],
)
def test_an_address_is_shown_without_its_password(address: str, shown: str) -> None:
    """Also one that was not percent-encoded; a file's name is shown as it is."""
    assert without_password(address) == shown
    console = Console(file=io.StringIO(), record=True, width=2000)
    for settings in (Settings(db=address), Settings(replica=address)):
        console.print(settings)
        assert shown in repr(settings)
        assert "hidden" not in repr(settings) + str(settings) + console.export_text()


@pytest.mark.parametrize(
    ("db", "path"),
    [("chat.db", "chat.db"), ("sqlite:///chat.db", "chat.db"), ("sqlite:////a/b", "/a/b")],
)
def test_a_database_without_another_scheme_is_a_file(db: str, path: str) -> None:
    """With its path as it is written, or after `sqlite:///`."""
    assert is_file(db)
    assert path_of(db) == Path(path)
    assert not is_file("postgresql:///chat")
    assert not is_file("mysql://chat")


def test_a_key_is_for_a_file() -> None:
    """PostgreSQL's disks are its own affair; nothing that was asked for is left out silently."""
    with pytest.raises(AdminError, match="--db-key-file encrypts a file"):
        load({"db": "postgresql://h/d", "db_key_file": "key"}, environ={})
    assert load({"db": "sqlite:///d", "db_key_file": "key"}, environ={}).db_key_file == "key"


def test_what_has_no_file_beside_it_is_kept_in_a_state_folder() -> None:
    """As the XDG base directory specification says: only an absolute path counts."""
    own = Path.home() / ".local" / "state" / "dialoguedb"
    assert state_folder({}) == own
    assert state_folder({"XDG_STATE_HOME": "relative"}) == own
    assert state_folder({"XDG_STATE_HOME": "/var/lib"}) == Path("/var/lib/dialoguedb")


def test_the_folder_of_tiktoken_is_found_as_tiktoken_finds_it() -> None:
    """By its own two variables, else where files are temporary; an empty one is none."""
    usual = Path(tempfile.gettempdir()) / "data-gym-cache"
    assert tiktoken_folder({}) == usual
    assert tiktoken_folder({"DATA_GYM_CACHE_DIR": "/old"}) == Path("/old")
    assert tiktoken_folder({"DATA_GYM_CACHE_DIR": "/old", "TIKTOKEN_CACHE_DIR": "/t"}) == Path("/t")
    assert tiktoken_folder({"TIKTOKEN_CACHE_DIR": ""}) is None


def test_origins_are_separated_by_commas_in_a_variable() -> None:
    """A flag is repeated, a file has an array."""
    environ = {"DIALOGUEDB_CORS_ORIGIN": "https://a.example,https://b.example"}
    assert load({}, environ=environ).cors_origin == ("https://a.example", "https://b.example")


def test_the_limits_of_requests_are_settings() -> None:
    """Each field of `Limits` is one, and their defaults agree."""
    assert Settings().limits == Limits()
    assert set(Limits.__struct_fields__) - {"templates"} <= set(NAMES)
    changed = Settings(
        max_batch_messages=1,
        max_content_bytes=2,
        max_image_bytes=3,
        max_image_parts=4,
        summary_templates={"b": SummaryTemplate(prompt="x"), "a": SummaryTemplate(prompt="y")},
    )
    assert changed.limits == Limits(1, 2, 3, 4, ("a", "b"))


# ── documented, and offered ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_documented(name: str) -> None:
    """With its variable, its default and its meaning."""
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
    assert (f"`{PREFIX}{name.upper()}`" in row) == (name in SIMPLE)
    assert help_of(name) in row
    default = getattr(Settings(), name)
    if default not in (None, (), {}):
        assert f"`{msgspec.json.encode(default).decode()}`" in row


def options() -> dict[str, Any]:
    command = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    return {option.name: option for option in command.params}


@pytest.mark.parametrize("name", [name for name in SIMPLE if name not in SECRETS])
def test_every_setting_is_an_option_of_serve(name: str) -> None:
    """With the same name, the setting's own description, and the setting's own default."""
    option = options()[name]
    assert "--" + name.replace("_", "-") in option.opts
    assert option.help == help_of(name)
    assert option.default is None
    default = getattr(Settings(), name)
    shown = "on" if default is True else str(default or 0)
    if option.show_default:
        assert option.show_default == shown
    else:
        assert not default


def test_no_key_is_an_option_of_serve() -> None:
    """It would stand in the list of processes; every other option is a setting."""
    assert not SECRETS & set(options())
    assert set(options()) - {"config", "help"} == set(SIMPLE) - SECRETS


# ── templates of summaries ───────────────────────────────────────────────────────────────────


def templates_of(text: str, tmp_path: Path, *, llm: str | None = "openai:small") -> Settings:
    config = tmp_path / "settings.toml"
    first = f'llm = "{llm}"\n' if llm else ""
    config.write_text(first + text)
    return load({}, config=config, environ={})


def test_templates_are_tables_of_the_file(tmp_path: Path) -> None:
    text = """
[summary_templates.decisions]
prompt = "Only decisions."

[summary_templates.hand-over_2]
prompt = "For a colleague."
provider = "openai"
model = "big"
max_tokens = 400
"""
    settings = templates_of(text, tmp_path)
    assert settings.summary_templates == {
        "decisions": SummaryTemplate(prompt="Only decisions."),
        "hand-over_2": SummaryTemplate(
            prompt="For a colleague.", provider="openai", model="big", max_tokens=400
        ),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[summary_templates.Bad]\nprompt = 'x'", "summary_templates.Bad: .*a-z"),
        ('[summary_templates."a b"]\nprompt = "x"', "summary_templates.a b: "),
        (f"[summary_templates.{'a' * 65}]\nprompt = 'x'", "1 to 64"),
        ("[summary_templates.a]\nprompt = ''", "summary_templates.a.prompt: .*not empty"),
        ("[summary_templates.a]\nprompt = ' '", "summary_templates.a.prompt: .*not empty"),
        ("[summary_templates.a]\nmodel = 'x'", "summary_templates.a: .*prompt"),
        ("[summary_templates.a]\nprompt = 1", "summary_templates.a.prompt: expected str"),
        ("[summary_templates.a]\nprompt = 'x'\nprovider = 'acme'", "a.provider: .*builtin, openai"),
        ("[summary_templates.a]\nprompt = 'x'\nmax_tokens = 0", "a.max_tokens: .*16"),
        ("[summary_templates.a]\nprompt = 'x'\nlength = 3", "a: .*length.*known: prompt"),
        ("summary_templates = 3", "summary_templates: use tables"),
        ("[summary_templates]\na = 3", "summary_templates.a: expected object"),
    ],
)
def test_a_bad_template_is_refused_by_its_name(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(AdminError, match=f"^setting .*{said}") as caught:
        templates_of(text, tmp_path)
    assert not re.search(r"[`$]|msgspec", caught.value.message)


@pytest.mark.parametrize("line", ["provider = 'openai'", "model = 'big'"])
def test_a_template_asks_no_model_where_none_is_set(line: str, tmp_path: Path) -> None:
    """Nothing calls out unless `llm` says so."""
    text = f"[summary_templates.a]\nprompt = 'x'\n{line}\n"
    with pytest.raises(AdminError, match=r"summary_templates\.a: .*llm is not set"):
        templates_of(text, tmp_path, llm=None)
    assert templates_of(text, tmp_path).summary_templates


def test_templates_come_from_no_variable_and_no_flag() -> None:
    settings = load({"summary_templates": {"a": 1}}, environ={"DIALOGUEDB_SUMMARY_TEMPLATES": "x"})
    assert settings == Settings()
