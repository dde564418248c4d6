"""The SAML protocol: bytes to verified values, values to signed bytes. No network and no clock."""
