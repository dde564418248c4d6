"""A passkey's device in software (WebAuthn level 3, ES256), honest or not, as a test wants it."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import struct
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

_USER_PRESENT, _USER_VERIFIED, _HAS_KEY = 0x01, 0x04, 0x40


@dataclass(slots=True)
class Authenticator:
    """One device with one passkey; `verifies` says whether it asks for a PIN or a finger.

    `counts` is whether it has a counter: passkeys that are kept in several devices have none.
    """

    origin: str
    verifies: bool = True
    counts: bool = True
    id: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    counter: int = 0

    def create(self, options: dict[str, Any], **lies: Any) -> str:
        """What the browser posts after `navigator.credentials.create(options)`."""
        public = self.key.public_key().public_numbers()
        point = {-2: public.x.to_bytes(32, "big"), -3: public.y.to_bytes(32, "big")}
        cose = cbor2.dumps({1: 2, 3: -7, -1: 1, **point})
        attested = bytes(16) + struct.pack(">H", len(self.id)) + self.id + cose
        data = self._data(lies.get("rp_id", options["rp"]["id"]), _HAS_KEY) + attested
        about = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client("webauthn.create", options, lies)
        return self._answer({"attestationObject": text(about), "clientDataJSON": text(client)})

    def get(self, options: dict[str, Any], **lies: Any) -> str:
        """What the browser posts after `navigator.credentials.get(options)`."""
        data = self._data(lies.get("rp_id", options["rpId"]), 0)
        client = self._client("webauthn.get", options, lies)
        signed = data + hashlib.sha256(client).digest()
        signature = self.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        return self._answer(
            {
                "authenticatorData": text(data),
                "clientDataJSON": text(client),
                "signature": text(signature),
                "userHandle": None,
            }
        )

    def _data(self, rp_id: str, more: int) -> bytes:
        self.counter += self.counts
        flags = _USER_PRESENT | more | (_USER_VERIFIED if self.verifies else 0)
        return hashlib.sha256(rp_id.encode()).digest() + struct.pack(">BI", flags, self.counter)

    def _client(self, kind: str, options: dict[str, Any], lies: dict[str, Any]) -> bytes:
        client = {
            "type": kind,
            "challenge": options["challenge"],
            "origin": self.origin,
            "crossOrigin": False,
        }
        return json.dumps(client | {k: v for k, v in lies.items() if k in client}).encode()

    def _answer(self, response: dict[str, Any]) -> str:
        known = {"id": text(self.id), "rawId": text(self.id), "type": "public-key"}
        return json.dumps({**known, "response": response, "clientExtensionResults": {}})


def text(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")
