-- What push services answered, in slots of five minutes: the pruning guard's memory.
CREATE TABLE answer_slots (
    application_id INTEGER NOT NULL REFERENCES applications (id),
    push_service   TEXT    NOT NULL,
    starts_at      INTEGER NOT NULL,
    answers        INTEGER NOT NULL CHECK (answers >= gone),
    gone           INTEGER NOT NULL CHECK (gone >= 0),
    PRIMARY KEY (application_id, push_service, starts_at)
) STRICT, WITHOUT ROWID;

CREATE INDEX answer_slots_by_age ON answer_slots (starts_at);

-- Waves of "gone" that go on, or went on last.
CREATE TABLE gone_waves (
    application_id INTEGER NOT NULL REFERENCES applications (id),
    push_service   TEXT    NOT NULL,
    -- When the numbers said so last.
    seen_at        INTEGER NOT NULL,
    -- Tombstones made from this instant on are still to be suspended. NULL: all are.
    suspend_from   INTEGER,
    PRIMARY KEY (application_id, push_service)
) STRICT, WITHOUT ROWID;

ALTER TABLE subscriptions
    ADD COLUMN suspected_at INTEGER CHECK (state <> 'suspect' OR suspected_at IS NOT NULL);

CREATE INDEX subscriptions_suspects ON subscriptions (suspected_at, application_id, push_service)
    WHERE state = 'suspect';
