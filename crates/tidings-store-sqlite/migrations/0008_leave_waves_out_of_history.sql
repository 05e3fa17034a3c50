-- Answers from a wave of "gone" say nothing about what is usual.
ALTER TABLE answer_slots ADD COLUMN in_wave INTEGER NOT NULL DEFAULT 0 CHECK (in_wave IN (0, 1));
