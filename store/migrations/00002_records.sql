-- The same subset of SQL as before. BYTEA: SQLite takes any word for a type
-- and keeps bytes as bytes in such a column.

-- +goose Up
ALTER TABLE runs ADD COLUMN grp TEXT NOT NULL DEFAULT ''; -- "group" is a word of SQL
ALTER TABLE runs ADD COLUMN environment TEXT NOT NULL DEFAULT '{}';
ALTER TABLE runs ADD COLUMN heartbeat BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN deleted BIGINT NOT NULL DEFAULT 0;
CREATE INDEX runs_by_state ON runs (state, heartbeat);

-- What a run printed.
CREATE TABLE lines (
    run    TEXT   NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    n      BIGINT NOT NULL,
    stream TEXT   NOT NULL,
    text   TEXT   NOT NULL,
    at     BIGINT NOT NULL,
    PRIMARY KEY (run, n)
);

-- Files that belong to a run and to no version, such as the difference of its
-- source tree.
CREATE TABLE files (
    run    TEXT   NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    path   TEXT   NOT NULL,
    digest TEXT   NOT NULL,
    size   BIGINT NOT NULL,
    ref    TEXT   NOT NULL,
    PRIMARY KEY (run, path)
);
CREATE INDEX files_by_digest ON files (digest);

-- ref: where the bytes of an external file are, '' = in the blobs.
ALTER TABLE entries ADD COLUMN ref TEXT NOT NULL DEFAULT '';

ALTER TABLE versions ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
ALTER TABLE versions ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE versions ADD COLUMN expires BIGINT NOT NULL DEFAULT 0;
ALTER TABLE versions ADD COLUMN deleted BIGINT NOT NULL DEFAULT 0;

-- Signed statements of where versions come from (DSSE envelopes), and the
-- public keys that signed them.
CREATE TABLE statements (
    project  TEXT   NOT NULL,
    artifact TEXT   NOT NULL,
    number   BIGINT NOT NULL,
    envelope BYTEA  NOT NULL,
    PRIMARY KEY (project, artifact, number),
    FOREIGN KEY (project, artifact, number) REFERENCES versions (project, artifact, number) ON DELETE CASCADE
);
CREATE TABLE keys (
    id      TEXT   NOT NULL PRIMARY KEY,
    public  TEXT   NOT NULL,
    owner   TEXT   NOT NULL,
    created BIGINT NOT NULL
);

-- Every change, each entry chained to the one before by its hash. It names
-- things that may be gone, so it refers to nothing.
CREATE TABLE audit (
    n       BIGINT NOT NULL PRIMARY KEY,
    at      BIGINT NOT NULL,
    actor   TEXT   NOT NULL,
    action  TEXT   NOT NULL,
    subject TEXT   NOT NULL,
    was     TEXT   NOT NULL,
    became  TEXT   NOT NULL,
    hash    TEXT   NOT NULL
);
CREATE INDEX audit_by_subject ON audit (subject, n);

-- The journal of deleted blobs. done = 0: being deleted.
CREATE TABLE deletions (
    digest  TEXT   NOT NULL,
    planned BIGINT NOT NULL,
    size    BIGINT NOT NULL,
    done    BIGINT NOT NULL,
    PRIMARY KEY (digest, planned)
);
CREATE INDEX deletions_by_done ON deletions (done);

-- +goose Down
DROP TABLE deletions;
DROP TABLE audit;
DROP TABLE keys;
DROP TABLE statements;
DROP TABLE files;
DROP TABLE lines;
DROP INDEX runs_by_state;
ALTER TABLE versions DROP COLUMN deleted;
ALTER TABLE versions DROP COLUMN expires;
ALTER TABLE versions DROP COLUMN description;
ALTER TABLE versions DROP COLUMN tags;
ALTER TABLE entries DROP COLUMN ref;
ALTER TABLE runs DROP COLUMN deleted;
ALTER TABLE runs DROP COLUMN heartbeat;
ALTER TABLE runs DROP COLUMN environment;
ALTER TABLE runs DROP COLUMN grp;
