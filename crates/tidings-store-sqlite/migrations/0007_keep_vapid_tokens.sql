CREATE TABLE vapid_tokens (
    id           INTEGER PRIMARY KEY,
    vapid_key_id INTEGER NOT NULL REFERENCES vapid_keys (id),
    origin       TEXT    NOT NULL,
    -- What the sealed value is bound to: the key's public_id and the origin.
    bound_to     BLOB    NOT NULL UNIQUE CHECK (length(bound_to) > 16),
    -- Sealed: the JWT.
    token        BLOB    NOT NULL,
    signed_at    INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL
) STRICT;

CREATE INDEX vapid_tokens_by_key ON vapid_tokens (vapid_key_id);
CREATE INDEX vapid_tokens_by_age ON vapid_tokens (signed_at);
CREATE INDEX vapid_tokens_by_end ON vapid_tokens (expires_at);
