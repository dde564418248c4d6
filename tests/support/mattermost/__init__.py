"""Mattermost as a SAML service provider, on python3-saml and what is known of gosaml2."""

from tests.support.mattermost.accounts import Account, Accounts, Profile
from tests.support.mattermost.app import Mattermost
from tests.support.mattermost.errors import ImportFailed, LoginFailed
from tests.support.mattermost.importer import Imported, import_metadata
from tests.support.mattermost.response import Accepted, accept
from tests.support.mattermost.settings import (
    DIRECT,
    AttributeNames,
    RelayStateForm,
    Settings,
    Signing,
)

__all__ = [
    "DIRECT",
    "Accepted",
    "Account",
    "Accounts",
    "AttributeNames",
    "ImportFailed",
    "Imported",
    "LoginFailed",
    "Mattermost",
    "Profile",
    "RelayStateForm",
    "Settings",
    "Signing",
    "accept",
    "import_metadata",
]
