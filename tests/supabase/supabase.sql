-- What a Supabase project has before Synthloom comes: roles, default privileges, and the schemas auth and storage with
-- the columns and functions that the migrations use. The real ones are larger.
do $$
begin
    if not exists (select from pg_roles where rolname = 'anon') then
        create role anon nologin noinherit;
        create role authenticated nologin noinherit;
        create role service_role nologin noinherit bypassrls;
        create role authenticator login noinherit;
        grant anon, authenticated, service_role to authenticator;
        -- Supabase's postgres: it may make roles and passes policies by, and is no superuser
        create role dashboard login createrole bypassrls;
        grant anon, authenticated, service_role to dashboard;
    end if;
end
$$;
grant usage on schema public to anon, authenticated, service_role;
grant create on schema public to dashboard;
alter default privileges for role dashboard in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges for role dashboard in schema public grant all on functions to anon, authenticated, service_role;
alter default privileges for role dashboard in schema public grant all on sequences to anon, authenticated, service_role;

create schema auth;
grant usage on schema auth to anon, authenticated, service_role, dashboard;
create function auth.jwt() returns jsonb language sql stable as
$$ select coalesce(nullif(current_setting('request.jwt.claims', true), ''), '{}')::jsonb $$;
create function auth.uid() returns uuid language sql stable as
$$ select nullif(auth.jwt() ->> 'sub', '')::uuid $$;

create schema storage authorization dashboard;
set role dashboard;
grant usage on schema storage to anon, authenticated, service_role;
create table storage.buckets (
    id text primary key, name text not null unique, owner uuid, public boolean default false,
    file_size_limit bigint, allowed_mime_types text[], created_at timestamptz default now()
);
create table storage.objects (
    id uuid primary key default gen_random_uuid(), bucket_id text references storage.buckets (id), name text,
    owner uuid, metadata jsonb, created_at timestamptz default now()
);
alter table storage.buckets enable row level security;
alter table storage.objects enable row level security;
grant all on all tables in schema storage to anon, authenticated, service_role;
reset role;
