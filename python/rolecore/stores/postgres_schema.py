"""The tables of sessions in PostgreSQL, and the function that appends to them in one step."""

from __future__ import annotations

# Raised when a store of the one before could not work with these tables. A store refuses newer ones.
VERSION = 1

# The first item of what `rolecore.append` returns; the second is the version, the version found, or the bytes needed.
IS_DONE, IS_CONFLICT, IS_OVER_QUOTA = range(3)

# A session's messages lie in turns by their place from 1. `message` is for queries; where JSONB would not give a
# message back as it was, `exact` is its text. `token` stands at the last message of a batch.
#
# The function locks the session's row before it looks for the token: an earlier attempt whose answer was lost may still
# be under way, and each statement in it sees what was committed before the statement began.
CREATE = """
CREATE SCHEMA IF NOT EXISTS rolecore;
CREATE TABLE rolecore.schema_version (version int NOT NULL);

CREATE TABLE rolecore.sessions (
    serial bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    tenant text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    n_bytes bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    ends_at timestamptz,
    PRIMARY KEY (tenant, session_id)
);
CREATE INDEX sessions_ends_at ON rolecore.sessions (ends_at) WHERE ends_at IS NOT NULL;

CREATE TABLE rolecore.turns (
    session bigint NOT NULL REFERENCES rolecore.sessions (serial) ON DELETE CASCADE,
    position bigint NOT NULL,
    message jsonb NOT NULL,
    exact text,
    token uuid,
    PRIMARY KEY (session, position)
);
CREATE UNIQUE INDEX turns_token ON rolecore.turns (session, token) WHERE token IS NOT NULL;
CREATE INDEX turns_message ON rolecore.turns USING gin (message jsonb_path_ops);

CREATE FUNCTION rolecore.append(
    p_tenant text, p_session_id text, p_token uuid, p_expected bigint, p_quota bigint, p_n_bytes bigint,
    p_messages text[], p_exacts text[], OUT outcome int, OUT number bigint
) LANGUAGE plpgsql AS $$
DECLARE
    found_serial bigint;
    found_version bigint;
    is_ended boolean;
BEGIN
    IF p_quota IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('rolecore ' || p_tenant, 0));
    END IF;
    LOOP
        SELECT serial, version, ends_at <= clock_timestamp() INTO found_serial, found_version, is_ended
            FROM rolecore.sessions WHERE tenant = p_tenant AND session_id = p_session_id FOR UPDATE;
        EXIT WHEN FOUND AND is_ended IS NOT TRUE;
        IF FOUND THEN
            DELETE FROM rolecore.sessions WHERE serial = found_serial;
        END IF;
        IF p_expected > 0 THEN
            outcome := 1; number := 0;
            RETURN;
        END IF;
        INSERT INTO rolecore.sessions (tenant, session_id, version, n_bytes, created_at, updated_at)
            VALUES (p_tenant, p_session_id, 0, 0, clock_timestamp(), clock_timestamp()) ON CONFLICT DO NOTHING;
    END LOOP;

    SELECT position INTO number FROM rolecore.turns WHERE session = found_serial AND token = p_token;
    IF FOUND THEN
        outcome := 0;
        RETURN;
    END IF;
    IF p_expected <> found_version THEN
        outcome := 1; number := found_version;
        RETURN;
    END IF;
    IF p_quota IS NOT NULL THEN
        SELECT sum(n_bytes) + p_n_bytes INTO number FROM rolecore.sessions
            WHERE tenant = p_tenant AND (ends_at IS NULL OR ends_at > clock_timestamp());
        IF number > p_quota THEN
            DELETE FROM rolecore.sessions WHERE serial = found_serial AND version = 0;
            outcome := 2;
            RETURN;
        END IF;
    END IF;

    number := found_version + array_length(p_messages, 1);
    INSERT INTO rolecore.turns (session, position, message, exact, token)
        SELECT found_serial, found_version + place, text::jsonb, exact,
            CASE WHEN found_version + place = number THEN p_token END
            FROM unnest(p_messages, p_exacts) WITH ORDINALITY AS batch (text, exact, place);
    UPDATE rolecore.sessions SET version = number, n_bytes = n_bytes + p_n_bytes,
        updated_at = greatest(updated_at, clock_timestamp()) WHERE serial = found_serial;
    DELETE FROM rolecore.sessions WHERE serial IN (
        SELECT serial FROM rolecore.sessions WHERE ends_at <= clock_timestamp() LIMIT 10 FOR UPDATE SKIP LOCKED
    );
    outcome := 0;
END $$;

INSERT INTO rolecore.schema_version VALUES (1);
"""

# What `rolecore.append` sees after it has waited for a lock depends on it.
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
# All calls below run in a transaction that starts with this.
SETTINGS = """
SELECT set_config('synchronous_commit', %s, true), set_config(name, %s, true)
    FROM unnest(ARRAY['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout']) AS name
"""

# `to_regclass` would answer from a cache that a lock does not renew.
CHECK = """
SELECT current_setting('fsync'), current_setting('server_encoding'), EXISTS (
    SELECT FROM pg_catalog.pg_tables WHERE schemaname = 'rolecore' AND tablename = 'schema_version'
)
"""
READ_VERSION = "SELECT max(version) FROM rolecore.schema_version"
LOCK_SCHEMA = "SELECT pg_advisory_xact_lock(hashtextextended('rolecore schema', 0))"

APPEND = "SELECT outcome, number FROM rolecore.append(%s, %s, %s, %s, %s, %s, %s, %s)"
LOAD = """
SELECT s.version, extract(epoch FROM s.created_at)::float8, extract(epoch FROM s.updated_at)::float8,
    t.position, coalesce(t.exact, t.message::text)
    FROM rolecore.sessions s LEFT JOIN rolecore.turns t ON t.session = s.serial
    WHERE s.tenant = %s AND s.session_id = %s AND (s.ends_at IS NULL OR s.ends_at > clock_timestamp())
    ORDER BY t.position
"""
LIST = """
SELECT session_id FROM rolecore.sessions
    WHERE tenant = %s AND (ends_at IS NULL OR ends_at > clock_timestamp()) ORDER BY session_id
"""
DELETE = """
DELETE FROM rolecore.sessions WHERE tenant = %s AND session_id = %s
    RETURNING ends_at IS NULL OR ends_at > clock_timestamp()
"""
EXPIRE = """
UPDATE rolecore.sessions SET ends_at = clock_timestamp() + make_interval(secs => %s)
    WHERE tenant = %s AND session_id = %s AND (ends_at IS NULL OR ends_at > clock_timestamp()) RETURNING true
"""
USAGE = """
SELECT coalesce(sum(n_bytes), 0)::bigint FROM rolecore.sessions
    WHERE tenant = %s AND (ends_at IS NULL OR ends_at > clock_timestamp())
"""
