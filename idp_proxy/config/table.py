"""What every section of the file is in the shape that is read."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """A TOML table: no unknown field, and no value of another type is bent into shape."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
