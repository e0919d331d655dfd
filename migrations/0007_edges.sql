-- The places of the edge, which may read the feed.
CREATE TABLE edges (
    edge_id       uuid        PRIMARY KEY,
    place         text        NOT NULL,
    secret_sha256 bytea       NOT NULL CHECK (octet_length(secret_sha256) = 32),
    created_at    timestamptz NOT NULL,
    CONSTRAINT edges_place_unique UNIQUE (place)
);
