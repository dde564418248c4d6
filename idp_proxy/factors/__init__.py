"""Second factors of people: codes of an app (TOTP), passkeys (WebAuthn), and recovery codes."""
