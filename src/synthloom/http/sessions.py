"""Sessions of the page, and the tokens its forms carry.

A session is a signed cookie that names the SHA-256 of the API key it was opened with, never the key: what the key may
do, and whether it still may, is looked up on each request, so that revoking a key ends its sessions. A form's token is
a hash over the session's id that only this server can make: no other site can send a form in a person's name.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

SESSION_COOKIE = "synthloom_session"
SESSION_SECONDS = 12 * 3600

_MAX_COOKIE = 1024


@dataclass(frozen=True)
class Session:
    """An open session.

    Attributes:
        session_id: Random; a form's token is made from it.
        digest: SHA-256 (hex) of the API key it was opened with.
        until: POSIX seconds after which it is over.
    """

    session_id: str
    digest: str
    until: float


class Sessions:
    """Opens, reads and signs sessions.

    Args:
        secret: What they are signed with; the same in every process behind one address. None: made anew, so that
            sessions end with the process.
        clock: POSIX seconds.
    """

    def __init__(self, secret: str | None = None, clock: Callable[[], float] = time.time) -> None:
        self._secret = hashlib.sha256(secret.encode()).digest() if secret else secrets.token_bytes(32)
        self._clock = clock

    def begin(self, digest: str, seconds: float = SESSION_SECONDS) -> tuple[Session, str]:
        """A new session for a key's digest, and the cookie's value."""
        session = Session(secrets.token_hex(16), digest, self._clock() + seconds)
        body = json.dumps([session.session_id, session.digest, session.until]).encode()
        return session, f"{_text(body)}.{_text(self._sign(b'session:' + body))}"

    def read(self, cookie: str | None) -> Session | None:
        """The session of a cookie; None where there is none, it is over, or we have not signed it."""
        if not cookie or len(cookie) > _MAX_COOKIE:
            return None
        try:
            body, signature = (_bytes(part) for part in cookie.split(".", 1))
        except (ValueError, binascii.Error):
            return None
        if not hmac.compare_digest(signature, self._sign(b"session:" + body)):
            return None
        session = Session(*json.loads(body))
        return session if session.until > self._clock() else None

    def form_token(self, session: Session | None) -> str:
        """What a form must carry; without a session, one for this server."""
        owner = session.session_id if session else "nobody"
        return self._sign(b"form:" + owner.encode()).hex()

    def form_token_fits(self, session: Session | None, token: str | None) -> bool:
        """Whether a form carries the right one."""
        return hmac.compare_digest(self.form_token(session).encode(), (token or "").encode())

    def _sign(self, content: bytes) -> bytes:
        return hmac.new(self._secret, content, hashlib.sha256).digest()


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
