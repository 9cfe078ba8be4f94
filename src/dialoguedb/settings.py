"""The settings of a server: defaults < TOML file < `DIALOGUEDB_*` < flags. Read once, here."""

import os
import re
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from dialoguedb.errors import AdminError, InvalidParameter
from dialoguedb.models.limits import MIB, Limits

DEFAULT_PORT = 8642
DEFAULT_DB = "dialoguedb.db"
PREFIX = "DIALOGUEDB_"
#: Where a client looks for what it was not told; the first that is set counts.
KEY_VARIABLES = ("DIALOGUE_DB_API_KEY", "DIALOGUEDB_API_KEY")
URL_VARIABLES = ("DIALOGUEDB_BASE_URL", "DIALOGUEDB_ENDPOINT")
DEFAULT_URL = f"http://127.0.0.1:{DEFAULT_PORT}"
#: Never shown, and no flags: they would stand in the list of processes.
SECRETS = frozenset({"api_key", "embedder_key", "llm_key"})
#: Tables: they have room in the file only.
FILE_ONLY = frozenset({"summary_templates"})
#: Addresses that can hold a password.
_ADDRESSES = frozenset({"db", "replica"})
_SQLITE = "sqlite:///"
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
#: As libpq's addresses have it among their parameters: `password`, `sslpassword`.
_PASSWORD = re.compile(r"(?<=password=)[^&]*", re.IGNORECASE)


class SummaryTemplate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a kind of summary is made, a table of the file: `[summary_templates.SLUG]`.

    Attributes:
        prompt: what a language model is told; the built-in summariser does not read it.
        provider: `builtin`, or `openai` as `llm` has it; that of `llm` if None.
        model: another model of the endpoint than `llm` names.
        max_tokens: what a summary may have, for what is new in it.
    """

    prompt: Annotated[str, Meta(pattern=r"\S")]
    provider: Literal["builtin", "openai"] | None = None
    model: Annotated[str, Meta(pattern=r"^\S+\Z")] | None = None
    max_tokens: Annotated[int, Meta(ge=16, le=100_000)] | None = None


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a server can be told. Each field is a flag, a variable and a key of the file."""

    db: Annotated[
        str,
        Meta(
            description="The database: a file, or the address of a PostgreSQL database, such as "
            "postgresql://user@host/name."
        ),
    ] = DEFAULT_DB
    db_key_file: Annotated[
        str | None,
        Meta(description="Encrypt the file with this key: 32 raw bytes or 64 hex digits."),
    ] = None
    replica: Annotated[
        Annotated[str, Meta(pattern=r"^postgres(ql)?://\S+\Z")] | None,
        Meta(
            examples=["postgresql://user@host/name"],
            description="The address of a read-only standby of the database, which reads go to.",
        ),
    ] = None
    db_connections: Annotated[
        int,
        Meta(
            ge=2,
            le=1000,
            description="Connections that each process has to PostgreSQL, for writing and reading.",
        ),
    ] = 8
    db_timeout_seconds: Annotated[
        int,
        Meta(
            ge=1,
            le=600,
            description="How long a request may wait for PostgreSQL before it gets 503.",
        ),
    ] = 10
    workers: Annotated[
        int,
        Meta(
            ge=1,
            le=64,
            description="Processes that serve, on one address; more than one needs PostgreSQL.",
        ),
    ] = 1
    jobs: Annotated[
        bool,
        Meta(description="Do background jobs in the server too; off where `dialoguedb work` runs."),
    ] = True
    host: Annotated[str, Meta(description="The address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65535, description="The port to listen on; 0 takes a free one.")
    ] = DEFAULT_PORT
    tls_cert: Annotated[
        str | None, Meta(description="Serve TLS with this certificate chain (PEM).")
    ] = None
    tls_key: Annotated[str | None, Meta(description="The certificate's private key (PEM).")] = None
    tls_self_signed: Annotated[
        bool,
        Meta(
            description="Serve TLS with a certificate of our own, kept beside the file, or for "
            "PostgreSQL in ~/.local/state/dialoguedb."
        ),
    ] = False
    insecure_no_tls: Annotated[
        bool, Meta(description="Allow plain HTTP on an address beyond loopback.")
    ] = False
    rate_limit: Annotated[
        float,
        Meta(
            ge=0,
            le=1_000_000,
            description="Requests per second for each key, counted by each worker for itself; 0 is "
            "no limit.",
        ),
    ] = 0
    rate_burst: Annotated[
        int, Meta(ge=1, description="Requests that a key may make at once, with a rate limit.")
    ] = 100
    cors_origin: Annotated[
        tuple[str, ...],
        Meta(description="Let pages of this origin call the server; may be repeated."),
    ] = ()
    metrics_public: Annotated[
        bool, Meta(description="Answer /metrics to callers beyond loopback too.")
    ] = False
    unknown_fields: Annotated[
        Literal["reject", "ignore"],
        Meta(description="What to do with fields of a body that are not known."),
    ] = "reject"
    max_batch_messages: Annotated[
        int, Meta(ge=1, le=1000, description="Messages in one request.")
    ] = 25
    max_content_bytes: Annotated[
        int, Meta(ge=1, description="Bytes of one message's content, inline images apart.")
    ] = 8 * MIB
    max_image_bytes: Annotated[int, Meta(ge=1, description="Bytes of one inline image.")] = 25 * MIB
    max_image_parts: Annotated[int, Meta(ge=0, description="Image parts in one message.")] = 20
    embedder: Annotated[
        str,
        Meta(
            pattern=r"^(static|(openai|sentence-transformers|fastembed):.+)\Z",
            examples=["static", "openai:MODEL", "sentence-transformers:MODEL", "fastembed:MODEL"],
            description="What makes the vectors for search: static is built in; openai:MODEL asks "
            "an OpenAI-compatible endpoint; sentence-transformers:MODEL and fastembed:MODEL need "
            "the extra of that name.",
        ),
    ] = "static"
    embedder_url: Annotated[
        Annotated[str, Meta(pattern=r"^https?://[^/?#@\s]+(/[^?#\s]*)?\Z")] | None,
        Meta(
            examples=["https://HOST/v1"],
            description="The base of the endpoint that openai:MODEL asks; OpenAI's own if absent.",
        ),
    ] = None
    embedder_key: Annotated[
        Annotated[str, Meta(pattern=r"^[!-~]+\Z")] | None,
        Meta(description="The key that openai:MODEL sends to the endpoint."),
    ] = None
    embedder_timeout_seconds: Annotated[
        int, Meta(ge=1, le=600, description="How long one request to the endpoint may take.")
    ] = 30
    llm: Annotated[
        Annotated[str, Meta(pattern=r"^openai:\S+\Z")] | None,
        Meta(
            examples=["openai:MODEL"],
            description="The language model that makes summaries: openai:MODEL asks an "
            "OpenAI-compatible endpoint, and needs the extra llm; if absent, a built-in summariser "
            "makes them and nothing leaves the machine.",
        ),
    ] = None
    llm_url: Annotated[
        Annotated[str, Meta(pattern=r"^https?://[^/?#@\s]+(/[^?#\s]*)?\Z")] | None,
        Meta(
            examples=["https://HOST/v1"],
            description="The base of the endpoint that llm asks; OpenAI's own if absent.",
        ),
    ] = None
    llm_key: Annotated[
        Annotated[str, Meta(pattern=r"^[!-~]+\Z")] | None,
        Meta(description="The key that llm sends to the endpoint."),
    ] = None
    llm_timeout_seconds: Annotated[
        int, Meta(ge=1, le=600, description="How long one request to the model may take.")
    ] = 60
    summary_templates: Annotated[
        dict[str, SummaryTemplate],
        Meta(
            description="Kinds of summaries, a table each: [summary_templates.SLUG] with prompt, "
            "and provider (builtin or openai), model and max_tokens if they differ from llm's."
        ),
    ] = {}
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="The least level of log lines."),
    ] = "info"
    access_log: Annotated[bool, Meta(description="Write a log line for each request.")] = True
    shutdown_seconds: Annotated[
        int, Meta(ge=1, description="How long a stop waits for requests that are under way.")
    ] = 8
    api_key: Annotated[
        str | None,
        Meta(description="A key that is valid for the default project; for containers."),
    ] = None

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self._shown())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Show as `repr` does where rich prints."""
        return self._shown()

    def _shown(self) -> list[tuple[str, Any]]:
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return [(name, _showable(name, value)) for name, value in values.items()]

    @property
    def limits(self) -> Limits:
        """The limits of requests."""
        return Limits(
            max_batch_messages=self.max_batch_messages,
            max_content_bytes=self.max_content_bytes,
            max_image_bytes=self.max_image_bytes,
            max_image_parts=self.max_image_parts,
            templates=tuple(sorted(self.summary_templates)),
        )


def _showable(name: str, value: Any) -> Any:
    if value and name in SECRETS:
        return "***"
    return without_password(value) if value and name in _ADDRESSES else value


def without_password(address: str) -> str:
    """Give an address of a database as it may be shown."""
    if is_file(address):
        return address
    head, _, parameters = address.partition("?")
    scheme, _, rest = head.partition("://")
    # From the last "@": a password that was not percent-encoded is none to show either.
    who, at, where = rest.rpartition("@")
    user, colon, _ = who.partition(":")
    shown = f"{scheme}://{user}{':***' if colon else ''}{at}{where}"
    return f"{shown}?{_PASSWORD.sub('***', parameters)}" if parameters else shown


def is_file(db: str) -> bool:
    """Tell whether a database is a file, by its address."""
    return "://" not in db or db.startswith(_SQLITE)


def path_of(db: str) -> Path:
    """Give the path of a database that is a file."""
    return Path(db.removeprefix(_SQLITE))


def state_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Give the folder for what a server keeps that has no file to keep it beside."""
    surroundings = os.environ if environ is None else environ
    told = surroundings.get("XDG_STATE_HOME", "")
    base = Path(told) if told.startswith("/") else Path.home() / ".local" / "state"
    return base / "dialoguedb"


def tiktoken_folder(environ: Mapping[str, str] | None = None) -> Path | None:
    """Give the folder where the package tiktoken keeps its data; None if it is told to keep none.

    The variables are tiktoken's own.
    """
    surroundings = os.environ if environ is None else environ
    for name in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if name in surroundings:
            return Path(surroundings[name]) if surroundings[name] else None
    return Path(tempfile.gettempdir()) / "data-gym-cache"


def help_of(name: str) -> str:
    """Give the description of a setting, for the command line and the reference."""
    return str(_meta_of(name).description)


def _meta_of(name: str) -> Meta:
    hint = get_type_hints(Settings, include_extras=True)[name]
    return next(note for note in hint.__metadata__ if isinstance(note, Meta))


def load(
    flags: Mapping[str, Any],
    *,
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Bring the settings together.

    Args:
        flags: by name; None where a flag was not given.
        config: a TOML file.
        environ: the environment; the process's own if None.
    Raises:
        AdminError: a value or a key of the file is not valid, or two settings exclude each other;
            the message names it.
    """
    values: dict[str, Any] = {}
    if config is not None:
        values |= _from_file(config)
    if "summary_templates" in values:
        values["summary_templates"] = _templates(values["summary_templates"])
    for name in Settings.__struct_fields__:
        if name in FILE_ONLY:
            continue
        text = (os.environ if environ is None else environ).get(PREFIX + name.upper())
        if text:
            values[name] = text.split(",") if name == "cors_origin" else text
    values |= {n: value for n, value in flags.items() if value is not None and n not in FILE_ONLY}
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$.")
        name = place.partition("[")[0].rstrip("`")
        raise AdminError(f"setting {name}: {_explained(problem, name)}") from None
    _check_templates(settings)
    if settings.db_key_file is not None and not is_file(settings.db):
        raise AdminError(
            "--db-key-file encrypts a file, and the database is at an address: leave it out; "
            "PostgreSQL's disks are encrypted where it runs"
        )
    return settings


def _templates(table: Any) -> dict[str, SummaryTemplate]:
    """Read the table of templates; msgspec would not say which of them is wrong."""
    if not isinstance(table, dict):
        raise AdminError("setting summary_templates: use tables, [summary_templates.SLUG]")
    made = {}
    for slug, value in table.items():
        if not _SLUG.fullmatch(slug):
            raise AdminError(
                f"setting summary_templates.{slug}: a template is called by 1 to 64 of a-z, 0-9, "
                "_ and -, and begins with a letter or digit"
            )
        try:
            made[slug] = msgspec.convert(value, SummaryTemplate)
        except msgspec.ValidationError as error:
            problem, _, place = str(error).partition(" - at `$")
            where = f"summary_templates.{slug}{place.rstrip('`')}"
            raise AdminError(f"setting {where}: {_plain(problem)}") from None
    return made


def _plain(problem: str) -> str:
    """Say what msgspec says of a template."""
    if "matching regex" in problem:
        return "use a text that is not empty"
    if problem.startswith("Invalid enum value"):
        return f"{problem[18:].strip()} is not one of builtin, openai"
    if "unknown field" in problem:
        return (
            f"{problem[7:].replace('`', '')}; known: {', '.join(SummaryTemplate.__struct_fields__)}"
        )
    return problem[:1].lower() + problem[1:].replace("`", "").removeprefix("object ")


def _check_templates(settings: Settings) -> None:
    """Refuse templates that want a language model where none is set: nobody else may be asked."""
    for slug, template in settings.summary_templates.items():
        if settings.llm is None and (template.provider == "openai" or template.model):
            raise AdminError(
                f"setting summary_templates.{slug}: it names a language model, and llm is not set; "
                "set it to openai:MODEL"
            )


def _explained(problem: str, name: str) -> str:
    """Say what msgspec says of a setting, for a person who does not know it."""
    hint = get_args(get_type_hints(Settings).get(name))
    if problem.startswith("Invalid enum value"):
        return f"{problem[18:].strip()} is not one of {', '.join(map(str, hint))}"
    if "Expected `bool`" in problem:
        return "use true or false"
    if "matching regex" in problem:
        forms = " or ".join(_meta_of(name).examples or ())
        return f"must look like {forms}" if forms else "holds a character that cannot be in it"
    return problem[:1].lower() + problem[1:].replace("`", "")


def _from_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AdminError(f"the settings file {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AdminError(f"the settings file {path} is not valid TOML: {error}") from None
    unknown = sorted(values.keys() - set(Settings.__struct_fields__))
    if unknown:
        known = ", ".join(Settings.__struct_fields__)
        raise AdminError(
            f"the settings file {path} has an unknown key {unknown[0]}; known: {known}"
        )
    return values


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a Python client of a server can be told; it can be pickled, with the key in it.

    Attributes:
        api_key: sent as `Authorization: Bearer`; never shown.
        base_url: the server's address, without `/api/v1`.
        timeout_s: seconds that one attempt may take, over 0.
        max_retries: attempts after the first one; 0 is none.
        retry_min_s: the wait before the first of them; it doubles with each.
        retry_max_s: the longest of these waits; a server's `Retry-After` may ask for a minute.
        ca_file: trust the certificates of this file (PEM) only, such as that of a server that
            signed its own.
    """

    api_key: str
    base_url: str = DEFAULT_URL
    timeout_s: float = 30.0
    max_retries: int = 3
    retry_min_s: float = 0.5
    retry_max_s: float = 10.0
    ca_file: str | None = None

    def __post_init__(self) -> None:
        """Check the values, wherever they come from.

        Raises:
            InvalidParameter: one cannot be; the message names it, and never shows the key.
        """
        for name in ("api_key", "base_url"):
            if not isinstance(getattr(self, name), str):
                raise InvalidParameter(f"Invalid {name}: use a text", field=name)
        if not self.api_key or not self.api_key.isascii() or not self.api_key.isprintable():
            raise InvalidParameter("Invalid api_key: it has printable ASCII only", field="api_key")
        if not _is_address(self.base_url):
            raise InvalidParameter(
                f"Invalid base_url: use an address such as {DEFAULT_URL}", field="base_url"
            )
        for name in ("timeout_s", "retry_min_s", "retry_max_s", "max_retries"):
            value = getattr(self, name)
            least = 0 if name != "timeout_s" else 1e-3
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
                raise InvalidParameter(f"Invalid {name}: use a number from {least}", field=name)

    def __repr__(self) -> str:
        return f"ClientSettings(base_url={self.base_url!r}, api_key='***')"


class LocalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a client without a server can be told; it can be pickled.

    Attributes:
        db: the database, as the setting of that name.
        project: the project to work in, by name or id, made if it is not there; None is the
            default one.
        key_file: the key that the file is encrypted with.
        embedder: as the setting of that name, for a database that is new.
        make: whether to make the file, or the schema in PostgreSQL, if it is not there.
    """

    db: str | None = None
    project: str | None = None
    key_file: str | None = None
    embedder: str | None = None
    make: bool = True


def client_settings(
    api_key: str | None,
    base_url: str | None,
    *,
    environ: Mapping[str, str] | None = None,
    **others: Any,
) -> ClientSettings:
    """Bring the settings of a client together: what it is told, else the environment.

    Args:
        api_key: `DIALOGUE_DB_API_KEY` or `DIALOGUEDB_API_KEY` if None.
        base_url: `DIALOGUEDB_BASE_URL` or `DIALOGUEDB_ENDPOINT` if None, else this machine.
        environ: the environment; the process's own if None.
        others: the other fields of `ClientSettings`.
    Raises:
        InvalidParameter: there is no key, or a value cannot be one; the message names it.
    """
    surroundings = os.environ if environ is None else environ
    key = api_key if api_key is not None else _first(surroundings, KEY_VARIABLES)
    if key is None or (isinstance(key, str) and not key.strip()):
        raise InvalidParameter(
            "No API key: give api_key, or set DIALOGUEDB_API_KEY; without a server, "
            'dialoguedb.open("chat.db") needs none',
            field="api_key",
        )
    key = key.strip() if isinstance(key, str) else key
    url = base_url or _first(surroundings, URL_VARIABLES) or DEFAULT_URL
    url = url.rstrip("/").removesuffix("/api/v1") if isinstance(url, str) else url
    return ClientSettings(api_key=key, base_url=url, **others)


def _is_address(url: str) -> bool:
    """Tell whether a URL is that of a server: no query and no user, and a port that there is."""
    try:
        parts = urlsplit(url)
        usable = parts.port != 0 and bool(parts.hostname)
    except ValueError:
        return False
    rest = (parts.query, parts.fragment, parts.username)
    usable = usable and url.isprintable() and " " not in url
    return usable and parts.scheme in ("http", "https") and not any(rest)


def names_a_server(environ: Mapping[str, str] | None = None) -> bool:
    """Tell whether the environment names a server for clients, by its address or by a key."""
    surroundings = os.environ if environ is None else environ
    return _first(surroundings, (*KEY_VARIABLES, *URL_VARIABLES)) is not None


def _first(environ: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)
