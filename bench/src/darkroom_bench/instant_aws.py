"""A stand-in for DynamoDB and SNS that says yes at once and keeps nothing.

Run as `python -m darkroom_bench.instant_aws PORT`.
"""

from __future__ import annotations

import re
import sys
from typing import Final

from aiohttp import web

HOST: Final = "127.0.0.1"

_ID: Final = re.compile(rb"member\.\d+\.Id=(\w+)")
_PUBLISHED: Final = (
    b'<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult>'
    b"<MessageId>00000000-0000-0000-0000-000000000000</MessageId></PublishResult>"
    b"<ResponseMetadata><RequestId>0</RequestId></ResponseMetadata></PublishResponse>"
)
_BATCH: Final = (
    b'<PublishBatchResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">'
    b"<PublishBatchResult><Failed/><Successful>%b</Successful></PublishBatchResult>"
    b"<ResponseMetadata><RequestId>0</RequestId></ResponseMetadata></PublishBatchResponse>"
)
_TAKEN: Final = (
    b"<member><Id>%b</Id><MessageId>00000000-0000-0000-0000-000000000000</MessageId></member>"
)


async def _answer(request: web.Request) -> web.Response:
    body = await request.read()
    if "X-Amz-Target" in request.headers:  # DynamoDB: a write that found nothing in its way
        return web.Response(body=b"{}", content_type="application/x-amz-json-1.0")
    taken = b"".join(_TAKEN % name for name in _ID.findall(body))
    answer = _BATCH % taken if taken else _PUBLISHED
    return web.Response(body=answer, content_type="text/xml")


def create_app() -> web.Application:
    """The server."""
    app = web.Application()
    app.router.add_route("*", "/", _answer)
    return app


if __name__ == "__main__":
    web.run_app(
        create_app(), host=HOST, port=int(sys.argv[1]), access_log=None, print=lambda _: None
    )
