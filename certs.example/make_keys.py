"""Make throw-away keys and certificates for the examples in docs/ and for trials.

    python certs.example/make_keys.py [FOLDER]

Writes into certs.example/generated/ unless told otherwise, and never over an existing file. None of
these keys may ever reach a machine on which somebody logs in: make those by `idp-proxy init`.
"""

from __future__ import annotations

import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from idp_proxy.initialise import RSA_BITS, private_pem, write_key_pair, write_private

#: A pair for each purpose (KEY-01), and the other parties that the examples name.
PAIRS = {
    "idp": "sso.example.org",
    "tls": "sso.example.org",
    "active-sp": "active.sso.example.org",
    "active-decryption": "active.sso.example.org",
    "standby-sp": "standby.sso.example.org",
    "standby-decryption": "standby.sso.example.org",
    "mattermost": "chat.example.org",
    "federation": "metadata.example.org",
}


def make(folder: Path, now: datetime, bits: int = RSA_BITS) -> list[Path]:
    """Write what is not there yet, and give the paths of the new files."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = set(folder.iterdir())
    for stem, common_name in PAIRS.items():
        if not (folder / f"{stem}.key").exists():
            write_key_pair(folder, stem, common_name=common_name, now=now, bits=bits)
    for name, content in (
        ("state.key", secrets.token_bytes(32)),
        ("converted.key", secrets.token_bytes(32)),
        ("audit.key", private_pem(Ed25519PrivateKey.generate())),
    ):
        if not (folder / name).exists():
            write_private(folder / name, content)
    return sorted(set(folder.iterdir()) - before)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).with_name("generated")
    for path in make(target, datetime.now(UTC)):
        sys.stdout.write(f"{path}\n")
