CREATE TABLE api_tokens (
    id             BLOB    PRIMARY KEY CHECK (length(id) = 16),
    application_id INTEGER NOT NULL REFERENCES applications (id),
    -- SHA-256 of the token's text, which is kept nowhere.
    hash           BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    name           TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    -- Names of scopes with a space between each two.
    scopes         TEXT    NOT NULL CHECK (length(scopes) > 0),
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER,
    last_used_at   INTEGER,
    revoked_at     INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX api_tokens_by_application ON api_tokens (application_id, id);
CREATE INDEX api_tokens_by_end ON api_tokens (coalesce(revoked_at, expires_at));
