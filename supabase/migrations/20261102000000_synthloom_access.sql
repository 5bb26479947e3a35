-- Who sees which rows of Synthloom's tables. Written by hand; may be run again at any time.
--
-- authenticated (a user with a token): reads the own tenant's datasets, runs, events, metrics and artifacts; writes
--     nothing: whatever changes goes through the server, which validates, limits and notes it.
-- anon: nothing.   api_keys, audit_log: nobody but the server, whose API asks for the scope admin.
-- service_role, and the tables' owner: everything, as always on Supabase.
-- synthloom_server: everything in these tables and nothing elsewhere; for the server to log in as.

-- Whose rows a token shows. It must say what SYNTHLOOM_JWT_TENANT_CLAIM says. For the claim app_metadata.tenant:
--     select auth.jwt() -> 'app_metadata' ->> 'tenant'
-- Never use user_metadata: users write it themselves.
create or replace function public.synthloom_tenant() returns text
    language sql stable set search_path = '' as $$ select auth.uid()::text $$;

do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'synthloom_server') then
        create role synthloom_server nologin;
    end if;
end
$$;
grant usage on schema public to synthloom_server;

do $$
declare
    name text;
begin
    foreach name in array array[
        'datasets', 'runs', 'run_steps', 'metrics', 'run_artifacts', 'api_keys', 'audit_log', 'alembic_version'
    ] loop
        execute format('alter table public.%I enable row level security', name);
        -- Supabase gives every new table to these; a policy alone would not take TRUNCATE away again
        execute format('revoke all on table public.%I from public, anon, authenticated', name);
        execute format('grant select, insert, update, delete on table public.%I to synthloom_server, service_role', name);
        execute format('drop policy if exists "the server does everything" on public.%I', name);
        execute format(
            'create policy "the server does everything" on public.%I for all to synthloom_server'
            ' using (true) with check (true)', name
        );
    end loop;

    foreach name in array array['datasets', 'runs', 'run_steps', 'metrics', 'run_artifacts'] loop
        execute format('grant select on table public.%I to authenticated', name);
        execute format('drop policy if exists "a tenant sees its own" on public.%I', name);
        -- the inner select is evaluated once, not for each row
        execute format(
            'create policy "a tenant sees its own" on public.%I for select to authenticated'
            ' using (tenant = (select public.synthloom_tenant()))', name
        );
    end loop;
end
$$;
