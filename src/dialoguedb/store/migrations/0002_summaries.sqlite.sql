-- Summaries of dialogues. An expand step: servers of the release before go on beside it.

-- start, end: the range of positions, from the first to the last that is in it; a start with the
-- sequence 0 is before every message. from, to: the times of the messages that were there in it.
-- incremental: whether it may build on another one; based_on: on which it does. job: the background
-- job, as long as it is processing. counts: what it took, as JSON.
CREATE TABLE summaries (
    space_id INTEGER NOT NULL,
    id TEXT NOT NULL,
    inserted INTEGER NOT NULL,
    dialogue_id TEXT NOT NULL,
    status TEXT NOT NULL,
    stale INTEGER NOT NULL,
    template TEXT,
    based_on TEXT,
    incremental INTEGER NOT NULL,
    job TEXT,
    start_created INTEGER NOT NULL,
    start_sequence INTEGER NOT NULL,
    end_created INTEGER NOT NULL,
    end_sequence INTEGER NOT NULL,
    from_created INTEGER,
    to_created INTEGER,
    provider TEXT,
    model TEXT,
    error TEXT,
    counts TEXT,
    metadata TEXT,
    tags TEXT,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    content TEXT,
    PRIMARY KEY (space_id, id)
) STRICT;

CREATE INDEX summaries_by_created ON summaries (space_id, created, inserted, id);
CREATE INDEX summaries_by_dialogue ON summaries (space_id, dialogue_id, created, inserted, id);
