"""Our verifier, python-xmlsec and python3-saml over the same messages."""
