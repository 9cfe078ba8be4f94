"""`dialoguedb serve`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dialoguedb import __version__
from dialoguedb.settings import DEFAULT_DB, DEFAULT_PORT, help_of, load

if TYPE_CHECKING:
    from dialoguedb.server.serve import Listening


def _option(name: str, *flags: str, default: str = "") -> Any:
    """Make an option of a setting; its help is the setting's own description."""
    names = flags or ("--" + name.replace("_", "-"),)
    return typer.Option(*names, help=help_of(name), show_default=default or False)


_Config = Annotated[
    Path | None, typer.Option("--config", help="A TOML file with settings of these names.")
]


def serve(
    host: Annotated[str | None, _option("host", default="127.0.0.1")] = None,
    port: Annotated[int | None, _option("port", default=str(DEFAULT_PORT))] = None,
    db: Annotated[str | None, _option("db", default=DEFAULT_DB)] = None,
    db_key_file: Annotated[str | None, _option("db_key_file")] = None,
    replica: Annotated[str | None, _option("replica")] = None,
    db_connections: Annotated[int | None, _option("db_connections", default="8")] = None,
    db_timeout_seconds: Annotated[int | None, _option("db_timeout_seconds", default="10")] = None,
    workers: Annotated[int | None, _option("workers", default="1")] = None,
    jobs: Annotated[bool | None, _option("jobs", "--jobs/--no-jobs", default="on")] = None,
    tls_cert: Annotated[str | None, _option("tls_cert")] = None,
    tls_key: Annotated[str | None, _option("tls_key")] = None,
    tls_self_signed: Annotated[bool | None, _option("tls_self_signed", "--tls-self-signed")] = None,
    insecure_no_tls: Annotated[bool | None, _option("insecure_no_tls", "--insecure-no-tls")] = None,
    rate_limit: Annotated[float | None, _option("rate_limit", default="0")] = None,
    rate_burst: Annotated[int | None, _option("rate_burst", default="100")] = None,
    cors_origin: Annotated[list[str] | None, _option("cors_origin")] = None,
    metrics_public: Annotated[bool | None, _option("metrics_public", "--metrics-public")] = None,
    unknown_fields: Annotated[str | None, _option("unknown_fields", default="reject")] = None,
    max_batch_messages: Annotated[int | None, _option("max_batch_messages", default="25")] = None,
    max_content_bytes: Annotated[
        int | None, _option("max_content_bytes", default="8388608")
    ] = None,
    max_image_bytes: Annotated[int | None, _option("max_image_bytes", default="26214400")] = None,
    max_image_parts: Annotated[int | None, _option("max_image_parts", default="20")] = None,
    embedder: Annotated[str | None, _option("embedder", default="static")] = None,
    embedder_url: Annotated[str | None, _option("embedder_url")] = None,
    embedder_timeout_seconds: Annotated[
        int | None, _option("embedder_timeout_seconds", default="30")
    ] = None,
    llm: Annotated[str | None, _option("llm")] = None,
    llm_url: Annotated[str | None, _option("llm_url")] = None,
    llm_timeout_seconds: Annotated[int | None, _option("llm_timeout_seconds", default="60")] = None,
    log_level: Annotated[str | None, _option("log_level", default="info")] = None,
    access_log: Annotated[
        bool | None, _option("access_log", "--access-log/--no-access-log", default="on")
    ] = None,
    shutdown_seconds: Annotated[int | None, _option("shutdown_seconds", default="8")] = None,
    config: _Config = None,
) -> None:
    """Serve the REST API from a file, or from a PostgreSQL database.

    A file is made if it is not there. In PostgreSQL the schema is made or brought up to date if
    the login may do that; `dialoguedb migrate` does it with another login. --workers serves with
    several processes.

    The first start makes a project and a key and shows the key once. Each option can also be set
    by a variable (--rate-limit is DIALOGUEDB_RATE_LIMIT) or in the --config file; a flag wins over
    a variable, a variable over the file. DIALOGUEDB_API_KEY makes that key valid for the default
    project.

    Example: `dialoguedb serve --db chat.db --port 8642`
    """
    # The server's libraries take a while to load; other commands do without them.
    from dialoguedb.server.serve import run  # noqa: PLC0415

    flags = {name: value for name, value in locals().items() if name in _SETTINGS}
    flags["cors_origin"] = cors_origin or None

    run(load(flags, config=config), _announce)


def _announce(listening: "Listening") -> None:
    typer.echo(f"DialogueDB {__version__} listens on {listening.url}")
    note = " (encrypted)" if listening.encrypted else ""
    typer.echo(f"  database     {listening.db}{note}")
    typer.echo(f"  reference    {listening.url}/docs")
    if listening.cert is not None:
        typer.echo(f"  certificate  {listening.cert}  (Node: NODE_EXTRA_CA_CERTS)")
    if listening.key is not None:
        trust = "" if listening.cert is None else f"--cacert {shlex.quote(listening.cert)} "
        typer.echo(
            f"\n  Your first API key, shown only now:\n\n    {listening.key}\n\n"
            "  Store a first dialogue:\n\n"
            f"    curl {trust}{listening.url}/dialogue \\\n"
            f"      -H 'Authorization: Bearer {listening.key}' \\\n"
            """      -d '{"message":{"role":"user","content":"Hello!"}}'\n"""
        )
    elif listening.keyless:
        typer.echo("  There is no key yet; make one: dialoguedb key create --project NAME")
    typer.echo("  Ctrl+C stops it.")


_SETTINGS = frozenset(load({}, environ={}).__struct_fields__)
