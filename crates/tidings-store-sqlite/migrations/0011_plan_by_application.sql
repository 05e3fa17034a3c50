-- Applications share fairly: what is to be planned is looked for in each of them.
-- From when on a message may be planned: what was to be sent at once is due whatever became of the
-- clock. In the index, so that what waits for a later instant is not walked.
ALTER TABLE messages ADD COLUMN plan_from INTEGER
    GENERATED ALWAYS AS (CASE WHEN due_at = accepted_at THEN 0 ELSE due_at END) VIRTUAL;
DROP INDEX messages_to_plan;
CREATE INDEX messages_to_plan ON messages (lane, application_id, plan_from, id)
    WHERE state = 'planning';
