-- Applications share fairly: what is due is looked for in each of them.
DROP INDEX batches_unclaimed;
CREATE INDEX batches_unclaimed ON batches (application_id, push_service, lane, not_before)
    WHERE open = 1 AND lease_token IS NULL;
