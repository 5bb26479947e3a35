"""Links that give one object to whoever has them, for a while: AWS Signature Version 4 in the query.

obstore signs links too, but without `response-content-disposition`, and so without a file name for the download.
Source: AWS, "Authenticating requests: using query parameters (AWS Signature Version 4)". Tests hold it to botocore's.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, urlsplit

LONGEST = 604_800
"""Seconds a link may last at most: seven days, S3's own limit."""


@dataclass(frozen=True)
class Signer:
    """Who signs, for which bucket, and at which address the links are opened.

    Attributes:
        endpoint: Address of the store, without the bucket.
        bucket: The bucket.
        region: Its region.
        access_key_id: Goes into the link.
        secret_access_key: Never does.
    """

    endpoint: str
    bucket: str
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)

    def link(self, key: str, seconds: int, disposition: str, now: datetime) -> str:
        """An address that answers GET with the object, until `seconds` after `now` (UTC)."""
        parts = urlsplit(self.endpoint)
        path = f"{parts.path.rstrip('/')}/{self.bucket}/{quote(key, safe='/~')}"
        stamp = now.strftime("%Y%m%dT%H%M%SZ")
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        query = "&".join(f"{name}={quote(value, safe='~')}" for name, value in sorted({
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{self.access_key_id}/{scope}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(seconds),
            "X-Amz-SignedHeaders": "host",
            "response-content-disposition": disposition,
        }.items()))
        request = f"GET\n{path}\n{query}\nhost:{parts.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        signature = hmac.new(self._key(stamp[:8]), text.encode(), hashlib.sha256).hexdigest()
        return f"{parts.scheme}://{parts.netloc}{path}?{query}&X-Amz-Signature={signature}"

    def _key(self, day: str) -> bytes:
        key = f"AWS4{self.secret_access_key}".encode()
        for part in (day, self.region, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return key
