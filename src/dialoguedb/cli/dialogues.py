"""`dialoguedb dialogue`: dialogues, their state, tags and threads."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dialoguedb.cli import tables
from dialoguedb.cli.database import Data, on_database, place
from dialoguedb.cli.failing import EPILOG
from dialoguedb.cli.options import (
    Created,
    DialogueId,
    EndDate,
    Label,
    Limit,
    Metadata,
    Namespace,
    NewId,
    Next,
    Ordered,
    StartDate,
    State,
    Tags,
    ThreadOf,
    object_of,
    tags_of,
)
from dialoguedb.errors import DialogueNotFound

if TYPE_CHECKING:
    from dialoguedb import Dialogue

app = typer.Typer(
    help="Dialogues: made, read, listed, changed, ended, deleted.",
    no_args_is_help=True,
    epilog=EPILOG,
)


def dialogue_of(data: Data, id: str, namespace: str | None) -> "Dialogue":
    """Get a dialogue.

    Raises:
        DialogueNotFound: there is none with this id in the namespace.
    """
    missing = DialogueNotFound(f"Dialogue '{id}' not found{place(namespace)}", field="id")
    dialogue: Dialogue = data.found(lambda: data.db.get_dialogue(id, namespace), missing)
    return dialogue


def show(data: Data, dialogue: "Dialogue") -> None:
    """Print a dialogue, on a terminal with its messages as a table."""
    resource = dialogue.to_dict()
    data.show(resource)
    if data.tables and resource.get("messages"):
        typer.echo()
        data.show_rows(resource["messages"], tables.MESSAGES, none="messages")


@app.command()
@on_database(makes=True)
def create(
    data: Data,
    id: NewId = None,
    namespace: Namespace = None,
    label: Label = None,
    thread_of: ThreadOf = None,
    state: State = None,
    metadata: Metadata = None,
    tags: Tags = None,
) -> None:
    """Make a dialogue. With --thread-of it is a thread of that one.

    Example: `dialoguedb dialogue create --label "A bent wheel" --tags repair --state '{"step": 1}'`
    """
    show(
        data,
        data.db.create_dialogue(
            id=id,
            namespace=namespace,
            label=label,
            thread_of=thread_of,
            state=state,
            metadata=metadata,
            tags=tags,
        ),
    )


@app.command()
@on_database()
def get(data: Data, dialogue: DialogueId, namespace: Namespace = None) -> None:
    """Read a dialogue with its first messages.

    Example: `dialoguedb dialogue get repair-204`
    """
    show(data, dialogue_of(data, dialogue, namespace))


@app.command("get-or-create")
@on_database(makes=True)
def get_or_create(
    data: Data,
    id: NewId = None,
    namespace: Namespace = None,
    thread_of: ThreadOf = None,
) -> None:
    """Read a dialogue; make it if it is not there.

    Example: `dialoguedb dialogue get-or-create --id repair-204`
    """
    show(data, data.db.get_or_create_dialogue(id, namespace=namespace, thread_of=thread_of))


@app.command("list")
@on_database()
def list_dialogues(
    data: Data,
    namespace: Namespace = None,
    limit: Limit = None,
    order: Ordered = None,
    thread_of: ThreadOf = None,
    created: Created = None,
    start_date: StartDate = None,
    end_date: EndDate = None,
    next: Next = None,
) -> None:
    """List the dialogues of a namespace, the newest first.

    Example: `dialoguedb dialogue list --limit 20 --start-date 2026-01-01`
    """
    page = data.db.list_dialogues(
        namespace=namespace,
        limit=limit,
        order=order,
        thread_of=thread_of,
        created=created,
        start_date=start_date,
        end_date=end_date,
        next=next,
    )
    data.show_page(page.items, page.next, tables.DIALOGUES, none="dialogues")


@app.command()
@on_database()
def delete(
    data: Data,
    dialogue: DialogueId,
    namespace: Namespace = None,
    cascade: Annotated[
        bool,
        typer.Option(
            "--cascade", help="Its messages and summaries too; else they stay, each by its id."
        ),
    ] = False,
) -> None:
    """Delete a dialogue. It cannot be undone.

    Example: `dialoguedb dialogue delete repair-204`
    """
    data.db.delete_dialogue(dialogue, namespace, cascade=cascade)
    data.show({"deleted": dialogue})


@app.command()
@on_database()
def end(data: Data, dialogue: DialogueId, namespace: Namespace = None) -> None:
    """End a dialogue: it takes no more messages.

    Example: `dialoguedb dialogue end repair-204`
    """
    show(data, dialogue_of(data, dialogue, namespace).end())


@app.command()
@on_database()
def summarize(
    data: Data,
    dialogue: DialogueId,
    namespace: Namespace = None,
    template: Annotated[
        str | None, typer.Option("--template", help="A template of the server's settings.")
    ] = None,
    start_id: Annotated[
        str | None, typer.Option("--start-id", help="Its first message; without it the first.")
    ] = None,
    end_id: Annotated[
        str | None, typer.Option("--end-id", help="Its last message; without it the newest.")
    ] = None,
    id: NewId = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Build on no earlier summary: read all of it again.")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Do not wait until the summary is made.")
    ] = False,
) -> None:
    """Summarize a dialogue, or a range of its messages. They stay as they are.

    A new summary begins with the text of the last one, and goes on with what was said since.

    Example: `dialoguedb dialogue summarize repair-204`
    """
    summary = dialogue_of(data, dialogue, namespace).summarize(
        template=template,
        start_id=start_id,
        end_id=end_id,
        id=id,
        incremental=not whole,
        wait=not no_wait,
    )
    data.show(summary.to_dict())


app.command(
    "compact",
    help="Summarize a dialogue: `dialogue summarize` by its other name.\n\n"
    "Example: `dialoguedb dialogue compact repair-204`",
)(summarize)


@app.command()
@on_database()
def context(
    data: Data,
    dialogue: DialogueId,
    namespace: Namespace = None,
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", help="What it may cost at most.  [default: 4000]"),
    ] = None,
    format: Annotated[
        Literal["dialoguedb", "openai", "anthropic"] | None,
        typer.Option("--format", help="What takes the messages.  [default: dialoguedb]"),
    ] = None,
    query: Annotated[
        str | None,
        typer.Option("--query", help="Recall older messages and memories for this."),
    ] = None,
    memories: Annotated[
        bool, typer.Option("--memories/--no-memories", help="Recall memories too, with --query.")
    ] = True,
    keep_last: Annotated[
        int | None,
        typer.Option(
            "--keep-last", help="Last messages that are there while they fit.  [default: 10]"
        ),
    ] = None,
) -> None:
    """Put together what a model should see next, within a budget of tokens.

    On a terminal it is shown of what it is made; in a pipe it is JSON, ready to send.

    Example: `dialoguedb dialogue context repair-204 --format openai --query "when is it ready?"`
    """
    made = dialogue_of(data, dialogue, namespace).context(
        max_tokens=max_tokens, format=format, query=query, memories=memories, keep_last=keep_last
    )
    answer = dict(made.to_dict())
    if not data.tables:
        data.show(answer)
        return
    parts = answer.pop("included")
    data.show({key: value for key, value in answer.items() if key != "messages"})
    typer.echo()
    data.show_rows(parts, tables.CONTEXT, none="parts")


@app.command()
@on_database()
def update_state(
    data: Data,
    dialogue: DialogueId,
    state: Annotated[
        Any,
        typer.Option("--state", parser=object_of, metavar="JSON", help="The keys to set."),
    ],
    namespace: Namespace = None,
) -> None:
    """Set keys of the state of a dialogue; the others stay.

    Example: `dialoguedb dialogue update-state repair-204 --state '{"step": 2}'`
    """
    show(data, dialogue_of(data, dialogue, namespace).save_state(state))


@app.command()
@on_database()
def update_tags(
    data: Data,
    dialogue: DialogueId,
    tags: Annotated[
        Any,
        typer.Option("--tags", parser=tags_of, metavar="A,B", help='All its tags; "" is none.'),
    ],
    namespace: Namespace = None,
) -> None:
    """Give a dialogue other tags, instead of those that it has.

    Example: `dialoguedb dialogue update-tags repair-204 --tags repair,urgent`
    """
    show(data, dialogue_of(data, dialogue, namespace).save_tags(tags))


@app.command("create-thread")
@on_database()
def create_thread(
    data: Data, dialogue: DialogueId, label: Label = None, namespace: Namespace = None
) -> None:
    """Make a thread of a dialogue, in its namespace.

    Example: `dialoguedb dialogue create-thread repair-204 --label "The invoice"`
    """
    show(data, dialogue_of(data, dialogue, namespace).create_thread(label=label))


@app.command("get-threads")
@on_database()
def get_threads(data: Data, dialogue: DialogueId, namespace: Namespace = None) -> None:
    """List the threads of a dialogue, all of them.

    Example: `dialoguedb dialogue get-threads repair-204`
    """
    threads = dialogue_of(data, dialogue, namespace).get_threads()
    data.show_page(threads, None, tables.DIALOGUES, none="threads")
