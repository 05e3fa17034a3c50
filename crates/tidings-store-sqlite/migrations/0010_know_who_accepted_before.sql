-- Which subscriptions a push service accepted a message for: a bit for each seq, 4096 to a row. What
-- a subscription that never accepted anything is refused says nothing about the VAPID key.
CREATE TABLE accepted_before (
    application_id INTEGER NOT NULL REFERENCES applications (id),
    first_seq      INTEGER NOT NULL CHECK (first_seq % 4096 = 0),
    accepted       BLOB    NOT NULL CHECK (length(accepted) = 512),
    PRIMARY KEY (application_id, first_seq)
) STRICT, WITHOUT ROWID;
