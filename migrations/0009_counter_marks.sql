-- What the hot counters were allowed to come to, so that losing them gives
-- nobody a second quota: a row for each counter, of its latest period.
CREATE TABLE counter_marks (
    -- The counter's key without its period.
    name      text        PRIMARY KEY,
    -- When the period began, Unix milliseconds.
    starts_ms bigint      NOT NULL,
    -- No more uses than these were admitted in it.
    mark      bigint      NOT NULL CHECK (mark >= 0),
    ends_at   timestamptz NOT NULL
) WITH (fillfactor = 70);
