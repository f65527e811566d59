-- The console: who is signed in, and what its pages look up.
-- The PostgreSQL twin has the same tables, columns and nullability; a test compares them.

-- Sessions. token_sha256 is the value_sha256 of the token that they were opened with: a session lives no longer than that
-- value is good for.
CREATE TABLE sessions (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL,
    value_sha256 BLOB NOT NULL,
    token_sha256 BLOB NOT NULL,
    source TEXT NOT NULL,
    -- What the browser calls itself.
    agent TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX sessions_by_value ON sessions (value_sha256);
CREATE INDEX sessions_by_token ON sessions (token_sha256);

-- Forms that were sent: each is taken once.
CREATE TABLE spent_forms (
    session_id BLOB NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    nonce BLOB NOT NULL,
    spent_at BIGINT NOT NULL,
    PRIMARY KEY (session_id, nonce)
);

-- What became of one certificate, and how many were revoked on a day. Issuances, which are the most, are not in them: they
-- are found by their time.
CREATE INDEX audit_events_by_subject ON audit_events (subject, at) WHERE action <> 'certificate.issue';
CREATE INDEX audit_events_of_revocations ON audit_events (zone_id, at) WHERE action = 'certificate.revoked';
