"""Searching by what people and clients are called, fast enough for a million rows.

Who is meant is found first, and then what is theirs by index: no index serves a search across joined tables.
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Callable, Sequence
from functools import reduce
from operator import or_
from typing import Any

from django.contrib import messages
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.text import smart_split, unescape_string_literal
from django.utils.translation import gettext as _

from mcp_oidc.admin.records import RecordAdmin
from mcp_oidc.core.clients import clients
from mcp_oidc.models import Identity

# Whoever searches for "a" means none of the thousands.
MAX_MEANT = 500
MAX_WORDS = 5


class SearchingAdmin(RecordAdmin):
    """Rows that are found by a part of their own texts, or by somebody or something whose name is typed."""

    search_texts: tuple[str, ...] = ()
    # Columns that refer to a user, a client or an identity.
    search_users: str = ""
    search_clients: str = ""
    search_identities: str = ""
    # Columns that are equal to what is typed.
    search_ids: tuple[str, ...] = ()
    search_addresses: tuple[str, ...] = ()

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Not empty where there is anything to search."""
        names = (self.search_users, self.search_clients, self.search_identities)
        return tuple(filter(None, (*self.search_texts, *names, *self.search_ids, *self.search_addresses)))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """The rows in which every word is found. None is there twice."""
        for position, word in enumerate(words_of(search_term)):
            if position and not queryset.exists():
                # The words that follow could only take more away.
                return queryset.none(), False
            queryset = queryset.filter(self.find(request, word))
        return queryset, False

    def find(self, request: HttpRequest, word: str) -> Q:
        """Where one word is found."""
        exact = _exact(word, self.search_ids, uuid.UUID) | _exact(word, self.search_addresses, ipaddress.ip_address)
        if self.search_identities:
            exact |= Q(**{f"{self.search_identities}__in": self.meant(request, identities_called(word))})
        # Nobody is called like that.
        is_id = (self.search_ids or self.search_addresses) and (_is(word, uuid.UUID) or _is(word, ipaddress.ip_address))
        return exact if is_id else exact | self.find_names(request, word)

    def find_names(self, request: HttpRequest, word: str) -> Q:
        """Where one word is a part of something."""
        found = any_of(word, self.search_texts)
        if self.search_users:
            found |= Q(**{f"{self.search_users}__in": self.meant(request, users_called(word))})
        if self.search_clients:
            found |= Q(**{f"{self.search_clients}__in": self.meant(request, clients_called(word))})
        return found

    def meant(self, request: HttpRequest, named: QuerySet[Any]) -> list[Any]:
        """Their keys: of the first MAX_MEANT, and the operator is told."""
        keys = list(named.order_by().values_list("pk", flat=True)[: MAX_MEANT + 1])
        if len(keys) > MAX_MEANT:
            text = _("More than %(count)s are called like that: search for more of the name.")
            self.message_user(request, text % {"count": MAX_MEANT}, messages.WARNING)
        return keys[:MAX_MEANT]


def words_of(text: str) -> list[str]:
    """The words of what was typed; what stands in quotes is one."""
    words = [unescape_string_literal(bit) if bit[0] in "\"'" and bit[0] == bit[-1] else bit for bit in _split(text)]
    return [word for word in words if word][:MAX_WORDS]


def any_of(word: str, names: Sequence[str]) -> Q:
    """Where `word` is a part of one of these columns."""
    found = Q(pk__in=[])
    for name in names:
        found |= Q(**{f"{name}__icontains": word})
    return found


def users_called(word: str) -> QuerySet[Any]:
    """Users with a name or an e-mail address like that, whatever user model the project has."""
    model = get_user_model()
    named = [name for name in (model.USERNAME_FIELD, model.get_email_field_name()) if _has_column(model, name)]
    names = list(dict.fromkeys(named))
    users = model._default_manager.all()
    if "@" in word:
        # A whole address, most of the time, and whole ones are found much sooner.
        exact = users.filter(reduce(or_, (Q(**{f"{name}__in": {word, word.lower()}}) for name in names)))
        if exact.exists():
            return exact
    return users.filter(any_of(word, names))


def clients_called(word: str) -> QuerySet[Any]:
    """Clients with a name like that, or a part of it in their id or redirect URIs, one of which holds their host."""
    # Only names need be compared regardless of case, which takes several times as long.
    in_texts = Q(client_id__contains=word) | Q(redirect_uris__contains=word)
    return clients().filter(Q(name__icontains=word) | in_texts)


def identities_called(word: str) -> QuerySet[Any]:
    """Identities with that very `sub`: the issuer's, or ours."""
    return Identity.objects.filter(Q(sub=word) | _exact(word, ("subject",), uuid.UUID))


def _split(text: str) -> list[str]:
    # PostgreSQL takes no NUL.
    return list(smart_split(text.replace("\0", "")))


def _exact(word: str, names: Sequence[str], parse: Callable[[str], Any]) -> Q:
    found = Q(pk__in=[])
    for name in names if _is(word, parse) else ():
        found |= Q(**{name: str(parse(word))})
    return found


def _is(word: str, parse: Callable[[str], Any]) -> bool:
    try:
        parse(word)
    except ValueError:
        return False
    return True


def _has_column(model: type[Any], name: str) -> bool:
    try:
        model._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True
