-- +goose Up
ALTER TABLE runs ADD COLUMN sweep TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN stopping BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN rewound BIGINT NOT NULL DEFAULT 0;

-- What a run recorded that is no number. value is JSON.
CREATE TABLE items (
    run   TEXT   NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    n     BIGINT NOT NULL,
    key   TEXT   NOT NULL,
    step  BIGINT NOT NULL,
    value TEXT   NOT NULL,
    at    BIGINT NOT NULL,
    PRIMARY KEY (run, n)
);
CREATE INDEX items_by_key ON items (run, key, n);

-- How many lines of each stream that a run sends were stored.
CREATE TABLE positions (
    run    TEXT   NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    source TEXT   NOT NULL,
    n      BIGINT NOT NULL,
    PRIMARY KEY (run, source)
);

-- What other programs say of a file; '' = nothing. extra is JSON.
ALTER TABLE entries ADD COLUMN md5 TEXT NOT NULL DEFAULT '';
ALTER TABLE entries ADD COLUMN etag TEXT NOT NULL DEFAULT '';
ALTER TABLE entries ADD COLUMN extra TEXT NOT NULL DEFAULT '';
ALTER TABLE files ADD COLUMN md5 TEXT NOT NULL DEFAULT '';
ALTER TABLE files ADD COLUMN etag TEXT NOT NULL DEFAULT '';
ALTER TABLE files ADD COLUMN extra TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE files DROP COLUMN extra;
ALTER TABLE files DROP COLUMN etag;
ALTER TABLE files DROP COLUMN md5;
ALTER TABLE entries DROP COLUMN extra;
ALTER TABLE entries DROP COLUMN etag;
ALTER TABLE entries DROP COLUMN md5;
DROP TABLE positions;
DROP TABLE items;
ALTER TABLE runs DROP COLUMN rewound;
ALTER TABLE runs DROP COLUMN stopping;
ALTER TABLE runs DROP COLUMN sweep;
