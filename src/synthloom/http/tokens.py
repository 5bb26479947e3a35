"""Tokens of an OpenID provider such as Supabase: signed by it, checked with the keys that it publishes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from synthloom.domain.errors import AuthError, StorageUnavailableError, UsageError
from synthloom.settings import Settings

ALGORITHMS = ("RS256", "ES256")
"""Only signatures with a private key: whoever holds what we check with can make no token."""

USER_SCOPES = frozenset({"read", "write"})
"""What a token's holder may do unless the provider says otherwise in app_metadata.synthloom_scopes."""

_LEEWAY_SECONDS = 10
_MAX_TENANT = 200


@dataclass(frozen=True)
class Identity:
    """Who a token says its holder is."""

    tenant: str
    subject: str
    scopes: frozenset[str]


class TokenReader:
    """Checks tokens: signature, issuer, audience, times; and finds the tenant.

    Args:
        settings: With `jwks_url` and `jwt_issuer`.

    Raises:
        UsageError: a setting is missing, or the tenant would come from what a user may write.
    """

    def __init__(self, settings: Settings) -> None:
        from jwt import PyJWKClient

        url, issuer = settings.jwks_url, settings.jwt_issuer
        if not url or not issuer:
            raise UsageError(
                "SYNTHLOOM_AUTH=jwt needs to know the provider of tokens.", where="settings",
                do="Set SYNTHLOOM_JWKS_URL and SYNTHLOOM_JWT_ISSUER.",
            )
        if not url.startswith(("https://", "http://")):
            raise UsageError(f"{url!r} is no web address.", where="SYNTHLOOM_JWKS_URL", do="Give one with https://.")
        if settings.jwt_tenant_claim.split(".")[0] == "user_metadata":
            raise UsageError(
                "users may write their own user_metadata, so it cannot say whose rows they see.",
                where="SYNTHLOOM_JWT_TENANT_CLAIM", do="Use sub, or a claim in app_metadata.",
            )
        self._keys = PyJWKClient(url, cache_keys=True, lifespan=300, timeout=5)
        self._issuer, self._audience = issuer, settings.jwt_audience
        self._tenant_claim = settings.jwt_tenant_claim

    def read(self, token: str) -> Identity:
        """Who the token says its holder is.

        Raises:
            AuthError: it is not valid here. StorageUnavailableError: the provider's keys cannot be fetched.
        """
        import jwt

        try:
            if jwt.get_unverified_header(token).get("alg") not in ALGORITHMS:
                raise AuthError("the token is not signed with RS256 or ES256.", do="Use a token of the provider.")
            key = self._keys.get_signing_key_from_jwt(token)
            claims: dict[str, Any] = jwt.decode(
                token, key, algorithms=list(ALGORITHMS), issuer=self._issuer, audience=self._audience,
                leeway=_LEEWAY_SECONDS, options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWKClientConnectionError:
            raise StorageUnavailableError(
                "the keys of the tokens' provider cannot be fetched.", do="Try again in a minute.",
            ) from None
        except jwt.PyJWTError as error:
            raise AuthError(f"the token is not valid ({_reason(error)}).", do="Log in again.") from None
        return self._identity(claims)

    def _identity(self, claims: dict[str, Any]) -> Identity:
        tenant: Any = claims
        for part in self._tenant_claim.split("."):
            tenant = tenant.get(part) if isinstance(tenant, dict) else None
        if not isinstance(tenant, str) or not 0 < len(tenant) <= _MAX_TENANT or not tenant.isprintable():
            raise AuthError(
                f"the token's claim {self._tenant_claim} names no tenant.", do="Ask the operator to have it set.",
            )
        return Identity(tenant, str(claims["sub"])[:_MAX_TENANT], _scopes(claims))


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    granted = claims.get("app_metadata")
    granted = granted.get("synthloom_scopes") if isinstance(granted, dict) else None
    if not isinstance(granted, list):
        return USER_SCOPES
    return frozenset(scope for scope in granted if scope in ("read", "write", "admin"))


def _reason(error: Exception) -> str:
    """Which check failed, never what stood in the token."""
    name = type(error).__name__.removesuffix("Error").removeprefix("PyJWKClient").removeprefix("PyJWT")
    return "".join(f" {c.lower()}" if c.isupper() else c for c in name).strip() or "unreadable"
