-- A parameter that is null does not filter. Of a period: what was open at any moment of it.
select * from evidence.findings
where (not %(only_open)s or closed_at is null)
  and (%(kind)s::text is null or kind = %(kind)s)
  and (%(until)s::timestamptz is null or opened_at < %(until)s)
  and (%(since)s::timestamptz is null or closed_at is null or closed_at >= %(since)s)
order by opened_at, finding_id
