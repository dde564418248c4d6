"""A SAML identity provider of one's own, between Mattermost and an active and a standby upstream."""
