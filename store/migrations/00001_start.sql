-- The subset of SQL that SQLite and PostgreSQL share: text identifiers, times
-- as BIGINT microseconds since 1970 UTC (0 = not yet), JSON as TEXT, digests
-- as their text form ('' = none).

-- +goose Up
CREATE TABLE runs (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    project    TEXT   NOT NULL,
    stage      TEXT   NOT NULL,
    experiment TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    params     TEXT   NOT NULL,
    summary    TEXT   NOT NULL,
    tags       TEXT   NOT NULL,
    notes      TEXT   NOT NULL,
    recipe     TEXT   NOT NULL,
    code       TEXT   NOT NULL,
    solera     TEXT   NOT NULL,
    host       TEXT   NOT NULL,
    reuse_of   TEXT   NOT NULL,
    error      TEXT   NOT NULL,
    created    BIGINT NOT NULL,
    started    BIGINT NOT NULL,
    finished   BIGINT NOT NULL
);
CREATE INDEX runs_by_project ON runs (project, created, id);
CREATE INDEX runs_by_recipe ON runs (recipe, created, id);

-- What a run measured. heads holds the number of a run's last point and is
-- what appending transactions of one run queue for. A NULL value is NaN.
CREATE TABLE heads (
    run TEXT   NOT NULL PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    n   BIGINT NOT NULL
);
CREATE TABLE series (
    run    TEXT   NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    key    TEXT   NOT NULL,
    series BIGINT NOT NULL,
    PRIMARY KEY (run, key),
    UNIQUE (run, series)
);
CREATE TABLE points (
    run    TEXT             NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    n      BIGINT           NOT NULL,
    series BIGINT           NOT NULL,
    step   BIGINT           NOT NULL,
    value  DOUBLE PRECISION,
    at     BIGINT           NOT NULL,
    PRIMARY KEY (run, n)
);
CREATE INDEX points_by_series ON points (run, series, step, n);

-- A content is what versions of equal digest share: they differ in name,
-- number, run and time alone.
CREATE TABLE contents (
    digest   TEXT   NOT NULL PRIMARY KEY,
    type     TEXT   NOT NULL,
    metadata TEXT   NOT NULL,
    size     BIGINT NOT NULL
);
CREATE TABLE entries (
    content TEXT   NOT NULL REFERENCES contents (digest) ON DELETE CASCADE,
    path    TEXT   NOT NULL,
    digest  TEXT   NOT NULL,
    size    BIGINT NOT NULL,
    PRIMARY KEY (content, path)
);
CREATE INDEX entries_by_digest ON entries (digest);

-- next is the number of the next version; it never goes back, so that a
-- number is never given twice.
CREATE TABLE artifacts (
    project TEXT   NOT NULL,
    name    TEXT   NOT NULL,
    type    TEXT   NOT NULL,
    next    BIGINT NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    PRIMARY KEY (project, name)
);
CREATE TABLE versions (
    project  TEXT   NOT NULL,
    artifact TEXT   NOT NULL,
    number   BIGINT NOT NULL,
    content  TEXT   NOT NULL REFERENCES contents (digest),
    run      TEXT   NOT NULL REFERENCES runs (id),
    created  BIGINT NOT NULL,
    PRIMARY KEY (project, artifact, number),
    FOREIGN KEY (project, artifact) REFERENCES artifacts (project, name)
);
CREATE INDEX versions_by_content ON versions (content);
CREATE INDEX versions_by_run ON versions (run);
CREATE TABLE aliases (
    project  TEXT   NOT NULL,
    artifact TEXT   NOT NULL,
    alias    TEXT   NOT NULL,
    number   BIGINT NOT NULL,
    PRIMARY KEY (project, artifact, alias),
    FOREIGN KEY (project, artifact, number) REFERENCES versions (project, artifact, number) ON DELETE CASCADE
);
CREATE INDEX aliases_by_version ON aliases (project, artifact, number);

-- kind: used, made, same.
CREATE TABLE edges (
    run      TEXT   NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    kind     TEXT   NOT NULL,
    project  TEXT   NOT NULL,
    artifact TEXT   NOT NULL,
    number   BIGINT NOT NULL,
    PRIMARY KEY (run, kind, project, artifact, number),
    FOREIGN KEY (project, artifact, number) REFERENCES versions (project, artifact, number) ON DELETE CASCADE
);
CREATE INDEX edges_by_version ON edges (project, artifact, number, kind);

-- +goose Down
DROP TABLE edges;
DROP TABLE aliases;
DROP TABLE versions;
DROP TABLE artifacts;
DROP TABLE entries;
DROP TABLE contents;
DROP TABLE points;
DROP TABLE series;
DROP TABLE heads;
DROP TABLE runs;
