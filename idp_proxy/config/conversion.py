"""`review.conversion_config`: how `sso-conversion` would move people, as far as a reviewer asks.

Its file holds references and no secret. It is another program's: what is wrong with it is a finding
of the review, and never a problem of this configuration. The defaults are that program's; a test
holds them against each other.
"""

from __future__ import annotations

import tomllib
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from idp_proxy.decision.review import ConversionSeen

if TYPE_CHECKING:
    from idp_proxy.config.material import Reader

#: Octets of the file at most.
_LARGEST: Final = 1024 * 1024


class _Table(BaseModel):
    """A table of another program's file: what is not asked for is passed over."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class MattermostPart(_Table):
    """Of `[mattermost]`."""

    token: str = ""
    local_socket: str = ""


class LedgerPart(_Table):
    """Of `[ledger]`."""

    url: str = "sqlite:///conversion.db"
    mirror: str = ""
    backup_key: str = ""


class CampaignPart(_Table):
    """Of `[campaign]`."""

    operator_user: str = ""
    proxy_status_url: str = ""
    converted_file: str = ""
    error_budget_percent: float = 5.0
    at_most_percent: float = 25.0
    inventory_max_age_h: Annotated[float, Field(ge=0, le=8760)] = 26.0
    pilot: int = 5
    remind_h: Annotated[float, Field(ge=0, le=8760)] = 24.0
    deadline_h: Annotated[float, Field(ge=0, le=8760)] = 72.0


class NotifyPart(_Table):
    """Of `[notify]`."""

    urls: list[str] = Field(default_factory=list)


class OperatorsPart(_Table):
    """Of `[operators]`."""

    url: str = ""


class AuditPart(_Table):
    """Of `[audit]`."""

    checkpoint_file: str = ""


class ConversionFile(_Table):
    """As much of the whole file as is asked for."""

    mattermost: MattermostPart = Field(default_factory=MattermostPart)
    ledger: LedgerPart = Field(default_factory=LedgerPart)
    campaign: CampaignPart = Field(default_factory=CampaignPart)
    notify: NotifyPart = Field(default_factory=NotifyPart)
    operators: OperatorsPart = Field(default_factory=OperatorsPart)
    audit: AuditPart = Field(default_factory=AuditPart)


def read_conversion(name: str, reader: Reader) -> tuple[ConversionSeen | None, Path | None]:
    """What the file says, and the file of its token; None where no configuration is named, or where
    the token stands in no file.
    """
    if not name:
        return None, None
    path = reader.path(name)
    try:
        file = ConversionFile.model_validate(_document(path))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        return ConversionSeen(path.name, problem=f"{where}: {first['msg']}"), None
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else "is no TOML"
        return ConversionSeen(path.name, problem=str(why)), None
    return _seen(path, file), _token_file(path, file)


def _document(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError("larger than 1 MiB")
    return tomllib.loads(content.decode())


def _seen(path: Path, file: ConversionFile) -> ConversionSeen:
    campaign, ledger = file.campaign, file.ledger
    proofs = {
        "an operator's own login": campaign.operator_user,
        "the proxy's status": campaign.proxy_status_url,
    }
    by = "socket" if file.mattermost.local_socket else file.mattermost.token.partition(":")[0]
    return ConversionSeen(
        file=path.name,
        access_by=by,
        mirror_apart=_is_apart(ledger),
        backups_encrypted=bool(ledger.backup_key),
        checkpoints=bool(file.audit.checkpoint_file),
        proofs=tuple(what for what, configured in proofs.items() if configured),
        lists_converted=Path(campaign.converted_file).name,
        operators=bool(file.operators.url),
        channels=len(file.notify.urls),
        pilot=campaign.pilot,
        at_most_percent=campaign.at_most_percent,
        error_budget_percent=campaign.error_budget_percent,
        inventory_max_age=timedelta(hours=campaign.inventory_max_age_h),
        remind_after=timedelta(hours=campaign.remind_h),
        deadline=timedelta(hours=campaign.deadline_h),
    )


def _is_apart(ledger: LedgerPart) -> bool:
    """Whether ledger and mirror lie in two folders; a database is another place than any file."""
    place, _, file = ledger.url.partition(":///")
    return bool(ledger.mirror) and not (
        place == "sqlite" and Path(file).parent == Path(ledger.mirror).parent
    )


def _token_file(path: Path, file: ConversionFile) -> Path | None:
    kind, _, name = file.mattermost.token.partition(":")
    return path.parent / name if kind == "file" and not file.mattermost.local_socket else None
