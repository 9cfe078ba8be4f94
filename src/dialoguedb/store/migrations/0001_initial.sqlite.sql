-- The first schema. Times are integer milliseconds UTC. JSON is kept as compact text, as sent.

CREATE TABLE migrations (
    number INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    hash TEXT NOT NULL,
    applied INTEGER NOT NULL
) STRICT;

-- The catalogue: no user data.

CREATE TABLE projects (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    immutable INTEGER NOT NULL DEFAULT 0,
    deletion_protection INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL,
    deleting INTEGER
) STRICT, WITHOUT ROWID;

-- admin: whether it opens export, import and figures too.
CREATE TABLE keys (
    hash BLOB NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    hint TEXT NOT NULL,
    created INTEGER NOT NULL,
    revoked INTEGER,
    admin INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX keys_of_project ON keys (project_id, created);

-- AUTOINCREMENT: a number is never used again, also not after its project is gone.
CREATE TABLE spaces (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    project_id TEXT NOT NULL REFERENCES projects (id),
    namespace TEXT NOT NULL,
    UNIQUE (project_id, namespace)
) STRICT;

-- The database that this one is a copy of, and when it was complete.
CREATE TABLE copies (
    source TEXT NOT NULL PRIMARY KEY,
    begun INTEGER NOT NULL,
    finished INTEGER
) STRICT, WITHOUT ROWID;

-- Ids are unique in a project, across its spaces: each is claimed here with the row it names.
CREATE TABLE claims (
    project_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (project_id, kind, id)
) STRICT, WITHOUT ROWID;

-- User data: every key and index begins with the space.

CREATE TABLE dialogues (
    space_id INTEGER NOT NULL,
    id TEXT NOT NULL,
    inserted INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    thread_of TEXT,
    label TEXT,
    tags TEXT NOT NULL,
    total_messages INTEGER NOT NULL,
    thread_count INTEGER NOT NULL,
    last_message_created INTEGER,
    last_sequence INTEGER NOT NULL,
    last_server_time INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    ended INTEGER,
    archived INTEGER,
    PRIMARY KEY (space_id, id)
) STRICT, WITHOUT ROWID;

-- Two processes can give the same insertion number; the id makes the order one.
CREATE INDEX dialogues_by_created ON dialogues (space_id, created, inserted, id);
CREATE INDEX dialogues_by_parent ON dialogues (space_id, thread_of, created, inserted, id)
    WHERE thread_of IS NOT NULL;

-- State and metadata apart from the row that every append rewrites; absent when both are empty.
CREATE TABLE dialogue_documents (
    space_id INTEGER NOT NULL,
    dialogue_id TEXT NOT NULL,
    metadata TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (space_id, dialogue_id)
) STRICT;

-- What a deleted dialogue leaves: its numbers go on when it is made again.
CREATE TABLE tombstones (
    space_id INTEGER NOT NULL,
    dialogue_id TEXT NOT NULL,
    last_sequence INTEGER NOT NULL,
    last_server_time INTEGER NOT NULL,
    PRIMARY KEY (space_id, dialogue_id)
) STRICT, WITHOUT ROWID;

-- preview: only where it is not the content itself.
CREATE TABLE messages (
    space_id INTEGER NOT NULL,
    dialogue_id TEXT NOT NULL,
    created INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    id TEXT NOT NULL,
    role TEXT NOT NULL,
    name TEXT,
    content TEXT NOT NULL,
    content_length INTEGER NOT NULL,
    preview TEXT,
    metadata TEXT NOT NULL,
    tags TEXT NOT NULL,
    modified INTEGER NOT NULL,
    PRIMARY KEY (space_id, dialogue_id, created, sequence)
) STRICT;

CREATE UNIQUE INDEX messages_by_id ON messages (space_id, id);

CREATE TABLE memories (
    space_id INTEGER NOT NULL,
    id TEXT NOT NULL,
    inserted INTEGER NOT NULL,
    label TEXT,
    description TEXT,
    value TEXT NOT NULL,
    metadata TEXT NOT NULL,
    tags TEXT NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    PRIMARY KEY (space_id, id)
) STRICT;

CREATE INDEX memories_by_created ON memories (space_id, created, inserted, id);

-- What a request with an idempotency key made, for 24 hours.
CREATE TABLE replies (
    space_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    hash BLOB NOT NULL,
    made TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (space_id, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX replies_by_created ON replies (space_id, created);

-- What has changed, and what of it is indexed: a row for each work. The one key that does not begin
-- with the space: the log's order is that of the whole file. `generation`: whose vectors are in it;
-- `packed`: whether it is a block.
CREATE TABLE changes (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    space_id INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    packed INTEGER NOT NULL,
    entries BLOB NOT NULL
) STRICT;

-- The indexes for search: the one in use, and one that is being built.
CREATE TABLE indexes (
    generation INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    embedder TEXT NOT NULL,
    dimension INTEGER NOT NULL,
    analyser INTEGER NOT NULL,
    active INTEGER NOT NULL,
    since INTEGER NOT NULL,
    progress TEXT NOT NULL
) STRICT;

-- The log as far as `since`, packed by space.
CREATE TABLE index_blocks (
    space_id INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    number INTEGER NOT NULL,
    size INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (space_id, generation, number)
) STRICT;

-- What is to be done in the background; a row goes when it is done. (kind, key): one job, however
-- often it is asked for. run_at: not before. lease, leased_until: by whom it is being done, and for
-- how long nobody else takes it. failed: why nobody tries any more.
CREATE TABLE jobs (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    project_id TEXT,
    space_id INTEGER,
    payload TEXT NOT NULL,
    run_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    leased_until INTEGER NOT NULL DEFAULT 0,
    lease TEXT NOT NULL DEFAULT '',
    failed TEXT,
    created INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX jobs_by_time ON jobs (run_at) WHERE failed IS NULL;
