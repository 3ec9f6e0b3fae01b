"""Make the database of the provider, unless it is there from an earlier start, and serve."""

from __future__ import annotations

import os

import django
from django.core.management import call_command
from django.core.servers.basehttp import run
from django.core.wsgi import get_wsgi_application

from tests.upstream.provider_configuration import PASSWORD, USERS, ProviderConfiguration, RelyingParty


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.upstream.dot_provider.settings"
    django.setup()
    configuration = ProviderConfiguration.from_environment()
    if not os.path.exists(os.path.join(configuration.home, "provider.sqlite3")):
        call_command("migrate", run_syncdb=True, verbosity=0)
        _fill(configuration)
    run("127.0.0.1", configuration.port, get_wsgi_application(), threading=True)


def _fill(configuration: ProviderConfiguration) -> None:
    from django.contrib.auth import get_user_model

    for name, claims in USERS.items():
        get_user_model().objects.create_user(name, claims["email"], PASSWORD)
    for party in configuration.relying_parties:
        _register(party, configuration)


def _register(party: RelyingParty, configuration: ProviderConfiguration) -> None:
    from oauth2_provider.models import get_application_model

    application = get_application_model()
    application.objects.create(
        client_id=party.client_id,
        client_secret=party.secret,
        client_type=application.CLIENT_CONFIDENTIAL if party.secret else application.CLIENT_PUBLIC,
        authorization_grant_type=application.GRANT_AUTHORIZATION_CODE,
        algorithm=application.RS256_ALGORITHM,
        redirect_uris=configuration.redirect_uri,
        post_logout_redirect_uris=configuration.post_logout_redirect_uri,
        skip_authorization=not party.needs_approval,
    )


if __name__ == "__main__":
    main()
