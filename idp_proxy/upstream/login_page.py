"""What a page of an upstream's login asks for, read from its HTML. Pure.

The page is an upstream's own and still not trusted: what is sent, and where to, is decided by who
reads it. Nothing depends on the language of a page, only on its fields.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

from lxml import etree, html

from idp_proxy.decision.canary import PageSeen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

SAML_RESPONSE: Final = "SAMLResponse"
RELAY_STATE: Final = "RelayState"

#: How the first field of a login is called at Keycloak, SimpleSAMLphp, AD FS, Shibboleth, CAS,
#: Okta, Entra; compared in lower case.
USERNAMES: Final = frozenset(
    {"username", "user", "j_username", "userid", "login", "loginfmt", "identifier", "email"}
)
#: The same for a code: Keycloak, privacyIDEA and SimpleSAMLphp, AD FS, Okta, Entra.
CODES: Final = frozenset(
    {"otp", "totp", "code", "token", "onetimecode", "verificationcode", "passcode", "otc"}
    | {"credentials.passcode", "challengequestionanswer"}
)
#: Inputs in which nobody types.
_SILENT: Final = frozenset(
    {"hidden", "submit", "button", "image", "reset", "checkbox", "radio", "file", "range", "color"}
    | {"search"}
)
#: Two buttons are a choice; so is anything to be ticked or picked.
_SEVERAL: Final = 2
#: What a page says where it wants proof that a person sits there.
_WALLS: Final = ("captcha", "cf-turnstile", "cf-chl", "challenge-platform")


@dataclass(frozen=True, slots=True)
class FieldNames:
    """How a login's fields are called; what is empty is found by what is usual."""

    username: str = ""
    password: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A field in which a person types."""

    name: str
    kind: str
    autocomplete: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which entries of a form are meant for what; None: there is no such entry."""

    username: str | None = None
    passwords: tuple[str, ...] = ()
    code: str | None = None
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Form:
    """A form on a page. `action` is absolute; `values` is what it sends as it stands."""

    action: str
    values: Mapping[str, str]
    asked: Asked
    choices: bool = False
    has_wall: bool = field(default=False, repr=False)


@dataclass(frozen=True, slots=True)
class LoginPage:
    """What the page asks for, and the form that does; None if no form matters."""

    seen: PageSeen
    form: Form | None


def read_page(
    url: str, status: int, body: bytes, names: FieldNames, *, challenged: bool = False
) -> LoginPage:
    """The page at `url`; `challenged` says that its headers already named a robot's wall."""
    document = _parse(body)
    if document is None:
        return LoginPage(PageSeen(status, robot_wall=challenged), None)
    base = document.find(".//base[@href]")
    address = url if base is None else _joined(url, base.get("href", ""))
    posted = [form for form in document.forms if (form.get("method") or "").lower() == "post"]
    forms = [_form(form, address, names) for form in posted]
    form = _chosen(forms)
    wall = _has_wall(document) if form is None else form.has_wall
    return LoginPage(_seen(status, form, robot_wall=challenged or wall), form)


def assign(entries: Sequence[Entry], names: FieldNames) -> Asked:
    """Which entry is meant for what."""
    code = _first(entries, lambda one: _is_code(one, names))
    rest = [one for one in entries if one.name != code]
    passwords = [one.name for one in rest if _is_password(one, names)]
    rest = [one for one in rest if one.name not in passwords]
    username = _first(rest, lambda one: _is_username(one, names))
    if username is None and passwords and not names.username and rest:
        username = rest[0].name
    return Asked(
        username=username,
        passwords=tuple(passwords),
        code=code,
        others=tuple(one.name for one in rest if one.name != username),
    )


def _is_code(entry: Entry, names: FieldNames) -> bool:
    """Okta calls password and code the same; what is hidden while it is typed is a password."""
    if names.code:
        return entry.name == names.code
    usual = entry.kind != "password" and entry.name.lower() in CODES
    return usual or entry.autocomplete == "one-time-code"


def _is_password(entry: Entry, names: FieldNames) -> bool:
    return entry.name == names.password if names.password else entry.kind == "password"


def _is_username(entry: Entry, names: FieldNames) -> bool:
    if names.username:
        return entry.name == names.username
    return "username" in entry.autocomplete.split() or entry.name.lower() in USERNAMES


def _first(entries: Iterable[Entry], fits: Callable[[Entry], bool]) -> str | None:
    return next((one.name for one in entries if fits(one)), None)


def _seen(status: int, form: Form | None, *, robot_wall: bool) -> PageSeen:
    if form is None:
        return PageSeen(status, robot_wall=robot_wall)
    asked = form.asked
    return PageSeen(
        status=status,
        answers=SAML_RESPONSE in form.values,
        username=asked.username is not None,
        passwords=len(asked.passwords),
        code=asked.code is not None,
        asks=(*asked.others, *(("a choice",) if form.choices else ())),
        goes_on=not form.choices and asked == Asked(),
        robot_wall=robot_wall,
    )


def _chosen(forms: Sequence[Form]) -> Form | None:
    """The form that matters: the answer, a login, a code, a name; else the only one there is."""
    wanted: tuple[Callable[[Form], object], ...] = (
        lambda one: SAML_RESPONSE in one.values,
        lambda one: len(one.asked.passwords) == 1,
        lambda one: one.asked.passwords,
        lambda one: one.asked.code,
        lambda one: one.asked.username,
        lambda one: one.asked.others,
    )
    for fits in wanted:
        found = next((one for one in forms if fits(one)), None)
        if found is not None:
            return found
    return forms[0] if len(forms) == 1 else None


def _parse(body: bytes) -> html.HtmlElement | None:
    """The page; None if it is none. UTF-8 whatever it says: nothing that is sent needs more."""
    text = body.decode("utf-8", "replace").replace("\0", "").encode()
    parser = html.HTMLParser(encoding="utf-8", no_network=True)
    try:
        return html.document_fromstring(text, parser=parser)
    except (etree.LxmlError, ValueError):
        return None


def _form(form: html.FormElement, address: str, names: FieldNames) -> Form:
    values: dict[str, str] = {}
    entries: list[Entry] = []
    choices = 0
    button: tuple[str, str] | None = None
    for one in form.iter("input", "textarea", "select", "button"):
        name, kind = one.get("name", ""), _kind(one)
        if not name or "disabled" in one.attrib:
            choices += kind == "submit"
            continue
        if kind == "submit":
            choices += 1
            button = button or (name, one.get("value", ""))
        elif kind in {"checkbox", "radio"}:
            choices += _SEVERAL
            if "checked" in one.attrib:
                values[name] = one.get("value", "on")
        elif kind not in {"button", "image", "reset", "file"}:
            values[name] = _value(one)
            choices += _SEVERAL if one.tag == "select" else 0
            if kind not in _SILENT and one.tag != "select":
                entries.append(Entry(name, kind, one.get("autocomplete", "").lower()))
    if button is not None:  # what Enter presses: some providers wait for its name
        values.setdefault(*button)
    return Form(
        action=_action(form.get("action") or "", address),
        values=values,
        asked=assign(entries, names),
        choices=choices >= _SEVERAL and not entries,
        has_wall=_has_wall(form),
    )


def _action(action: str, address: str) -> str:
    """Where a form goes; for urljoin, other than for browsers, "?" alone is the query as it was."""
    return _joined(address.partition("?")[0] if action.startswith("?") else address, action)


def _joined(address: str, reference: str) -> str:
    """What is no address stays as it is, and leads nowhere."""
    try:
        return urljoin(address, reference)
    except ValueError:
        return reference


def _kind(element: html.HtmlElement) -> str:
    kind = (element.get("type") or "").lower()
    if element.tag == "button":
        return kind if kind in {"button", "reset"} else "submit"
    return kind or "text" if element.tag == "input" else "text"


def _value(element: html.HtmlElement) -> str:
    return str((element.get("value") if element.tag == "input" else element.value) or "")


def _has_wall(element: html.HtmlElement) -> bool:
    text = etree.tostring(element).lower()
    return any(wall.encode() in text for wall in _WALLS)
