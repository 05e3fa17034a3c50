-- To count suspects where they are, and to decide about those of one push service, without walking
-- what is suspect elsewhere.
CREATE INDEX subscriptions_suspects_by_group
    ON subscriptions (application_id, push_service, seq, suspected_at)
    WHERE state = 'suspect';

-- The tombstones that a wave may still make suspect.
CREATE INDEX subscriptions_suspendable
    ON subscriptions (application_id, push_service, ended_at)
    WHERE state = 'gone' AND suspected_at IS NULL;
