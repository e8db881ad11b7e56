with recursive known as (
    (select gate from quality.judgements order by gate limit 1)
    union all
    select (select j.gate from quality.judgements j where j.gate > k.gate order by j.gate limit 1)
    from known k where k.gate is not null
)
select gate from known where gate is not null order by gate
