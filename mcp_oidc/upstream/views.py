"""What the relying party's views have in common."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import InterfaceError, OperationalError, transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from mcp_oidc.core.outages import tell_outage
from mcp_oidc.errors import OAuthError
from mcp_oidc.pages import render_error, wanted_language
from mcp_oidc.upstream.failures import failure_page
from mcp_oidc.upstream.forms import check_tokens

View = Callable[..., HttpResponseBase]


def for_people(view: View) -> View:
    """Make a view one that a person comes to: every error is a page, and nothing is cached. `ui_locales` counts.

    Forms are checked here and not by the project's middleware: its CSRF_FAILURE_VIEW is a bare page without a way out.

    Not atomic, whatever ATOMIC_REQUESTS says: the identity provider is asked meanwhile, and no lock may wait for it.
    """

    checked = check_tokens(view)

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with wanted_language(request):
            try:
                return checked(request, *args, **kwargs)
            except OAuthError as error:
                return failure_page(request, error)
            except (OperationalError, InterfaceError) as error:
                tell_outage(error)
                return _outage_page(request)

    return never_cache(csrf_exempt(login_not_required(transaction.non_atomic_requests(wrapped))))


def _outage_page(request: HttpRequest) -> HttpResponse:
    message, advice = _("The server cannot reach its database."), _("Try again in a moment.")
    # The same request is worth a retry; what a form sent is not in the link, and is asked for again.
    response = render_error(request, message, status=503, advice=advice, retry_url=request.get_full_path())
    response["Retry-After"] = "5"
    return response
