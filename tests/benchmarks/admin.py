"""What the admin's pages cost on a big site: milliseconds of server time and queries, for each page.

    python tests/benchmarks/admin.py [--database postgres://user@host/postgres] [--runs 5] [--only search]

It makes a database of its own at that PostgreSQL server, with 100,000 clients, 300,000 connections and 1,000,000
events, and drops it again. `--keep URL` uses a database that stays, and fills it if it is empty. The pages are asked
for in this process: what is measured is the time until the answer is whole, database included, network not. The CPU
time beside it is that of this process and of the database's: look at that where others use the machine, too.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# In the place of this directory, whose modules have names that others have, too.
sys.path[0] = str(ROOT)

from tests.benchmarks.resource import scratch_database  # noqa: E402

LIMIT_MS = 300


@dataclass(frozen=True)
class Page:
    """A page, by its address, or by what is posted to it."""

    title: str
    url: str
    query: dict[str, str] = field(default_factory=dict)
    form: dict[str, Any] = field(default_factory=dict)


def main() -> int:
    options = _options()
    with scratch_database(options.database) if not options.keep else nullcontext(options.keep) as url:
        _set_up(url)
        wanted = [page for page in pages() if options.only in page.title]
        slow = [page for page in wanted if measure(page, options.runs) > LIMIT_MS]
    print(f"{len(slow)} of the medians are over {LIMIT_MS} ms")
    return 1 if slow else 0


def pages() -> Iterator[Page]:
    """Every list with its searches and filters, the pages of a busy row and of a common one, and all that ask."""
    from django.urls import reverse

    yield Page("index", reverse("admin:index"))
    users = reverse("admin:auth_user_changelist")
    yield Page("Django's own list of users, to compare", users)
    yield Page("Django's own list of users, searched for alice", users, {"q": "alice"})
    yield from _pages_of_models()
    yield from _pages_of_a_busy_client()
    yield Page("client: add", reverse("admin:mcp_oidc_client_add"))
    yield Page("clienthost: add", reverse("admin:mcp_oidc_clienthost_add"))


def _pages_of_models() -> Iterator[Page]:
    from django.contrib import admin
    from django.urls import reverse

    from mcp_oidc.models import Connection

    words = ("user-4711@example.com", "App 4711", "everybody", "no such thing", "1", str(_id_of(Connection)))
    for model, model_admin in admin.site._registry.items():
        name = model._meta.model_name or ""
        if model._meta.app_label != "mcp_oidc":
            continue
        url = reverse(f"admin:mcp_oidc_{name}_changelist")
        if name == "dashboard":
            # One page, whose counts are kept for a minute.
            yield Page("dashboard", url)
            continue
        yield Page(f"{name}: list", url)
        yield Page(f"{name}: list, last page", url, {"p": "100"})
        searched = words if model_admin.get_search_fields(None) else ()  # type: ignore[arg-type]  # ours do not look
        for word in searched:
            yield Page(f"{name}: search for {word[:22]}", url, {"q": word})
        for query in FILTERS.get(name, ()):
            yield Page(f"{name}: {query}", url, dict(part.split("=") for part in query.split("&")))
        rows = model._default_manager.order_by("pk")
        for row in filter(None, (rows.first(), rows.last())):
            yield Page(f"{name}: page of one", reverse(f"admin:mcp_oidc_{name}_change", args=[row.pk]))
        for action in model_admin.actions or ():
            form = {"action": action, "_selected_action": [_id_of(model)]}
            yield Page(f"{name}: {action}", url, form=form)
            yield Page(f"{name}: {action} for all", url, form={**form, "select_across": "1"})


def _pages_of_a_busy_client() -> Iterator[Page]:
    from django.urls import reverse

    from mcp_oidc.models import Client, Connection, Event, Identity

    keys = Client.objects.order_by("pk").values_list("pk", flat=True)
    busy, common = keys[0], keys[1]
    clients = reverse("admin:mcp_oidc_client_changelist")
    for action in ("revoke_access", "block", "trust_it", "delete"):
        yield Page(f"busy client: {action}", clients, form={"action": action, "_selected_action": [busy]})
    for model in (Connection, Event):
        name = model._meta.model_name
        url = reverse(f"admin:mcp_oidc_{name}_changelist")
        yield Page(f"{name}: those of the busy client", url, {"of_client": str(busy)})
        yield Page(f"{name}: those of a client", url, {"of_client": str(common)})
        yield Page(f"{name}: those of a user", url, {"of_user": str(_id_of(Identity, "user_id"))})


FILTERS = {
    "client": (
        "state=blocked",
        "state=trusted",
        "state=deleted",
        "use=connected",
        "use=unused",
        "registration_source__exact=dcr",
        "redirects=loopback",
        "redirects=scheme",
        "o=-8",
    ),
    "connection": ("state=living", "state=revoked", "state=ended"),
    "event": ("topic=login", "topic=key", "outcome=refused", "topic=client&outcome=refused"),
    "loginsession": ("state=living", "state=over"),
}


def measure(page: Page, runs: int) -> float:
    """Print a line for a page. Returns the median, in milliseconds."""
    from django.contrib.auth import get_user_model
    from django.db import connection
    from django.test import Client as Browser
    from django.test.utils import CaptureQueriesContext

    browser = Browser()
    browser.force_login(get_user_model().objects.get(username="benchmark"))
    times, cpu_times, queries = [], [], 0
    with connection.cursor() as cursor:
        # So that one process of the database does it all, and tells its time.
        cursor.execute("SET max_parallel_workers_per_gather = 0")
        cursor.execute("SELECT pg_backend_pid()")
        [backend] = cursor.fetchone()
    for _ in range(runs + 1):
        with CaptureQueriesContext(connection) as captured:
            begun, cpu_begun = time.perf_counter(), _cpu_ms(backend)
            response = browser.post(page.url, page.form) if page.form else browser.get(page.url, page.query)
            times.append((time.perf_counter() - begun) * 1000)
            cpu_times.append(_cpu_ms(backend) - cpu_begun)
        assert response.status_code == 200 or page.form or "p" in page.query, (page, response.status_code)
        queries = len(captured)
    # The first warms up.
    median = statistics.median(times[1:])
    cpu = statistics.median(cpu_times[1:])
    over = "  OVER" if median > LIMIT_MS else ""
    print(f"{page.title:58}{median:>8.0f} ms{cpu:>8.0f} ms CPU{queries:>5} queries{over}", flush=True)
    return median


def _cpu_ms(backend: int) -> float:
    """What this process and its end of the database have computed so far: nearly the same on a busy machine."""
    path = Path(f"/proc/{backend}/schedstat")
    return time.process_time() * 1000 + (int(path.read_text().split()[0]) / 1e6 if path.exists() else 0)


def _id_of(model: type[Any], column: str = "pk") -> Any:
    return model._default_manager.order_by("pk").values_list(column, flat=True)[1]


def _set_up(url: str) -> None:
    os.environ.update(DATABASE_URL=url, DJANGO_SETTINGS_MODULE="tests.settings")
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    from mcp_oidc.models import Event
    from tests.benchmarks.admin_rows import Sizes, fill

    call_command("migrate", verbosity=0)
    if not Event.objects.exists():
        begun = time.monotonic()
        fill(Sizes())
        print(f"filled in {time.monotonic() - begun:.0f} s")
    users = get_user_model().objects
    if not users.filter(username="benchmark").exists():
        users.create_superuser("benchmark")  # type: ignore[attr-defined]  # Django's own user


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", default="postgres://postgres@127.0.0.1:5432/postgres")
    parser.add_argument("--keep", help="URL of a database that stays")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default="", help="pages with this in their title")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
