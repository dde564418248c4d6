"""The people of the story: the same persons at every identity provider."""

from __future__ import annotations

from dataclasses import dataclass, field

EMPLOYEE_NUMBER = "urn:oid:2.16.840.1.113730.3.1.3"
MAIL = "urn:oid:0.9.2342.19200300.100.1.3"
UID = "urn:oid:0.9.2342.19200300.100.1.1"
GIVEN_NAME = "urn:oid:2.5.4.42"
SURNAME = "urn:oid:2.5.4.4"

#: Between the values of an attribute that has several.
AND = "\ue000"

#: Attribute Name -> field of `Person`: what an identity provider with urn:oid names releases.
OID_ATTRIBUTES = {
    EMPLOYEE_NUMBER: "employee_number",
    MAIL: "mail",
    UID: "uid",
    GIVEN_NAME: "given_name",
    SURNAME: "surname",
}

#: The same for a provider with short names.
SHORT_ATTRIBUTES = {
    "employeeNumber": "employee_number",
    "mail": "mail",
    "uid": "uid",
    "givenName": "given_name",
    "sn": "surname",
}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account in the directory behind the identity providers."""

    uid: str
    employee_number: str
    mail: str
    given_name: str
    surname: str
    password: str = field(repr=False)

    def attributes(self, release: dict[str, str]) -> dict[str, str]:
        """The released attributes: Name -> value."""
        return {name: str(getattr(self, source)) for name, source in release.items()}


ALICE = Person("alice", "e-1001", "alice@example.org", "Alice", "Archer", "alice-pass")
BOB = Person("bob", "e-1002", "bob@example.org", "Bob", "Baker", "bob-pass")
CAROL = Person("carol", "e-1003", "carol@example.org", "Carol", "Çelik", "carol-pass")
DAVE = Person("dave", "e-1004", "Dave@Example.org", "Dave", "O'Dell & Sons", "dave-pass")

PEOPLE: tuple[Person, ...] = (ALICE, BOB, CAROL, DAVE)


def find(uid: str, password: str) -> Person | None:
    """The person with these credentials, or None."""
    number = uid.removeprefix("user")
    known = (*PEOPLE, employee(int(number))) if number.isdecimal() else PEOPLE
    matches = [person for person in known if (person.uid, person.password) == (uid, password)]
    return matches[0] if matches else None


def employee(number: int) -> Person:
    """One of arbitrarily many further people: for load, where four are too few."""
    return Person(
        uid=f"user{number:06d}",
        employee_number=f"n-{number:06d}",
        mail=f"user{number:06d}@example.org",
        given_name="Load",
        surname=f"Number {number}",
        password=f"pass-{number}",
    )
