-- What only a build with libxml and ICU has.
create collation german (provider = icu, locale = 'de-u-co-phonebk');
create collation case_blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
create collation natural_order (provider = icu, locale = 'en-u-kn-true');
create table people (
    name text collate german primary key, mail text collate case_blind unique, label text collate natural_order
);
insert into people values ('Müller', 'A@example.org', 'part 10'), ('Mueller', 'b@example.org', 'part 9'),
    ('Ärger', 'Ç@example.org', 'part 9.'), ('', '', '');
create index on people (label desc, name collate "de-x-icu");
create table pages (id integer, page xml, pages xml[]);
insert into pages values
    (1, '<?xml version="1.0" encoding="UTF-8"?><a b="&quot;">观潮 &amp; &#x1F30A;<![CDATA[<x>]]></a>', null),
    (2, 'content <only/> and text', '{<a/>,NULL,"<b c=\"d\"/>"}'), (3, '', '{}'), (4, null, null),
    (1, '<a  b = "1" ></a>', null);
create view titles as select (xpath('//a/text()', page))[1]::text as title from pages where page is document;
