-- Buckets of Synthloom, and who may read them. Written by hand; may be run again at any time.
--
-- The server reads and writes by Supabase Storage's S3 endpoint with an access key, which no policy concerns.
-- A user with a token may download what a row of the own tenant points to; nobody uploads, replaces or deletes here.

insert into storage.buckets (id, name, public)
values ('datasets', 'datasets', false), ('artifacts', 'artifacts', false)
on conflict (id) do nothing;

drop policy if exists "synthloom: a tenant reads its datasets" on storage.objects;
create policy "synthloom: a tenant reads its datasets" on storage.objects for select to authenticated
    using (
        bucket_id = 'datasets'
        and exists (
            select from public.datasets
            where datasets.key = objects.name and datasets.tenant = (select public.synthloom_tenant())
        )
    );

drop policy if exists "synthloom: a tenant reads its artifacts" on storage.objects;
create policy "synthloom: a tenant reads its artifacts" on storage.objects for select to authenticated
    using (
        bucket_id = 'artifacts'
        and exists (
            select from public.run_artifacts
            where run_artifacts.key = objects.name and run_artifacts.tenant = (select public.synthloom_tenant())
        )
    );
