"""Prints `N passed, N failed` over the reports that `./pants test --test-report` leaves.

Usage: test_totals.py FOLDER. Exits with 1 if a test failed or none ran.
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree


def main(folder: Path) -> int:
    """Add up the reports; the files are pytest's own, so they are trusted."""
    passed = failed = skipped = 0
    for report in sorted(folder.glob("**/*.xml")):
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):  # noqa: S314
            wrong = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            left_out = int(suite.get("skipped", 0))
            failed += wrong
            skipped += left_out
            passed += int(suite.get("tests", 0)) - wrong - left_out
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
