-- For the cap of active subscriptions by person: counted without walking that person's tombstones.
CREATE INDEX subscriptions_active_by_user ON subscriptions (application_id, user)
    WHERE state = 'active' AND user IS NOT NULL;
