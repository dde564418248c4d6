"""`python -m tests.support.mattermost_api --port N`: the double as a process of its own."""

# Typer reads the annotations at run time: they are no strings here.
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from tests.support.mattermost_api.app import app
from tests.support.mattermost_api.server import MattermostServer


def main(
    *,
    port: Annotated[int, typer.Option(help="TCP port on 127.0.0.1")],
    version: Annotated[str, typer.Option(help="release, such as 5.37 or 11.10")] = "10.11",
    people: Annotated[int, typer.Option(help="so many SAML users from the start")] = 0,
    seed: Annotated[int, typer.Option(help="of ids and of chance")] = 1,
    token_file: Annotated[
        Path | None, typer.Option(help="where to write the administrator's token")
    ] = None,
) -> None:
    """Serve until a signal comes. `POST /control` does what tests do to a server in-process."""
    server = MattermostServer(version, seed)
    server.people(people)
    if token_file is not None:
        token_file.touch(mode=0o600)
        token_file.write_text(server.admin_token, encoding="ascii")
    uvicorn.run(
        app(server, controlled=True), host="127.0.0.1", port=port, log_level="error", lifespan="off"
    )


if __name__ == "__main__":
    typer.run(main)
