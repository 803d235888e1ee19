"""Prints the slowest files and `N passed, N failed` of the reports of `./pants test --report`.

Usage: test_totals.py FOLDER. Exits with 1 if a test failed or none ran.
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

SLOWEST = 10


def main(folder: Path) -> int:
    """Add up the reports; the files are pytest's own, so they are trusted."""
    passed = failed = skipped = 0
    seconds: dict[str, float] = {}
    for report in sorted(folder.glob("**/*.xml")):
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):  # noqa: S314
            wrong = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            left_out = int(suite.get("skipped", 0))
            failed += wrong
            skipped += left_out
            passed += int(suite.get("tests", 0)) - wrong - left_out
            seconds[report.stem] = seconds.get(report.stem, 0) + float(suite.get("time", 0))
    for name in sorted(seconds, key=seconds.__getitem__, reverse=True)[:SLOWEST]:
        print(f"{seconds[name]:6.0f} s  {name}")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
