"""Checks the Markdown pages: links lead somewhere, commands exist, one sentence per line.

What stands in fenced blocks is checked by kind, in tests/unit/docs.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

FENCE = re.compile(r"^\s*(```|~~~)\s*(\S*)")
# `text` is for output and drawings, which nobody checks.
KINDS = frozenset(
    {
        *("console", "diff", "dockerfile", "env", "http", "ini", "json", "logrotate", "mermaid"),
        *("nginx", "promql", "python", "sh", "text", "toml", "yaml"),
    }
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+\s+(.*?)\s*$")
CODE = re.compile(r"`[^`]*`")
MAKE = re.compile(r"(?:^|`|\$ )make ([a-z][a-z-]*)")
# A full stop, then another sentence. "e.g. Nginx" and "1. First" end no sentence.
SECOND_SENTENCE = re.compile(r"(?<!\be\.g)(?<!\bi\.e)(?<!\bvs)(?<!\d)[.!?][)\"*_]* +[\"(*_]*[A-Z]")


def without_fences(text: str) -> Iterator[tuple[int, str]]:
    """The numbered lines that are not in a fenced block."""
    fenced = False
    for number, line in enumerate(text.splitlines(), start=1):
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            yield number, line


def kinds(text: str) -> Iterator[tuple[int, str]]:
    """The numbered first lines of fenced blocks, with their kinds."""
    fenced = False
    for number, line in enumerate(text.splitlines(), start=1):
        fence = FENCE.match(line)
        fenced = fenced != bool(fence)
        if fence and fenced:
            yield number, fence[2]


def anchors(text: str) -> set[str]:
    """The anchors of the headings of a page, as GitHub makes them."""
    headings = (HEADING.match(line) for _, line in without_fences(text))
    titles = [match[1].replace("`", "").lower() for match in headings if match]
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def targets(makefile: str) -> set[str]:
    """The targets of the Makefile."""
    return set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))


def link_fault(page: Path, link: str) -> str | None:
    """What is wrong with a link, if it is one inside the project and leads nowhere."""
    if re.match(r"[a-z]+:", link):
        return None
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    if not target.exists():
        return f"link to {link}: no such file"
    if anchor and target.suffix == ".md" and anchor not in anchors(target.read_text()):
        return f"link to {link}: no such heading"
    return None


def faults(page: Path, known_targets: set[str]) -> Iterator[str]:
    """What is wrong with a page, each with its line."""
    text = page.read_text()
    for number, line in enumerate(text.splitlines(), start=1):
        for target in MAKE.findall(line):
            if target not in known_targets:
                yield f"{number}: make {target}: no such target"
    for number, kind in kinds(text):
        if kind not in KINDS:
            yield f"{number}: a block of kind {kind!r}, expected one of {', '.join(sorted(KINDS))}"
    for number, line in without_fences(text):
        prose = CODE.sub("code", line)
        for link in LINK.findall(prose):
            fault = link_fault(page, link)
            if fault:
                yield f"{number}: {fault}"
        if not prose.lstrip().startswith("|") and SECOND_SENTENCE.search(prose):
            yield f"{number}: more than one sentence on a line"


def tracked(root: Path, *patterns: str) -> list[Path]:
    """The files that are, or are about to be, under version control."""
    # A clone that another user made, as in a container, is read all the same.
    git = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(  # noqa: S603 - fixed but for the patterns of our own
        [*git, "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = (root / name for name in listed.split("\0") if name)
    return sorted(path for path in paths if path.is_file())


def main() -> int:
    """Print all faults of all pages; the exit code says whether there were any."""
    known = targets((ROOT / "Makefile").read_text())
    checked = tracked(ROOT, "*.md")
    found = [
        f"{page.relative_to(ROOT)}:{fault}" for page in checked for fault in faults(page, known)
    ]
    report = "\n".join([*found, f"docs: {len(checked)} pages, {len(found)} faults"])
    sys.stdout.write(report + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
