"""A SAML identity provider between Mattermost and an active and a standby upstream."""
