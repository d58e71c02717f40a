-- Times are seconds since the epoch (UTC), sizes bytes; a `detail` column holds one JSON object (store/rows.py).

-- Ids are ours, start at 1 and are never given out twice: `next_*` is the next of each kind. `records` grows with every
-- change of programs, members, links, chains or counts: who has read those at the same number need not read again.
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO meta (name, value)
VALUES ('next_program', 1), ('next_link', 1), ('next_map_set', 1), ('next_operation', 1), ('records', 0);

-- Object files by SHA-256, each once however many programs came out of it.
CREATE TABLE objects (
    digest TEXT PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;

CREATE TABLE programs (
    key INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL,
    id INTEGER NOT NULL,                -- the kernel's, in the life of the kernel that boot_id names
    tag TEXT NOT NULL,
    loaded_at_ns INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    name TEXT NOT NULL,
    hook TEXT NOT NULL,
    section TEXT NOT NULL,
    prog_type INTEGER NOT NULL,
    object TEXT REFERENCES objects (digest), -- NULL: adopted, its object is not known
    pin TEXT NOT NULL UNIQUE,
    map_set INTEGER NOT NULL,
    owner_set INTEGER,
    owner_id INTEGER,
    attach_func TEXT,
    license TEXT NOT NULL,
    gpl_compatible INTEGER NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL,
    detail TEXT NOT NULL                -- source, maps, metadata, global_data, loaded_by
) STRICT;

CREATE INDEX programs_by_id ON programs (id);
CREATE INDEX programs_by_object ON programs (object);

-- The relocated instructions of a program, for this boot's kernel (bytecode/relocated.py).
CREATE TABLE members (
    program INTEGER PRIMARY KEY REFERENCES programs (key) ON DELETE CASCADE,
    header TEXT NOT NULL,
    insns BLOB NOT NULL,
    btf BLOB NOT NULL
) STRICT;

CREATE TABLE links (
    id INTEGER PRIMARY KEY,
    program INTEGER NOT NULL REFERENCES programs (key),
    kind TEXT NOT NULL,
    attachment TEXT NOT NULL,           -- the dataclass of hooks/<kind>.py as one JSON object
    netns INTEGER NOT NULL,             -- inode number, 0 for none
    ifindex INTEGER NOT NULL,           -- 0 for none
    priority INTEGER,
    mode TEXT,
    boot_id TEXT NOT NULL,
    created_at REAL NOT NULL,
    detail TEXT NOT NULL                -- pins, kernel_ids, chain, fallback, metadata
) STRICT;

CREATE INDEX links_by_program ON links (program);

-- What a link's program counted in revisions of its chain that are retired; the present revision's map is added.
CREATE TABLE counts (
    link INTEGER PRIMARY KEY REFERENCES links (id) ON DELETE CASCADE,
    runs INTEGER NOT NULL,
    proceeded INTEGER NOT NULL,
    stopped TEXT NOT NULL               -- {"<verdict code>": packets}
) STRICT;

CREATE TABLE chains (
    type TEXT NOT NULL,
    netns INTEGER NOT NULL,
    ifindex INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    program_id INTEGER NOT NULL,
    link_id INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    detail TEXT NOT NULL,               -- interface, netns_path, members, pins, mode
    PRIMARY KEY (type, netns, ifindex)
) STRICT, WITHOUT ROWID;

-- Plans that were begun and not done. Both lists are JSON lists of repeatable steps.
CREATE TABLE pending (
    operation INTEGER PRIMARY KEY,
    verb TEXT NOT NULL,
    undo TEXT NOT NULL,
    finish TEXT,                        -- NULL: not committed
    absorbed TEXT NOT NULL DEFAULT '[]' -- counter pins whose numbers were taken into `counts` already
) STRICT;

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    operation INTEGER NOT NULL,
    verb TEXT NOT NULL,
    subject TEXT NOT NULL,
    caller TEXT NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL,
    duration_ms REAL NOT NULL
) STRICT;
