"""Forms of ours: an answer counts only with the token that its page gave out."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.decorators import decorator_from_middleware
from django.utils.translation import gettext as _

from mcp_oidc.pages import render_error

logger = logging.getLogger("mcp_oidc")


class _TokenCheck(CsrfViewMiddleware):
    def _reject(self, request: HttpRequest, reason: str) -> HttpResponse:
        logger.warning("a form was refused: %s", reason)
        message = _("Your answer did not count, because it did not come from the page that asks for it.")
        advice = _("That page may have grown too old, or your browser may be set to refuse the cookies of this site.")
        # The page itself, by GET: it asks again.
        return render_error(request, message, status=403, advice=advice, retry_url=request.get_full_path())


def check_tokens(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Have Django check the token of each form here, with or without its middleware, and say so in a page of ours."""
    checked: Callable[..., HttpResponseBase] = decorator_from_middleware(_TokenCheck)(view)
    return checked
