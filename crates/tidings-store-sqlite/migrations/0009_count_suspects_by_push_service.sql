-- To count suspects where they are, in the order of that index and without the table.
CREATE INDEX subscriptions_suspects_by_group
    ON subscriptions (application_id, push_service, suspected_at)
    WHERE state = 'suspect';
