"""Migrations: from nothing, on every database, in any order of apps, with a project's own models."""

from __future__ import annotations

import pytest

from tests.models.conftest import result_of, run_project
from tests.projects.plain import APPS

OURS = {
    "client_admin": "mcp_oidc.admin.clients",
    "token_admin": "mcp_oidc.admin.unused",
    "clearcimdapplications": "mcp_oidc",
}
OTHERS = [app for app in APPS if app not in ("mcp_oidc", "oauth2_provider")]
ORDERS = {
    "first": ["mcp_oidc", "oauth2_provider", *OTHERS],
    "last": [*OTHERS, "oauth2_provider", "mcp_oidc"],
    "around": ["mcp_oidc", *OTHERS, "oauth2_provider"],
    "the other way around": ["oauth2_provider", *OTHERS, "mcp_oidc"],
    "backwards": list(reversed(APPS)),
}


@pytest.mark.requirement("migrate-in-any-order")
def test_a_project_migrates_from_nothing_and_lacks_no_migration(any_database: str) -> None:
    assert result_of("plain", "install", DATABASE_URL=any_database) == OURS


@pytest.mark.long
@pytest.mark.requirement("migrate-own-models")
@pytest.mark.requirement("user-deleted")
def test_a_project_with_its_own_models_migrates_and_takes_a_user_all_the_way(any_database: str) -> None:
    assert result_of("own_user_and_client", "install", "connect", "leave", DATABASE_URL=any_database) == {
        **OURS,
        "client_model": "own_clients.DepartmentClient",
        "user": "alice@example.com",
        "is_same_user": True,
        "is_shown": True,
        "survives_a_save": True,
        "told_of_the_deletion": ["connection.revoked", "user.deleted"],
    }


@pytest.mark.parametrize("project", [pytest.param("own_user", marks=pytest.mark.long), "own_client"])
def test_a_project_may_have_one_model_of_its_own_without_the_other(project: str, sqlite_database: str) -> None:
    assert result_of(project, "install", DATABASE_URL=sqlite_database) == OURS


@pytest.mark.requirement("migrate-in-any-order")
@pytest.mark.long
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_the_order_of_the_apps_makes_no_difference(order: list[str], sqlite_database: str) -> None:
    assert result_of("plain", "install", DATABASE_URL=sqlite_database, APPS=",".join(order)) == OURS


@pytest.mark.long
@pytest.mark.parametrize("order", [ORDERS["first"], ORDERS["last"]], ids=["first", "last"])
@pytest.mark.parametrize("is_first", [True, False])
def test_the_order_makes_no_difference_to_a_project_with_models_of_its_own(
    order: list[str], sqlite_database: str, *, is_first: bool
) -> None:
    own = ["tests.projects.own_clients", "tests.projects.people"]
    apps = [*own, *order] if is_first else [*order, *own]
    assert result_of("own_user_and_client", "install", DATABASE_URL=sqlite_database, APPS=",".join(apps)) == OURS


@pytest.mark.parametrize("command", ["check", "migrate"])
def test_a_forgotten_client_model_is_told_before_anything_is_written(command: str, sqlite_database: str) -> None:
    finished = run_project("forgotten", "-m", "django", command, DATABASE_URL=sqlite_database)
    assert finished.returncode == 1
    assert "(mcp_oidc.E001)" in finished.stderr
    assert 'OAUTH2_PROVIDER_APPLICATION_MODEL = "mcp_oidc.Client"' in finished.stderr
    assert finished.stderr.count("HINT:") == 1


def test_a_forgotten_oauth_toolkit_is_told_with_the_line_to_add() -> None:
    apps = ",".join(app for app in APPS if app != "oauth2_provider")
    finished = run_project("plain", "-m", "django", "check", APPS=apps)
    assert finished.returncode == 1
    assert 'add "oauth2_provider" to INSTALLED_APPS' in finished.stderr
