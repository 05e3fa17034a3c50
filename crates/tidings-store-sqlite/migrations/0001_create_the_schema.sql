-- Instants are milliseconds since 1970 in UTC. Identifiers of 16 octets are UUIDv7.

CREATE TABLE applications (
    id         INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    -- The highest seq given to a subscription: a message's cutoff is read from here.
    last_seq   INTEGER NOT NULL DEFAULT 0 CHECK (last_seq >= 0),
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE secrets (
    name   TEXT PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One row: the number of the process that holds the database. Leases end with their epoch.
CREATE TABLE epochs (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL
) STRICT;

CREATE TABLE vapid_keys (
    id             INTEGER PRIMARY KEY,
    public_id      BLOB    NOT NULL UNIQUE CHECK (length(public_id) = 16),
    application_id INTEGER NOT NULL REFERENCES applications (id),
    public_key     BLOB    NOT NULL CHECK (length(public_key) = 65),
    -- Sealed: the scalar as base64url.
    private_key    BLOB    NOT NULL,
    state          TEXT    NOT NULL CHECK (state IN ('active', 'live', 'retired')),
    created_at     INTEGER NOT NULL,
    UNIQUE (application_id, public_key)
) STRICT;

CREATE UNIQUE INDEX vapid_keys_one_active ON vapid_keys (application_id) WHERE state = 'active';

CREATE TABLE subscriptions (
    application_id INTEGER NOT NULL REFERENCES applications (id),
    seq            INTEGER NOT NULL CHECK (seq > 0),
    id             BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    endpoint_hash  BLOB    NOT NULL CHECK (length(endpoint_hash) = 16),
    -- Sealed: auth (16 octets), p256dh (65), endpoint.
    capability     BLOB    NOT NULL,
    push_service   TEXT    NOT NULL,
    vapid_key_id   INTEGER NOT NULL REFERENCES vapid_keys (id),
    encoding       TEXT    NOT NULL CHECK (encoding IN ('aes128gcm', 'aesgcm')),
    state          TEXT    NOT NULL CHECK (state IN ('active', 'gone', 'suspect', 'ended')),
    user           TEXT,
    attributes     TEXT    CHECK (attributes IS NULL OR json_valid(attributes)),
    locale         TEXT,
    timezone       TEXT,
    created_at     INTEGER NOT NULL,
    last_seen_at   INTEGER NOT NULL,
    ended_at       INTEGER CHECK ((ended_at IS NULL) = (state IN ('active', 'suspect'))),
    tested_at      INTEGER,
    PRIMARY KEY (application_id, seq),
    UNIQUE (application_id, endpoint_hash)
) STRICT;

CREATE INDEX subscriptions_by_user ON subscriptions (application_id, user, seq)
    WHERE user IS NOT NULL;
CREATE INDEX subscriptions_by_state ON subscriptions (application_id, state, seq)
    WHERE state <> 'active';
CREATE INDEX subscriptions_by_vapid_key ON subscriptions (vapid_key_id) WHERE state = 'active';
CREATE INDEX subscriptions_tombstones ON subscriptions (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE messages (
    id             BLOB    PRIMARY KEY CHECK (length(id) = 16),
    application_id INTEGER NOT NULL REFERENCES applications (id),
    state          TEXT    NOT NULL
        CHECK (state IN ('scheduled', 'planning', 'sending', 'done', 'cancelled', 'failed')),
    lane           INTEGER NOT NULL CHECK (lane IN (0, 1)),
    audience       TEXT    NOT NULL CHECK (json_valid(audience)),
    -- Sealed.
    content        BLOB    NOT NULL,
    ttl_s          INTEGER NOT NULL CHECK (ttl_s >= 0),
    urgency        TEXT    NOT NULL CHECK (urgency IN ('very-low', 'low', 'normal', 'high')),
    topic          TEXT,
    -- The highest seq there was when the message was accepted.
    cutoff         INTEGER NOT NULL CHECK (cutoff >= 0),
    -- The highest seq that the planner has walked.
    cursor         INTEGER NOT NULL DEFAULT 0 CHECK (cursor BETWEEN 0 AND cutoff),
    accepted_at    INTEGER NOT NULL,
    due_at         INTEGER NOT NULL,
    done_at        INTEGER,
    shown          INTEGER NOT NULL DEFAULT 0,
    clicked        INTEGER NOT NULL DEFAULT 0,
    dismissed      INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX messages_by_application ON messages (application_id, id);
CREATE INDEX messages_to_plan ON messages (lane, id) WHERE state = 'planning';

CREATE TABLE idempotency_keys (
    application_id INTEGER NOT NULL REFERENCES applications (id),
    key            BLOB    NOT NULL CHECK (length(key) = 32),
    body           BLOB    NOT NULL CHECK (length(body) = 32),
    message_id     BLOB    NOT NULL REFERENCES messages (id),
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (application_id, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

CREATE TABLE batches (
    id             INTEGER PRIMARY KEY,
    message_id     BLOB    NOT NULL REFERENCES messages (id),
    application_id INTEGER NOT NULL REFERENCES applications (id),
    push_service   TEXT    NOT NULL,
    lane           INTEGER NOT NULL CHECK (lane IN (0, 1)),
    due_at         INTEGER NOT NULL,
    not_before     INTEGER NOT NULL,
    -- Positions: seqs from first_seq on with a bit each, or a list of seqs of 8 octets each.
    first_seq      INTEGER,
    span           INTEGER NOT NULL CHECK (span BETWEEN 1 AND 4096),
    members        BLOB    NOT NULL CHECK (
        length(members) = CASE WHEN first_seq IS NULL THEN 8 * span ELSE (span + 7) / 8 END
    ),
    -- A bit for each position: set when its outcome is final.
    settled        BLOB    NOT NULL CHECK (length(settled) = (span + 7) / 8),
    targeted       INTEGER NOT NULL CHECK (targeted BETWEEN 1 AND span),
    retrying       INTEGER NOT NULL DEFAULT 0 CHECK (retrying >= 0),
    accepted       INTEGER NOT NULL DEFAULT 0,
    gone           INTEGER NOT NULL DEFAULT 0,
    refused        INTEGER NOT NULL DEFAULT 0,
    expired        INTEGER NOT NULL DEFAULT 0,
    ended          INTEGER NOT NULL DEFAULT 0,
    cancelled      INTEGER NOT NULL DEFAULT 0,
    open           INTEGER NOT NULL DEFAULT 1 CHECK (open IN (0, 1)),
    lease_token    BLOB    CHECK (length(lease_token) = 16),
    lease_epoch    INTEGER CHECK ((lease_epoch IS NULL) = (lease_token IS NULL)),
    CHECK (retrying + accepted + gone + refused + expired + ended + cancelled <= targeted)
) STRICT;

CREATE INDEX batches_unclaimed ON batches (push_service, lane, not_before)
    WHERE open = 1 AND lease_token IS NULL;
CREATE INDEX batches_claimed ON batches (lease_epoch) WHERE lease_token IS NOT NULL;
CREATE INDEX batches_by_message ON batches (message_id, open);

-- Only what is not simply accepted has a row.
CREATE TABLE deliveries (
    batch_id        INTEGER NOT NULL REFERENCES batches (id),
    position        INTEGER NOT NULL CHECK (position BETWEEN 0 AND 4095),
    subscription_id BLOB    CHECK (length(subscription_id) = 16),
    state           TEXT    NOT NULL CHECK (state IN ('retrying', 'gone', 'refused', 'expired')),
    attempts        INTEGER NOT NULL CHECK (attempts >= 0),
    next_attempt_at INTEGER CHECK ((next_attempt_at IS NULL) = (state <> 'retrying')),
    last_status     INTEGER,
    last_reason     TEXT,
    updated_at      INTEGER NOT NULL,
    PRIMARY KEY (batch_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE receipts (
    message_id      BLOB    NOT NULL REFERENCES messages (id),
    subscription_id BLOB    NOT NULL CHECK (length(subscription_id) = 16),
    event           TEXT    NOT NULL CHECK (event IN ('shown', 'clicked', 'dismissed')),
    action          TEXT,
    at              INTEGER NOT NULL,
    received_at     INTEGER NOT NULL,
    PRIMARY KEY (message_id, subscription_id, event)
) STRICT, WITHOUT ROWID;
