-- What became of the deliveries of batches that are not kept any more: a message's counts are these
-- and the sums over its batches.
ALTER TABLE messages ADD COLUMN targeted  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN retrying  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN accepted  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN gone      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN refused   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN expired   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN ended     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN cancelled INTEGER NOT NULL DEFAULT 0;

-- Whether no batch of it is kept any more.
ALTER TABLE messages ADD COLUMN folded INTEGER NOT NULL DEFAULT 0 CHECK (folded IN (0, 1));

CREATE INDEX messages_to_fold ON messages (done_at) WHERE folded = 0 AND done_at IS NOT NULL;
CREATE INDEX messages_folded ON messages (done_at) WHERE folded = 1;

-- To forget a message, SQLite looks for the keys that name it.
CREATE INDEX idempotency_keys_by_message ON idempotency_keys (message_id);
