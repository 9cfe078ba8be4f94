"""`dialoguedb summary`: summaries of dialogues."""

from typing import Annotated, Literal

import typer

from dialoguedb.cli import tables
from dialoguedb.cli.database import Data, on_database, place
from dialoguedb.cli.failing import EPILOG
from dialoguedb.cli.options import (
    Created,
    EndDate,
    Limit,
    Namespace,
    Next,
    Ordered,
    StartDate,
    SummaryId,
)
from dialoguedb.errors import SummaryNotFound

app = typer.Typer(
    help="Summaries: what dialogues come to. `dialogue summarize` makes them.",
    no_args_is_help=True,
    epilog=EPILOG,
)


@app.command()
@on_database()
def get(data: Data, summary: SummaryId, namespace: Namespace = None) -> None:
    """Read a summary, as it is now.

    Example: `dialoguedb summary get repair-204-first-week`
    """
    missing = SummaryNotFound(f"Summary '{summary}' not found{place(namespace)}", field="id")
    found = data.found(lambda: data.db.get_summary(summary, namespace), missing)
    data.show(found.to_dict())


@app.command()
@on_database()
def delete(data: Data, summary: SummaryId, namespace: Namespace = None) -> None:
    """Delete a summary. It cannot be undone; the messages stay.

    Example: `dialoguedb summary delete repair-204-first-week`
    """
    data.db.delete_summary(summary, namespace)
    data.show({"deleted": summary})


@app.command("list")
@on_database()
def list_summaries(
    data: Data,
    dialogue: Annotated[
        str | None, typer.Option("--dialogue", help="Only those of this dialogue.")
    ] = None,
    namespace: Namespace = None,
    status: Annotated[
        Literal["processing", "completed", "failed"] | None,
        typer.Option(
            "--status", metavar="processing|completed|failed", help="Only those of this status."
        ),
    ] = None,
    limit: Limit = None,
    order: Ordered = None,
    created: Created = None,
    start_date: StartDate = None,
    end_date: EndDate = None,
    next: Next = None,
) -> None:
    """List the summaries of a dialogue or of a namespace, the newest first.

    Example: `dialoguedb summary list --dialogue repair-204`
    """
    page = data.db.list_summaries(
        dialogue,
        namespace=namespace,
        status=status,
        limit=limit,
        order=order,
        created=created,
        start_date=start_date,
        end_date=end_date,
        next=next,
    )
    data.show_page(page.items, page.next, tables.SUMMARIES, none="summaries")
