"""What each release changed, as the double plays it.

Written from the observations, apart from the client's table: an error in one of them shows.
"""

from __future__ import annotations

from dataclasses import dataclass

#: The releases a test may ask for.
VERSIONS = ("5.37", "9.3", "9.11", "10.11", "11.0", "11.8", "11.9", "11.10")


@dataclass(frozen=True, slots=True)
class Release:
    """The behaviour of one release."""

    number: tuple[int, int]
    text: str

    @classmethod
    def named(cls, text: str) -> Release:
        """ "10.11" or "10.11.3"."""
        parts = [int(part) for part in text.split(".")]
        return cls((parts[0], parts[1]), ".".join(str(part) for part in [*parts, 0][:3]))

    @property
    def forgets_after_put_auth(self) -> bool:
        return self.number >= (9, 3)

    @property
    def refuses_remote_passwords(self) -> bool:
        return self.number >= (8, 1)

    @property
    def hours(self) -> bool:
        return self.number >= (7, 0)

    @property
    def ends_sessions_on_password(self) -> bool:
        return self.number >= (9, 11)

    @property
    def counts_remote_people_apart(self) -> bool:
        """stats/filtered takes `include_remote_users`; since when exactly is not known."""
        return self.number >= (9, 11)

    @property
    def shows_auth_data(self) -> bool:
        return self.number >= (10, 11)

    @property
    def rehashes(self) -> bool:
        return self.number >= (11, 0)

    @property
    def local_put_auth(self) -> bool:
        return self.number >= (11, 0)

    @property
    def finds_auth_data(self) -> bool:
        return self.number >= (11, 8)

    @property
    def validates_services(self) -> bool:
        return self.number >= (11, 9)

    @property
    def ends_sessions_on_auth(self) -> bool:
        return self.number >= (11, 10)

    @property
    def longest_password(self) -> int:
        """Octets."""
        return 64 if self.number < (7, 0) else 72
