"""Background jobs: workers take them from the database, one after the other, and do them once.

A job is a row (`store/jobs.py`), written in the transaction that makes it needed. A kind of job is
one small file here with a function, and a line in `kinds.py`:

    def run(task: Task) -> Again | None:
        ...                                 # reads, and asks models, outside any transaction
        task.finish(task.scope(), work)     # the effect and the end of the job, in one transaction

What holds for every kind:

- One job for each kind and key, however often it is asked for, is done by one worker at a time.
- `Task.write` and `Task.finish` commit only while the job is this worker's. When a worker is
  killed, or sleeps past its lease, another one takes the job; what the first does later is
  refused. So the effect of `Task.finish` happens once. What is written in another way must bear
  being done twice.
- A failure is tried again with growing pauses, then left for a person: `dialoguedb work --list`.
  One that will pass (no database, no endpoint) is tried for ever.
- What takes long looks at `Task.going` between its steps, and returns `Again()` when it is over:
  the worker is to stop, or other jobs are to have their turn.
"""
