-- The evidence ledger: an append-only, gapless chain of records.
--
-- `entry` is the RFC 8785 (canonical JSON) text of {"at","body","kind","prev","seq","subject"}, exactly as it was
-- hashed; `hash` is the hex SHA-256 of its UTF-8 bytes; `prev` is the hash of the record before (64 zeros for the
-- first). The columns repeat what the entry says so that it can be searched.
--
-- What is refused here is refused to everybody, the owner of the table included. An owner or a superuser can still
-- drop a trigger: that is why the head of the chain is signed and kept outside this database. See docs/ledger.md.

create schema evidence;

comment on schema evidence is 'Tidewatch: what happened, in an append-only hash chain';

do $$
begin
    if current_setting('server_encoding') <> 'UTF8' then
        raise exception 'the Tidewatch database must use the encoding UTF8, not %', current_setting('server_encoding')
            using hint = 'Create it with: create database ... encoding ''UTF8'' template template0';
    end if;
end
$$;

create table evidence.ledger (
    seq     bigint primary key check (seq > 0),
    at      timestamptz not null,
    kind    text collate "C" not null check (kind ~ '^[a-z][a-z0-9_]*([.][a-z][a-z0-9_]*)+$' and length(kind) <= 100),
    -- no control characters: a subject can be printed, and its JSON form needs two escapes only
    subject text collate "C" not null check (length(subject) between 1 and 400 and subject !~ E'[\\x01-\\x1f\\x7f]'),
    -- 4 MiB: evidence names things and gives their digests, it does not carry them
    entry   text collate "C" not null check (octet_length(entry) <= 4194304),
    hash    text collate "C" not null unique check (hash ~ '^[0-9a-f]{64}$')
);

create index ledger_kind on evidence.ledger (kind, seq);
create index ledger_subject on evidence.ledger (subject, seq);

comment on table evidence.ledger is 'One record a fact, hash-chained; append through tidewatch.evidence only';

-- The end of the chain. Appending locks this row until the writer's transaction ends, which is what makes the chain
-- gapless under parallel writers and lets a rolled-back transaction leave nothing behind.
create table evidence.head (
    only_row boolean primary key default true check (only_row),
    seq      bigint not null check (seq >= 0),
    hash     text collate "C" not null check (hash ~ '^[0-9a-f]{64}$')
);

insert into evidence.head (seq, hash) values (0, repeat('0', 64));

comment on table evidence.head is 'The last record of evidence.ledger; its row lock orders the writers';

-- Lock and read the head. The wait is bounded: a writer that appended and then forgot to commit must not hang all others.
create function evidence.lock_head(out seq bigint, out hash text)
    language plpgsql
    set search_path = pg_catalog, pg_temp
    set lock_timeout = '60s'
as $$
begin
    select h.seq, h.hash into strict lock_head.seq, lock_head.hash from evidence.head h for update;
end
$$;

create function evidence.check_record() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    last     evidence.head;
    prefix   text;
    suffix   text;
    computed text;
begin
    select * into strict last from evidence.head for update;

    if new.seq is distinct from last.seq + 1 then
        raise exception 'evidence.ledger: record % cannot follow record %', new.seq, last.seq
            using errcode = 'check_violation',
                  detail = format('The next record is %s. Records are gapless and are appended one at a time.', last.seq + 1),
                  hint = 'Append through tidewatch.evidence.ledger.append.';
    end if;

    -- RFC 8785 sorts the keys, so an entry has one possible frame around its body.
    prefix := '{"at":"' || to_char(new.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '","body":{';
    suffix := '},"kind":"' || new.kind || '","prev":"' || last.hash || '","seq":' || new.seq
        || ',"subject":"' || replace(replace(new.subject, '\', '\\'), '"', '\"') || '"}';
    if not starts_with(new.entry, prefix)
        or right(new.entry, length(suffix)) is distinct from suffix
        or length(new.entry) < length(prefix) + length(suffix)
        or json_typeof(new.entry::json) is distinct from 'object'
    then
        raise exception 'evidence.ledger: the entry of record % does not say what its columns say', new.seq
            using errcode = 'check_violation',
                  detail = format('It must begin with %s and end with %s, so that it follows record %s.', prefix, suffix, last.seq),
                  hint = 'Append through tidewatch.evidence.ledger.append.';
    end if;

    computed := encode(sha256(convert_to(new.entry, 'UTF8')), 'hex');
    if new.hash is distinct from computed then
        raise exception 'evidence.ledger: the hash of record % is not the SHA-256 of its entry', new.seq
            using errcode = 'check_violation',
                  detail = format('The entry hashes to %s, the record says %s.', computed, new.hash),
                  hint = 'Append through tidewatch.evidence.ledger.append.';
    end if;
    return new;
end
$$;

create function evidence.advance_head() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    update evidence.head set seq = new.seq, hash = new.hash;
    return null;
end
$$;

-- The head moves one record at a time, onto a record that is there.
create function evidence.check_head() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if new.seq is distinct from old.seq + 1
        or not new.only_row
        or not exists (select from evidence.ledger l where l.seq = new.seq and l.hash = new.hash)
    then
        raise exception 'evidence.head follows evidence.ledger and cannot be set'
            using errcode = 'restrict_violation',
                  hint = 'Append a record through tidewatch.evidence.ledger.append; the head moves with it.';
    end if;
    return new;
end
$$;

create function evidence.refuse() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'evidence.% is append-only: % is refused', tg_table_name, tg_op
        using errcode = 'restrict_violation',
              detail = 'Every record is part of a hash chain whose head is signed and kept outside this database.',
              hint = 'To correct a record, append a new one that says what was wrong.';
end
$$;

create trigger check_record before insert on evidence.ledger
    for each row execute function evidence.check_record();
create trigger advance_head after insert on evidence.ledger
    for each row execute function evidence.advance_head();
create trigger refuse_change before update or delete on evidence.ledger
    for each statement execute function evidence.refuse();
create trigger refuse_truncate before truncate on evidence.ledger
    for each statement execute function evidence.refuse();

create trigger check_head before update on evidence.head
    for each row execute function evidence.check_head();
create trigger refuse_change before insert or delete on evidence.head
    for each statement execute function evidence.refuse();
create trigger refuse_truncate before truncate on evidence.head
    for each statement execute function evidence.refuse();

-- ALWAYS: also while session_replication_role is 'replica', which skips ordinary triggers.
alter table evidence.ledger enable always trigger check_record;
alter table evidence.ledger enable always trigger advance_head;
alter table evidence.ledger enable always trigger refuse_change;
alter table evidence.ledger enable always trigger refuse_truncate;
alter table evidence.head enable always trigger check_head;
alter table evidence.head enable always trigger refuse_change;
alter table evidence.head enable always trigger refuse_truncate;

revoke all on schema evidence from public;
revoke all on all tables in schema evidence from public;
revoke all on all functions in schema evidence from public;
