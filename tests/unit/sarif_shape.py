"""What SARIF 2.1.0 allows and demands of the objects that the review writes; nothing else passes.

Written after the schema of OASIS (sarif-schema-2.1.0.json), which forbids every property that it
does not name. The whole schema was run over both examples by hand; it is too large to stand here.
"""

from __future__ import annotations

import re
from typing import Any, Final

_URI: Final = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
LEVELS: Final = {"none", "note", "warning", "error"}
SUPPRESSED: Final = {"accepted", "underReview", "rejected"}

#: Object -> property -> what it holds: a type, a set of words, a pattern, another object, or a list
#: of one. A property with a mark behind its name must be there.
SHAPES: Final[dict[str, dict[str, Any]]] = {
    "log": {"$schema": _URI, "version!": {"2.1.0"}, "runs!": ["run"]},
    "run": {
        "tool!": "tool",
        "columnKind": {"unicodeCodePoints", "utf16CodeUnits"},
        "invocations": ["invocation"],
        "properties": dict,
        # Without it a run has looked at nothing (3.14.23).
        "results!": ["result"],
    },
    "tool": {"driver!": "driver"},
    "driver": {"name!": str, "version": str, "rules": ["rule"]},
    "rule": {
        "id!": str,
        "name": str,
        "shortDescription": "text",
        "fullDescription": "text",
        "defaultConfiguration": "configuration",
        "properties": dict,
    },
    "configuration": {"level": LEVELS},
    "text": {"text!": str},
    "invocation": {"executionSuccessful!": bool, "endTimeUtc": _TIME},
    "result": {
        "ruleId": str,
        "ruleIndex": int,
        "level": LEVELS,
        "message!": "text",
        "locations": ["location"],
        "partialFingerprints": dict,
        "properties": dict,
        "suppressions": ["suppression"],
    },
    "location": {"physicalLocation": "physical", "logicalLocations": ["logical"]},
    "physical": {"artifactLocation": "artifact"},
    "artifact": {"uri": _URI},
    "logical": {"name": str, "kind": str},
    "suppression": {"kind!": {"inSource", "external"}, "status": SUPPRESSED, "justification": str},
}


def problems(value: Any, shape: Any = "log", at: str = "$") -> list[str]:
    """Everything about `value` that the schema does not take."""
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{at}: no list"]
        return [
            one
            for number, inner in enumerate(value)
            for one in problems(inner, shape[0], f"{at}[{number}]")
        ]
    if isinstance(shape, str):
        return _of_object(value, SHAPES[shape], at)
    if isinstance(shape, set):
        return [] if isinstance(value, str) and value in shape else [f"{at}: {value!r}"]
    if isinstance(shape, re.Pattern):
        return [] if isinstance(value, str) and shape.fullmatch(value) else [f"{at}: {value!r}"]
    return [] if type(value) is shape else [f"{at}: {value!r} is no {shape.__name__}"]


def _of_object(value: Any, shape: dict[str, Any], at: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{at}: no object"]
    known = {name.rstrip("!"): inner for name, inner in shape.items()}
    found = [f"{at}.{name}: unknown" for name in value.keys() - known.keys()]
    found += [
        f"{at}.{name[:-1]}: missing" for name in shape if name[-1] == "!" and name[:-1] not in value
    ]
    for name in value.keys() & known.keys():
        found += problems(value[name], known[name], f"{at}.{name}")
    return found
