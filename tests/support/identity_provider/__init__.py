"""A small real SAML identity provider on public libraries (python-xmlsec, lxml, Starlette)."""

from tests.support.identity_provider.answers import (
    Login,
    Provider,
    Question,
    Sign,
    issue,
    metadata,
    refuse,
)
from tests.support.identity_provider.app import IdentityProvider
from tests.support.identity_provider.service_providers import QuestionRefused, read_question

__all__ = [
    "IdentityProvider",
    "Login",
    "Provider",
    "Question",
    "QuestionRefused",
    "Sign",
    "issue",
    "metadata",
    "read_question",
    "refuse",
]
