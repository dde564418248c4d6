"""`make docs`: write the printed pages, then say everything that is wrong with any page."""

from __future__ import annotations

import sys

from tests.support.docs.examples import example_problems
from tests.support.docs.links import link_problems
from tests.support.docs.pages import ROOT, printed, written

if __name__ == "__main__":
    for path, text in printed().items():
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            print(f"written: {path.relative_to(ROOT)}")
    problems = [*link_problems(written()), *example_problems(written())]
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(1 if problems else 0)
