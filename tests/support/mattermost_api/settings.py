"""The server's configuration: the recorded sections, and what else the API shows of it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

RECORDINGS = Path(__file__).with_name("recordings")


def recording(name: str) -> Any:
    """A recorded answer, or a recorded text that stands alone."""
    return json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))


@cache
def _sections() -> str:
    return (RECORDINGS / "get-config-excerpt.json").read_text(encoding="utf-8")


def defaults() -> dict[str, dict[str, Any]]:
    """What a server starts with; `ServiceSettings` was not recorded."""
    sections: dict[str, dict[str, Any]] = json.loads(_sections())
    sections["ServiceSettings"] = {
        "MaximumLoginAttempts": 10,
        "EnableMultifactorAuthentication": False,
        "EnforceMultifactorAuthentication": False,
        "EnableUserAccessTokens": True,
        "ExtendSessionLengthWithActivity": True,
        "SessionIdleTimeoutInMinutes": 43200,
        "SessionLengthSSOInDays": 30,
        "SessionLengthWebInDays": 180,
        "SessionLengthMobileInDays": 180,
        "SessionLengthSSOInHours": 720,
        "SessionLengthWebInHours": 4320,
        "SessionLengthMobileInHours": 4320,
        "TerminateSessionsOnPasswordChange": True,
        "ExperimentalEnableAuthenticationTransfer": True,
        "ExperimentalEnableHardenedMode": False,
    }
    sections["GuestAccountsSettings"] = {"Enable": True}
    return sections


def public(sections: dict[str, dict[str, Any]], version: str) -> dict[str, str]:
    """GET /config/client?format=old: anybody may read it."""
    email, password = sections["EmailSettings"], sections["PasswordSettings"]
    service = sections["ServiceSettings"]
    values = {
        "Version": version,
        "EnableSaml": sections["SamlSettings"]["Enable"],
        "EnableSignInWithEmail": email["EnableSignInWithEmail"],
        "EnableSignInWithUsername": email["EnableSignInWithUsername"],
        "EnableSignUpWithEmail": email["EnableSignUpWithEmail"],
        "EnableMultifactorAuthentication": service["EnableMultifactorAuthentication"],
        "EnforceMultifactorAuthentication": service["EnforceMultifactorAuthentication"],
        "PasswordMinimumLength": password["MinimumLength"],
        "PasswordRequireLowercase": password["Lowercase"],
        "PasswordRequireNumber": password["Number"],
        "PasswordRequireSymbol": password["Symbol"],
        "PasswordRequireUppercase": password["Uppercase"],
    }
    texts = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in values.items()
    }
    return {**recording("config-client-old"), **texts}
