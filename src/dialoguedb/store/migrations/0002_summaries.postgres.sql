-- Summaries of dialogues. An expand step: servers of the release before go on beside it.

-- start, end: the range of positions, from the first to the last that is in it; a start with the
-- sequence 0 is before every message. from, to: the times of the messages that were there in it.
-- incremental: whether it may build on another one; based_on: on which it does. job: the background
-- job, as long as it is processing. counts: what it took, as JSON.
CREATE TABLE summaries (
    space_id bigint NOT NULL,
    id text COLLATE "C" NOT NULL,
    inserted bigint NOT NULL,
    dialogue_id text COLLATE "C" NOT NULL,
    status text NOT NULL,
    stale bigint NOT NULL,
    template text,
    based_on text,
    incremental bigint NOT NULL,
    job text,
    start_created bigint NOT NULL,
    start_sequence bigint NOT NULL,
    end_created bigint NOT NULL,
    end_sequence bigint NOT NULL,
    from_created bigint,
    to_created bigint,
    provider text,
    model text,
    error text,
    counts text,
    metadata text,
    tags text,
    created bigint NOT NULL,
    modified bigint NOT NULL,
    content text,
    PRIMARY KEY (space_id, id)
);

CREATE INDEX summaries_by_created ON summaries (space_id, created, inserted, id);
CREATE INDEX summaries_by_dialogue ON summaries (space_id, dialogue_id, created, inserted, id);
