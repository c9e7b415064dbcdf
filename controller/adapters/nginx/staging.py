"""A private copy of the configuration in which only the upstream file is another one.

Nginx resolves relative paths against the directory of the file named by `-c`. The copy is therefore
a directory of links to everything beside nginx.conf, with a rewritten nginx.conf in it, and with
rewritten copies of the files through which nginx.conf reaches the upstream file.
"""

import fnmatch
import glob
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from controller.adapters.nginx.files import unsafe

# Strings and comments are matched first, so that an `include` within them is none.
_STATEMENT = re.compile(
    r"""
    (?<![^\s;{}])                                        # a word begins here
    (?: "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | \#[^\n]*
      | (?P<word>include|pid) \s+ (?P<value>"[^"\n]*"|'[^'\n]*'|[^\s;{}"']+) \s* ; )
    """,
    re.VERBOSE,
)
# Nginx reads bytes: a configuration need not be UTF-8, and its copy must be the same to the byte.
_ANY_BYTE = "surrogateescape"
_PID = "nginx.pid"
SEVERE = ("[emerg]", "[alert]", "[crit]")


@dataclass(frozen=True, slots=True)
class Staged:
    """A copy of the configuration that `nginx -t` can be asked about.

    Attributes:
        conf: Its top-level file.
        originals: What each path within the copy stands for.
    """

    conf: Path
    originals: Mapping[str, str] = field(default_factory=dict)

    def in_words_of_the_user(self, message: str) -> str:
        """The message with the paths that the user knows."""
        # Longest first: the directory of the copy is a prefix of the files in it.
        for path in sorted(self.originals, key=len, reverse=True):
            message = message.replace(path, self.originals[path])
        return message


def build(mirror: Path, conf: Path, live: Path, candidate: Path) -> Staged:
    """Make the copy.

    Args:
        mirror: Directory to make; what an interrupted earlier call left there is removed.
        conf: The top-level nginx.conf.
        live: The upstream file that it includes, directly or not; it may not exist yet.
        candidate: What stands in its place in the copy.

    Raises:
        ActuationError: UNSAFE: nginx.conf does not include the upstream file, or a file cannot be
            read or written.
    """
    try:
        if not conf.is_file():
            raise unsafe(
                f"cannot stage {conf}: no such file; config_file names the nginx.conf that Nginx"
                " was started with"
            )
        shutil.rmtree(mirror, ignore_errors=True)
        mirror.mkdir(mode=0o700)
        for entry in conf.parent.iterdir():
            if entry.name not in {conf.name, mirror.name, _PID}:
                (mirror / entry.name).symlink_to(entry)
        copy = _Copy(mirror, conf.parent, live, candidate)
        staged = copy.of(conf, mirror / conf.name, ())
    except OSError as error:
        raise unsafe(f"cannot stage {conf}: {error}") from error
    if staged is None:
        raise unsafe(
            f"{conf} does not include {live}: add the line `include {live};` to its http block"
        )
    originals = copy.originals | {str(candidate): str(live), str(mirror): str(conf.parent)}
    return Staged(staged, originals)


def refusal(staged: Staged, *, binary: str, prefix: Path | None, timeout_s: float) -> str | None:
    """What `nginx -t` has against the copy; None when it accepts it.

    Raises:
        ActuationError: UNSAFE, there is no answer: no such program, or it hung and was killed.
    """
    argv = [binary, "-t", "-c", str(staged.conf)]
    if prefix is not None:
        argv += ["-p", str(prefix)]
    try:
        done = subprocess.run(  # noqa: S603 - the program and the paths come from the settings
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise unsafe(
            f"`{binary} -t` did not end within {timeout_s:g} s and was killed; a host name in the"
            " configuration that no name server answers for makes it wait"
        ) from error
    except OSError as error:
        raise unsafe(
            f"cannot run {binary}: {error.strerror}; binary is the path of the Nginx program"
        ) from error
    if done.returncode == 0:
        return None
    output = done.stdout.decode(errors=_ANY_BYTE)
    said = staged.in_words_of_the_user(worst_line(output) or f"exit code {done.returncode}")
    return said.encode(errors=_ANY_BYTE).decode(errors="replace")


def read_any(path: Path) -> str:
    """The content of a configuration file of whatever encoding."""
    return path.read_bytes().decode(errors=_ANY_BYTE)


def worst_line(log: str) -> str:
    """The line of a log of Nginx that says most about a failure; empty when there is none."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for level in SEVERE:
        for line in lines:
            if level in line:
                return line
    return lines[-1] if lines else ""


class _Copy:
    """Rewrites the files that lead to the upstream file."""

    def __init__(self, mirror: Path, root: Path, live: Path, candidate: Path) -> None:
        self._mirror = mirror
        self._root = root
        self._live = live
        self._candidate = candidate
        self.originals: dict[str, str] = {}

    def of(self, path: Path, target: Path, including: tuple[Path, ...]) -> Path | None:
        """Write a copy of the file that reaches the candidate; None when it does not reach it."""
        if path in including:
            return None
        reached = False

        def replaced(found: re.Match[str]) -> str:
            nonlocal reached
            if found["word"] == "pid":
                # A test creates the pid file; it must not create or need that of the live Nginx.
                return f"pid {self._mirror}/{_PID};"
            if found["word"] is None:
                return found[0]
            includes = self._include(found["value"].strip("\"'"), (*including, path))
            reached = reached or includes is not None
            return found[0] if includes is None else includes

        text = _STATEMENT.sub(replaced, read_any(path))
        if not reached:
            return None
        target.write_bytes(text.encode(errors=_ANY_BYTE))
        self.originals[str(target)] = str(path)
        return target

    def _include(self, pattern: str, including: tuple[Path, ...]) -> str | None:
        """The include directives in place of one; None when it does not lead to the live file."""
        reached = False
        lines = []
        for path in self._matches(str(self._root / pattern)):
            copy: Path | None
            if self._is_live(path):
                copy = self._candidate
            else:
                target = self._mirror / f".{len(self.originals)}-{path.name}"
                copy = self.of(path, target, including) if path.is_file() else None
            reached = reached or copy is not None
            lines.append(f'include "{copy or path}";')
        return " ".join(lines) if reached else None

    def _matches(self, pattern: str) -> list[Path]:
        if not glob.has_magic(pattern):
            return [Path(pattern)]
        found = set(glob.glob(pattern))  # noqa: PTH207 - the pattern is that of Nginx, hidden files and all
        if fnmatch.fnmatchcase(str(self._live), pattern):
            found.add(str(self._live))
        return [Path(path) for path in sorted(found)]

    def _is_live(self, path: Path) -> bool:
        return path.resolve() == self._live.resolve()
