-- One of everything PostgreSQL has and pg_dump keeps, with values that break naive code.
create schema "Odd ""schema"" 微博";
create type mood as enum ('happy', 'sad', 'a''b', '怒');
create domain percent as numeric(5, 2) check (value between 0 and 100);
create type address as (street text, "No." integer);
create type span as range (subtype = float8, subtype_diff = float8mi);
create table kinds (
    id integer primary key generated always as identity,
    ints integer[], matrix text[][], j json, b jsonb, m mood, p percent, a address, s span,
    ms int4multirange, raw bytea, f4 real, f8 double precision, n numeric, d date, t timestamp,
    tz timestamptz, i interval, u uuid, c character(5), v varchar(20), money money, bits bit varying,
    inet inet, ts tsvector, reg regclass,
    doubled double precision generated always as (f8 * 2) stored
);
insert into kinds (ints, matrix, j, b, m, p, a, s, ms, raw, f4, f8, n, d, t, tz, i, u, c, v, money, bits, inet,
                   ts, reg)
values
    ('{1,NULL,3}', '{{a,"b c"},{"",NULL}}', '{"b": 1, "a" :2, "a": 3}', '{"b": 1, "a": 2}', 'a''b', 99.50,
     row('长安街', 1), '[1.5,2.5)', '{[1,3),[7,9)}', '\x00ff0a09', 'NaN', '-Infinity', 'NaN', '0044-03-15 BC',
     'infinity', '-infinity', '1 year -2 mons +3 days 04:05:06.789', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
     'ab', '', 12.34, b'0101', '10.0.0.0/8', 'fat:1A cat', 'kinds'),
    ('{}', '{}', 'null', 'null', '怒', 0, null, 'empty', '{}', '', 0.1, 1e-300, 1.00, 'infinity',
     '2026-03-29 02:30:00.123456', '2026-11-01 01:30:00-05', '-1 day', null, null, e'tab\tnl\ncr\rb\\',
     -1, '', '::1', '', null),
    (null, null, null, null, null, null, null, null, null, null, '-0', 5e-324, 1.0, null, null, null, null, null,
     null, '🌊', null, null, null, null, null);
create table "Odd ""schema"" 微博"."名字 with ""quotes"" and 🌊" ("select" text, "列 🌊" text, " " integer);
insert into "Odd ""schema"" 微博"."名字 with ""quotes"" and 🌊" values ('a', 'b', 1), ('a', 'b', 1), (null, '\N', 2);
create table "sixty_three_bytes_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" (a integer);
create table no_columns ();
insert into no_columns default values;
insert into no_columns default values;
create table empty_table (id integer);
create unlogged table unlogged_table (id integer, t text);
insert into unlogged_table values (1, 'kept by pg_dump');
create table dropped_column (a integer, gone integer, b text);
insert into dropped_column values (1, 2, 'x');
alter table dropped_column drop column gone;
alter table dropped_column add column c integer default 7;

create table events (at date not null, id bigint, body text, primary key (id, at)) partition by range (at);
create table events_2025 partition of events for values from ('2025-01-01') to ('2026-01-01');
create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01') partition by hash (id);
create table events_2026_0 partition of events_2026 for values with (modulus 2, remainder 0);
create table events_2026_1 partition of events_2026 for values with (modulus 2, remainder 1);
create table events_rest partition of events default;
insert into events select date '2025-06-01' + g, g, 'event ' || g from generate_series(1, 700) g;
create table event_notes (event_id bigint, at date, note text, foreign key (event_id, at) references events);
insert into event_notes values (1, '2025-06-02', 'first');

create table parent (id integer check (id > 0), name text);
create table child (extra text) inherits (parent);
insert into parent values (1, 'p');
insert into child values (2, 'c', 'only here');

create sequence counter start 5 increment 5 maxvalue 9223372036854775807;
select nextval('counter'), nextval('counter');
create sequence never_called start 9;
create sequence set_not_called;
select setval('set_not_called', 44, false);
create table with_serial (id bigserial primary key, v text unique);
insert into with_serial (v) values ('a'), ('b');

create function add_one(i integer) returns integer language sql immutable as 'select i + 1';
create function add_one(t text) returns text language sql as $$ select t || '1' $$;
create function noticed() returns trigger language plpgsql as $$ begin return new; end $$;
create procedure nothing(inout a integer) language plpgsql as $$ begin null; end $$;
create aggregate total (integer) (sfunc = int4pl, stype = integer, initcond = '0');
create trigger watch before insert or update on with_serial for each row when (new.v <> 'x') execute function noticed();
alter table with_serial disable trigger watch;
create trigger on_partitions after insert on events for each row execute function noticed();
create rule quiet as on delete to empty_table do instead nothing;
create index by_expression on kinds (lower(v) desc nulls last) where f8 > 0;
create statistics kinds_statistics (dependencies) on f4, f8 from kinds;

create view first_view as select id, v from kinds where tz > timestamptz '2026-01-01 00:00:00+08';
create view second_view with (security_barrier) as select count(*) as n from first_view;
create materialized view counted as select body, count(*) as n from events group by body;
create unique index on counted (body);
create materialized view not_filled as select 1 as one with no data;

create table guarded (owner text, secret text);
insert into guarded values ('a', '1'), ('b', '2');
alter table guarded enable row level security;
create policy own on guarded for select to public using (owner = current_user);
alter table only guarded replica identity full;

create collation pinyin (provider = libc, locale = 'C.UTF-8');
create table collated (name text collate pinyin, c text collate "C");
insert into collated values ('王', 'Z'), ('李', 'a');
create text search configuration plain (copy = simple);
create operator === (leftarg = integer, rightarg = integer, function = int4eq, commutator = ===);
create cast (address as text) with inout;
create foreign data wrapper nowhere;
create server elsewhere foreign data wrapper nowhere options (host 'example.org');
create foreign table remote (id integer options (column_name 'x')) server elsewhere options (table_name 'y');
create publication news for table events, kinds (id, v) where (id > 7);

comment on table kinds is 'Every kind of value';
comment on column kinds.f8 is '浮点';
comment on function add_one(integer) is 'plus one';
comment on constraint parent_id_check on parent is 'positive';
comment on schema public is 'ours';

select lo_from_bytea(90001, 'small'), lo_from_bytea(90002, ''),
       lo_from_bytea(90003, convert_to(repeat('large object ', 700000), 'UTF8'));
comment on large object 90001 is 'a picture';
grant select (id, v) on kinds to public;
grant usage on schema "Odd ""schema"" 微博" to public;
revoke execute on function add_one(integer) from public;
grant select on large object 90001 to public;
alter default privileges in schema public grant select on tables to public;
