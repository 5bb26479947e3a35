"""Who may come in, and how far."""

from __future__ import annotations

import hmac
import json
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from http_for_tests import Server, people

from synthloom.domain.errors import UsageError
from synthloom.http.auth import create_key, digest_of
from synthloom.http.limits import RateLimiter, TooManyRequestsError
from synthloom.http.sessions import Sessions
from synthloom.http.tokens import TokenReader
from synthloom.settings import Settings

Guarded = Callable[..., Server]


# keys


def test_without_a_key_nothing_opens(guarded: Guarded) -> None:
    server = guarded()
    for address in ("/v1/runs", "/v1/datasets", "/v1/methods", "/v1/keys", "/v1/audit", "/metrics", "/v1/me"):
        sent = server.client.get(address)
        assert (sent.status_code, sent.json()["code"]) == (401, "unauthorized"), address
        assert sent.headers["WWW-Authenticate"].startswith("Bearer")
    for wrong in ("Bearer syn_wrong", "Bearer", "Basic abc", "Bearer eyJhbGciOiJub25lIn0.e30."):
        assert server.client.get("/v1/runs", headers={"Authorization": wrong}).status_code == 401
    assert server.client.get("/health/live").status_code == 200


def test_a_scope_opens_what_it_names_and_no_more(guarded: Guarded) -> None:
    server = guarded()
    read, write, admin, metrics = (server.key(scope) for scope in ("read", "write", "admin", "metrics"))

    def status(method: str, address: str, headers: dict[str, str]) -> int:
        return server.client.request(method, address, headers=headers).status_code

    assert status("GET", "/v1/runs", read) == 200
    assert status("GET", "/v1/runs", write) == 403
    assert status("DELETE", "/v1/runs/" + "0" * 32, read) == 403
    assert status("DELETE", "/v1/runs/" + "0" * 32, write) == 404
    assert status("GET", "/v1/keys", admin) == 200
    assert status("GET", "/v1/audit", write) == 403
    assert status("GET", "/metrics", metrics) == 200
    assert status("GET", "/metrics", admin) == 403, "an administrator of one tenant is not the operator"


def test_a_key_gives_no_more_than_it_has(guarded: Guarded) -> None:
    server = guarded()
    admin = server.key("read", "admin")
    more = server.client.post("/v1/keys", json={"name": "x", "scopes": ["write"]}, headers=admin)
    assert more.status_code == 403
    body = {"name": "x", "scopes": ["read"], "expires_days": 3}
    made = server.client.post("/v1/keys", json=body, headers=admin).json()
    found = server.client.get("/v1/me", headers={"Authorization": f"Bearer {made['secret']}"}).json()
    assert found == {"tenant": "acme", "actor": made["key"]["key_id"], "scopes": ["read"]}


def test_a_revoked_or_expired_key_opens_nothing(guarded: Guarded) -> None:
    server = guarded()
    admin = server.key("admin")
    made = server.client.post("/v1/keys", json={"name": "x", "scopes": ["admin"]}, headers=admin).json()
    headers = {"Authorization": f"Bearer {made['secret']}"}
    assert server.client.get("/v1/keys", headers=headers).status_code == 200
    revoked = server.client.delete(f"/v1/keys/{made['key']['key_id']}", headers=admin)
    assert revoked.json()["revoked_at"]
    assert server.client.get("/v1/keys", headers=headers).status_code == 401
    _, secret = create_key(server.home.access, "acme", "old", ["read"], datetime.now(UTC) + timedelta(seconds=0.2))
    time.sleep(0.3)
    assert server.client.get("/v1/runs", headers={"Authorization": f"Bearer {secret}"}).status_code == 401


def test_a_secret_is_shown_once_and_kept_nowhere(guarded: Guarded) -> None:
    server = guarded()
    admin = server.key("admin")
    made = server.client.post("/v1/keys", json={"name": "x", "scopes": ["admin"]}, headers=admin)
    secret = made.json()["secret"]
    assert made.headers["Cache-Control"] == "no-store"
    for address in ("/v1/keys", "/v1/audit"):
        text = server.client.get(address, headers=admin).text
        assert secret not in text
        assert digest_of(secret) not in text


def test_anothers_object_is_not_there(guarded: Guarded) -> None:
    server = guarded()
    ours, theirs = server.key("read", "write", "admin"), server.key("read", "write", "admin", tenant="other")
    run = server.queue(headers=ours)
    server.settle({"synthetic.csv": b"age\n1\n"})
    key_id = server.client.get("/v1/keys", headers=ours).json()["keys"][0]["key_id"]
    dataset, run_id = f"/v1/datasets/{run['dataset_id']}", f"/v1/runs/{run['run_id']}"
    for method, address in (
        ("GET", dataset), ("DELETE", dataset), ("POST", f"{dataset}/inspect"), ("GET", run_id), ("DELETE", run_id),
        ("POST", f"{run_id}/cancel"), ("POST", f"{run_id}/retry"), ("POST", f"{run_id}/clone"),
        ("GET", f"{run_id}/events"), ("GET", f"{run_id}/artifacts"), ("GET", f"{run_id}/artifacts/synthetic.csv"),
        ("GET", f"{run_id}/report"), ("POST", f"{run_id}/report/pdf"), ("DELETE", f"/v1/keys/{key_id}"),
        ("GET", f"/v1/runs/compare?run={run['run_id']}&run={run['run_id'][::-1]}"),
        ("GET", f"/v1/datasets?after={run['dataset_id']}"),
    ):
        body = {"json": {}} if address.endswith(("inspect", "clone")) else {}
        sent = server.client.request(method, address, headers=theirs, **body)
        nowhere = address.replace(run["run_id"], "0" * 32).replace(run["dataset_id"], "0" * 32)
        missing = server.client.request(method, nowhere, headers=theirs, **body)
        assert (sent.status_code, sent.json()["code"]) == (404, "unknown_name"), f"{method} {address}"
        assert missing.status_code == 404
    made = server.client.post("/v1/runs", json={"dataset_id": run["dataset_id"]}, headers=theirs)
    assert made.status_code == 404
    assert server.client.get("/v1/runs", headers=theirs).json()["runs"] == []
    assert server.client.get("/v1/datasets", headers=theirs).json()["datasets"] == []
    assert server.client.get(run_id, headers=ours).status_code == 200


def test_each_write_stands_in_the_audit_log(guarded: Guarded) -> None:
    server = guarded()
    headers = server.key("read", "write", "admin")
    actor = server.client.get("/v1/me", headers=headers).json()["actor"]
    run = server.queue(headers=headers, dataset_id=server.upload(headers=headers)["dataset_id"])
    for method, address, body in (
        ("POST", f"/v1/runs/{run['run_id']}/cancel", None), ("POST", f"/v1/runs/{run['run_id']}/retry", None),
        ("POST", f"/v1/runs/{run['run_id']}/clone", {}), ("DELETE", f"/v1/runs/{run['run_id']}", None),
    ):
        sent = server.client.request(method, address, headers=headers, **({} if body is None else {"json": body}))
        assert sent.status_code in (200, 201, 204), sent.text
    made = server.client.post("/v1/keys", json={"name": "x", "scopes": ["read"]}, headers=headers).json()["key"]
    server.client.delete(f"/v1/keys/{made['key_id']}", headers=headers)
    found = server.client.get("/v1/audit", headers=headers).json()["entries"]
    assert [e["action"] for e in reversed(found)] == [
        "dataset.create", "run.create", "run.cancel", "run.retry", "run.clone", "run.delete", "key.create",
        "key.revoke",
    ]
    assert {e["actor"] for e in found} == {actor}
    page = server.client.get("/v1/audit?limit=3", headers=headers)
    older = server.client.get(page.links["next"]["url"], headers=headers).json()["entries"]
    assert [e["number"] for e in older] == [e["number"] for e in found[3:6]]


def test_to_jump_the_queue_takes_an_administrator(guarded: Guarded) -> None:
    server = guarded()
    writer, admin = server.key("read", "write"), server.key("read", "write", "admin")
    body = {"dataset_id": server.store(people(), "acme"), "method": "cart"}
    run = server.client.post("/v1/runs", json=body, headers=writer).json()
    for address, sent in (
        ("/v1/runs", body | {"priority": 1}), (f"/v1/runs/{run['run_id']}/clone", {"changes": {"priority": 1}}),
    ):
        assert server.client.post(address, json=sent, headers=writer).status_code == 403
        assert server.client.post(address, json=sent, headers=admin).status_code == 201


# how often


def test_a_bucket_fills_again() -> None:
    now = [0.0]
    limiter = RateLimiter(60, lambda: now[0])
    for _ in range(60):
        limiter.take("a")
    with pytest.raises(TooManyRequestsError) as refused:
        limiter.take("a")
    assert refused.value.retry_after == 1
    limiter.take("b")
    now[0] += 1.0
    limiter.take("a")
    with pytest.raises(TooManyRequestsError):
        limiter.take("a")


def test_who_asks_too_often_is_told_when_to_come_again(guarded: Guarded) -> None:
    server = guarded(rate_limit=5)
    ours, theirs = server.key(), server.key(tenant="other")
    answers = [server.client.get("/v1/me", headers=ours) for _ in range(6)]
    assert [a.status_code for a in answers] == [200] * 5 + [429]
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert server.client.get("/v1/me", headers=theirs).status_code == 200, "others do not suffer"
    wrong = [server.client.get("/v1/me", headers={"Authorization": f"Bearer syn_{k}"}).status_code for k in range(6)]
    assert wrong == [401] * 5 + [429], "guessing is slow"


# this machine only


def test_without_access_control_only_this_machine_under_its_name(server: Server) -> None:
    assert server.client.get("/v1/me").json() == {
        "tenant": "local", "actor": "local", "scopes": ["admin", "metrics", "read", "write"],
    }
    for name in ("localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"):
        assert server.client.get("/v1/me", headers={"Host": name}).status_code == 200
    for name in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000", "192.168.1.4", ""):
        sent = server.client.get("/v1/me", headers={"Host": name})
        assert (sent.status_code, sent.json()["code"]) == (403, "forbidden"), name


@pytest.mark.parametrize("headers", [
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://127.0.0.1:1"},
])
def test_another_web_site_cannot_write_here(server: Server, headers: dict[str, str]) -> None:
    sent = server.client.post(
        "/v1/datasets", files={"file": ("x.csv", people(), "text/csv")}, headers=headers
    )
    assert (sent.status_code, sent.json()["code"]) == (403, "forbidden")
    assert server.home.ledger.datasets("local") == ()


def test_our_own_page_can_write_here(server: Server) -> None:
    headers = {"Origin": server.address, "Sec-Fetch-Site": "same-origin"}
    assert server.client.post("/v1/runs", json={"dataset_id": "0" * 32}, headers=headers).status_code == 404


def test_strict_headers_stand_on_every_answer(archive: tuple[Server, list[str]]) -> None:
    server, (run_id, _) = archive
    for address in ("/v1/runs", "/nothing", "/health/live", f"/v1/runs/{run_id}/artifacts/report.html?inline=true"):
        headers = server.client.get(address).headers
        policy = headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy.partition("script-src")[2]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
    assert "sandbox" in policy, "a report that is looked at runs nothing and is nobody"
    assert headers["Content-Disposition"].startswith("inline")


# sessions of the page


def test_a_session_is_signed_and_ends() -> None:
    now = [1000.0]
    sessions = Sessions("a secret of sixteen", lambda: now[0])
    session, cookie = sessions.begin("d" * 64, seconds=60)
    assert sessions.read(cookie) == session
    body, _, signature = cookie.partition(".")
    for forged in (f"{body}.{signature[:-2]}AA", f"{body[:-2]}AA.{signature}", body, "", ".", "ä.ö", "x" * 5000):
        assert sessions.read(forged) is None
    assert Sessions("another secret here").read(cookie) is None
    assert sessions.form_token_fits(session, sessions.form_token(session))
    other, _ = sessions.begin("d" * 64)
    for wrong in (sessions.form_token(other), sessions.form_token(None), "", None):
        assert not sessions.form_token_fits(session, wrong)
    now[0] += 61
    assert sessions.read(cookie) is None


def test_a_session_may_read_and_writes_only_with_the_forms_token(guarded: Guarded) -> None:
    server = guarded()
    key, secret = create_key(server.home.access, "acme", "person", ["read", "write"])
    _, cookie = server.app.state.gate.sessions.begin(digest_of(secret))
    server.client.cookies.set("synthloom_session", cookie)
    assert server.client.get("/v1/me").json()["actor"] == key.key_id
    body = {"dataset_id": "0" * 32}
    assert server.client.post("/v1/runs", json=body).status_code == 403
    sessions = server.app.state.gate.sessions
    token = {"X-CSRF-Token": sessions.form_token(sessions.read(cookie))}
    assert server.client.post("/v1/runs", json=body, headers=token).status_code == 404
    foreign = token | {"Origin": "https://evil.example"}
    assert server.client.post("/v1/runs", json=body, headers=foreign).status_code == 403
    server.home.access.revoke_key("acme", key.key_id)
    assert server.client.get("/v1/me").status_code == 401, "revoking a key ends its sessions"


# tokens


class Provider:
    """An OpenID provider: a key pair of each kind, and an address where the public halves are."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        documents = []
        kinds = (("r", jwt.algorithms.RSAAlgorithm, self.rsa), ("e", jwt.algorithms.ECAlgorithm, self.ec))
        for kid, algorithm, key in kinds:
            public: dict[str, Any] = algorithm.to_jwk(key.public_key(), as_dict=True)
            documents.append(public | {"kid": kid, "use": "sig"})
        body = json.dumps({"keys": documents}).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"

    def token(self, algorithm: str = "RS256", key: Any = None, **claims: Any) -> str:
        said = {
            "iss": "https://id.test", "aud": "authenticated", "sub": "user-1", "exp": time.time() + 60,
        } | claims
        signer = {"RS256": self.rsa, "ES256": self.ec}[algorithm] if key is None else key
        kid = "e" if algorithm == "ES256" else "r"
        return jwt.encode({k: v for k, v in said.items() if v is not None}, signer, algorithm, headers={"kid": kid})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.close()


@pytest.fixture
def with_tokens(guarded: Guarded, provider: Provider) -> Callable[..., Server]:
    return lambda **more: guarded(auth="jwt", jwks_url=provider.url, jwt_issuer="https://id.test", **more)


def test_a_token_of_the_provider_opens_its_tenants_rows(with_tokens: Guarded, provider: Provider) -> None:
    server = with_tokens()

    def who(token: str) -> dict[str, Any]:
        return server.client.get("/v1/me", headers={"Authorization": f"Bearer {token}"}).json()

    assert who(provider.token()) == {"tenant": "user-1", "actor": "user-1", "scopes": ["read", "write"]}
    assert who(provider.token("ES256", sub="user-2"))["tenant"] == "user-2"
    admin = provider.token(app_metadata={"synthloom_scopes": ["read", "admin", "metrics", "everything"]})
    assert who(admin)["scopes"] == ["admin", "read"]
    assert server.client.get("/v1/me", headers=server.key()).json()["tenant"] == "acme", "keys go on working"


def test_a_tenant_may_stand_in_another_claim(with_tokens: Guarded, provider: Provider) -> None:
    server = with_tokens(jwt_tenant_claim="app_metadata.tenant")
    token = provider.token(app_metadata={"tenant": "acme"})
    found = server.client.get("/v1/me", headers={"Authorization": f"Bearer {token}"}).json()
    assert (found["tenant"], found["actor"]) == ("acme", "user-1")
    for claims in ({}, {"app_metadata": {"tenant": ""}}, {"app_metadata": {"tenant": 7}}, {"app_metadata": "acme"}):
        headers = {"Authorization": f"Bearer {provider.token(**claims)}"}
        assert server.client.get("/v1/me", headers=headers).status_code == 401


def test_a_token_that_is_not_the_providers_opens_nothing(with_tokens: Guarded, provider: Provider) -> None:
    server = with_tokens()
    now = time.time()
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = json.dumps(jwt.algorithms.RSAAlgorithm.to_jwk(provider.rsa.public_key(), as_dict=True))
    bad = {
        "over": provider.token(exp=now - 60), "endless": provider.token(exp=None),
        "of another issuer": provider.token(iss="https://evil.test"), "for another": provider.token(aud="someone"),
        "of nobody": provider.token(sub=None), "not yet": provider.token(nbf=now + 600),
        "signed by a stranger": provider.token(key=stranger),
        "signed with the public key": with_hmac(provider, public),
        "not signed": provider.token("none", key=""), "no token": "a.b.c",
    }
    for name, token in bad.items():
        sent = server.client.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
        assert (sent.status_code, sent.json()["code"]) == (401, "unauthorized"), name
        assert token not in sent.text


def with_hmac(provider: Provider, key: str) -> str:
    """A token signed with HS256 by hand: the library knows better than to use a public key as a secret."""
    _, body, _ = provider.token().split(".")
    head = urlsafe_b64encode(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "r"}).encode()).decode().rstrip("=")
    signature = hmac.new(key.encode(), f"{head}.{body}".encode(), "sha256").digest()
    return f"{head}.{body}.{urlsafe_b64encode(signature).decode().rstrip('=')}"


def test_a_provider_that_is_away_says_try_again(guarded: Guarded, provider: Provider) -> None:
    server = guarded(auth="jwt", jwks_url="http://127.0.0.1:9/jwks.json", jwt_issuer="https://id.test")
    sent = server.client.get("/v1/me", headers={"Authorization": f"Bearer {provider.token()}"})
    assert sent.status_code == 503


@pytest.mark.parametrize("settings", [
    {}, {"jwks_url": "https://id.test/jwks"}, {"jwks_url": "file:///etc/passwd", "jwt_issuer": "x"},
    {"jwks_url": "https://id.test/jwks", "jwt_issuer": "x", "jwt_tenant_claim": "user_metadata.tenant"},
])
def test_tokens_need_a_provider_that_can_be_trusted(settings: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        TokenReader(Settings(auth="jwt", **settings))
