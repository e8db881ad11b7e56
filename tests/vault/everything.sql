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

-- Every type of pg_catalog that a column can have (xml and ICU collations: libraries.sql, not every build has
-- them), with the ends of its range.
create domain few as integer[] check (cardinality(value) < 4);
create domain must as text not null default 'x' check (value ~ '^x');
create type size as enum ('s', 'm', 'l');
alter type size add value 'xs' before 's';
create type nested as (at address, tags text[], how mood, within span);
create table more_kinds (
    bo boolean, ba bytea, ch "char", na name, i8 int8, i2 int2, i2v int2vector, i4 int4, rp regproc, te text,
    oi oid, ti tid, xi xid, ci cid, ov oidvector, js json, po point, ls lseg, pa path, bx box, pg polygon,
    li line, f4 float4, f8 float8, ur macaddr, u8 macaddr8, cd cidr, ip inet, bp bpchar, vc varchar, da date,
    ti2 time, ts timestamp, tz timestamptz, iv interval, tt timetz, bi bit(3), vb varbit, nu numeric,
    rc refcursor, rpd regprocedure, ro regoper, rop regoperator, rcl regclass, rco regcollation, rt regtype,
    rr regrole, rn regnamespace, uu uuid, ls2 pg_lsn, tv tsvector, rcf regconfig, rd regdictionary,
    tq tsquery, jb jsonb, jp jsonpath, tx txid_snapshot, ps pg_snapshot, x8 xid8, ac aclitem, ci2 circle,
    mo money, i4r int4range, i8r int8range, nr numrange, tr tsrange, tzr tstzrange, dr daterange,
    so few, mu must, sz size, deep nested, deeper nested[], spans span[], dates date[], odd integer[],
    bytes bytea[], docs jsonb[], enums mood[]
);
insert into more_kinds values
    (true, '\x00', 'q', 'name', 9223372036854775807, 32767, '1 2', 2147483647, 'now', 'naïve', 4294967295,
     '(1,2)', '4294967295', '7', '1 2 3', ' {"a" : [1, 2.50], "é": "\u00e9 \u0000"} ', '(NaN,-0)',
     '[(0,0),(1e300,1)]', '[(0,0),(1,1)]', '(1,1),(0,0)', '((0,0),(1,1),(2,0))', '{1,-1,0}', '-Infinity',
     1.7976931348623157e308, '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '10.1.0.0/16', 'fe80::1/64',
     'x  ', 'y ', '4714-11-24 BC', '24:00:00', '4713-01-01 00:00:00 BC', '0001-01-01 00:00:00+00 BC',
     '-178000000 years', '23:59:59.999999+15:59:59', b'101', b'', '-0.000000000000000000000000000000010',
     'cursor', 'lower(text)', 'pg_catalog.||/', '+(integer,integer)', 'pg_class', '"C"', 'numeric(5,2)',
     'postgres', 'public', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'FFFFFFFF/FFFFFFFF', '''a b'':1A,2B',
     'english', 'simple', 'a & !(b | c:*)', '{"a": 1e400, "b": [null, true, "\ud83c\udf0a"]}',
     '$.a[*] ? (@ > 1)', '10:20:10,14,15', '10:20:10,14,15', '18446744073709551615', 'postgres=r/postgres',
     '<(1,2),3>', '-92233720368547758.08', '[1,5]', '(,10)', '(0.0,1.00]', '["-infinity",infinity)',
     '[2026-11-01 01:30:00-05,)', '[2026-01-01,infinity]', '{1,2,3}', 'xyz', 'm',
     row(row('it''s "quoted", \ and (braced)', null), '{"",NULL,"a,b","{}"}', 'a''b', '(1,2]'),
     array[row(null, null, null, null), null]::nested[], '{"[1,2)",empty,NULL}', '{infinity,-infinity,NULL}',
     '[-1:1][5:5]={{1},{2},{NULL}}', '{"\\x00ff",""}', '{"{\"a\": 1}",null,"null"}', '{怒,NULL}'),
    (false, '\x', '', '', -9223372036854775808, -32768, '', -2147483648, 0, '', 0, '(0,0)', '0', '0', '',
     'null', '(0,0)', '[(0,0),(0,0)]', '((0,0))', '(0,0),(0,0)', '((0,0))', '{0,1,0}', '1.17549435e-38',
     2.2250738585072014e-308, null, null, '::/0', '0.0.0.0/0', '', '', '5874897-12-31', '00:00:00',
     '294276-12-31 23:59:59.999999', '294276-12-31 23:59:59.999999+00', '0', '00:00:00-15:59:59', b'000', null,
     'NaN', '', 0, 0, 0, 0, '"default"', 'text[]', 0, 0, null, '0/0', '', 'simple', null, '', '{}', '$',
     null, null, '0', null, null, '92233720368547758.07', 'empty', 'empty', 'empty', 'empty', 'empty',
     'empty', '{}', 'x', 's', null, '{}', '{}', '{}', '{}', '{}', '{}', '{}');
create table every_byte as select string_agg(set_byte('\x00', 0, b), null order by b) as bytes
from generate_series(0, 255) b;
create table every_character as
select plane, string_agg(chr(c), '' order by c) as characters
from (select c / 65536 as plane, c from generate_series(1, 1114111) c where c not between 55296 and 57343) legal
where getdatabaseencoding() = 'UTF8'
group by plane;

-- Names that break naive code, one of 63 bytes in 21 characters.
create schema " ";
create schema "Select";
create table "Select"."table.with.dots" ("a.b" integer, "A" integer, a integer, "100%" text, "$1" text);
insert into "Select"."table.with.dots" values (1, 2, 3, '%s', '$1'), (1, 2, 3, '%s', '$1');
create table " "."; drop table kinds; --" ("it's" text, "back\slash" text, "tab	tab" text);
insert into " "."; drop table kinds; --" values ('it''s', '\\', e'\t');
create table "two
lines" ("new
line" text);
insert into "two
lines" values (e'\n'), ('\n'), ('');
create table "微微微微微微微微微微微微微微微微微微微微微" ("🌊🌊🌊🌊🌊🌊🌊🌊🌊🌊🌊🌊🌊🌊🌊abc" integer);
insert into "微微微微微微微微微微微微微微微微微微微微微" values (1);

-- A partition with its columns in another order, list partitions, two parents, options of identities.
create table by_size (id integer, sz size, note text default 'none') partition by list (sz);
create table by_size_s (note text, gone integer, sz size, id integer);
alter table by_size_s drop column gone;
alter table by_size attach partition by_size_s for values in ('s', 'm');
create table by_size_null partition of by_size (note default 'unknown') for values in (null);
insert into by_size values (1, 's'), (2, 'm'), (3, null);
create table named (name text);
create table heir (own integer) inherits (parent, named);
alter table heir alter name set default 'heir';
insert into heir values (3, 'h', 7);
create table numbered_by_default (
    id bigint generated by default as identity (start -5 increment -5 minvalue -1000 maxvalue 0 cycle),
    v text default 'd'
) with (fillfactor = 70, autovacuum_enabled = off);
insert into numbered_by_default default values;
insert into numbered_by_default (id) values (77);
create table only_generated (a integer generated always as (1) stored);
insert into only_generated default values;
create table cyclic_a (id integer primary key, b integer);
create table cyclic_b (id integer primary key, a integer references cyclic_a deferrable initially deferred);
alter table cyclic_a add foreign key (b) references cyclic_b on delete set null not valid;
insert into cyclic_a values (1, null);
insert into cyclic_b values (1, 1);
update cyclic_a set b = 1;
create table booked (room integer, during daterange, exclude using gist (during with &&) where (room = 1));
insert into booked values (1, '[2026-01-01,2026-02-01)'), (2, '[2026-01-01,2026-02-01)');

-- Things that run by themselves. Event triggers must not get in the way of a restore.
create view fragile with (check_option = local) as select id, v from with_serial where v <> 'z';
create function fill_view() returns trigger language plpgsql as $$ begin return null; end $$;
create trigger into_view instead of insert on second_view for each row execute function fill_view();
create constraint trigger later after insert on kinds deferrable initially deferred
    for each row execute function noticed();
create trigger counted_rows after update on kinds referencing old table as before new table as after
    for each statement execute function noticed();
create trigger on_truncate before truncate on kinds for each statement execute function noticed();
alter table kinds enable always trigger on_truncate;
create rule also as on insert to with_serial do also select 1;
create rule instead_of_update as on update to fragile where old.id > 10 do instead nothing;
create recursive view countdown (n) as values (3) union all select n - 1 from countdown where n > 0;
create materialized view counted_twice as select sum(n) as n from counted;
create function refuse_ddl() returns event_trigger language plpgsql as
    $$ begin raise exception 'no more DDL (%)', tg_tag; end $$;
create policy nobody on guarded as restrictive for update using (false) with check (secret <> '');
alter table guarded force row level security;
create event trigger no_drop on sql_drop execute function refuse_ddl();
create event trigger no_conversions on ddl_command_start when tag in ('CREATE CONVERSION', 'DROP CONVERSION')
    execute function refuse_ddl();
alter event trigger no_drop disable;

-- What a dump and a restore word with other brackets.
create table ranges (
    a int, b int, c boolean default (1 between 1 and 4 and 2 > 1),
    check (a between 1 and 9 and b > 3), check (a not between 10 and 12 or b is null or a = b)
);
create view in_range as
    select a between 1 and 4 and b > 2 as small from ranges where a between 1 and 4 and b > 2 or a is null;
create index on ranges (b) where a between 1 and 4 and b > 2;
create policy in_range on ranges using (a between 1 and 4 and b > 2);

comment on schema "Select" is e'two\nlines; -- and ''quotes''';
comment on type mood is 'enum 怒';
comment on domain few is 'domain';
comment on type address is 'composite';
comment on column address.street is 'attribute';
comment on view first_view is 'view';
comment on materialized view counted is 'matview';
comment on index by_expression is 'index';
comment on trigger watch on with_serial is 'trigger';
comment on rule quiet on empty_table is 'rule';
comment on policy own on guarded is 'policy';
comment on event trigger no_drop is 'event trigger';
comment on sequence counter is 'sequence';
comment on collation pinyin is 'collation';
comment on text search configuration plain is 'configuration';
comment on operator === (integer, integer) is 'operator';
comment on aggregate total (integer) is 'aggregate';
comment on cast (address as text) is 'cast';
comment on server elsewhere is 'server';
comment on foreign table remote is 'foreign table';
comment on column remote.id is 'foreign column';
comment on publication news is 'publication';
comment on statistics kinds_statistics is 'statistics';
comment on procedure nothing(integer) is 'procedure';
comment on extension plpgsql is 'changed';
