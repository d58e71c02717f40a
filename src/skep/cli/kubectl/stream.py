"""What several programs print, line by line as it comes, each line with the name of where it is from."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping

from skep.cli import table

AT_ONCE = 16
"""Programs that run at a time."""
_COLOURS = ("36", "33", "32", "35", "34", "31")
"""Of the names, in SGR numbers."""


def follow(commands: Mapping[str, list[str]], wanted: Callable[[str], bool] | None) -> int:
    """Print what commands print until all have ended, so many at once; ``wanted``: only such lines. What they say on
    stderr is always shown. The exit code: 0 if one of them ended well, else that of the last."""
    names = list(commands)
    codes = [
        code
        for first in range(0, len(names), AT_ONCE)
        for code in _some({name: commands[name] for name in names[first : first + AT_ONCE]}, wanted, names)
    ]
    return 0 if not codes or 0 in codes else codes[-1]


def _some(commands: Mapping[str, list[str]], wanted: Callable[[str], bool] | None, names: list[str]) -> list[int]:
    """Their exit codes; ``names``: of all commands, for one width and different colours."""
    lines: queue.Queue[tuple[str, str, bool] | int] = queue.Queue()
    processes = {
        name: subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
        )
        for name, words in commands.items()
    }
    try:
        for name, process in processes.items():
            threading.Thread(target=_read, args=(name, process, lines), daemon=True).start()
        return _print(lines, len(processes), names, wanted)
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait()


def _read(name: str, process: subprocess.Popen[str], lines: queue.Queue[tuple[str, str, bool] | int]) -> None:
    assert process.stdout is not None and process.stderr is not None
    errors = threading.Thread(target=_errors, args=(name, process, lines), daemon=True)
    errors.start()
    for line in process.stdout:
        lines.put((name, line.rstrip("\n"), False))
    errors.join()
    lines.put(process.wait())


def _errors(name: str, process: subprocess.Popen[str], lines: queue.Queue[tuple[str, str, bool] | int]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        lines.put((name, line.rstrip("\n"), True))


def _print(
    lines: queue.Queue[tuple[str, str, bool] | int],
    running: int,
    names: list[str],
    wanted: Callable[[str], bool] | None,
) -> list[int]:
    width = max(map(len, names), default=0)
    coloured = table.coloured()
    codes: list[int] = []
    while len(codes) < running:
        found = lines.get()
        if isinstance(found, int):
            codes.append(found)
            continue
        name, line, is_error = found
        if is_error:
            print(f"skep: note: {name}: {line}", file=sys.stderr, flush=True)
        elif wanted is None or wanted(line):
            prefix = name.ljust(width)
            if coloured:
                prefix = f"\x1b[{_COLOURS[names.index(name) % len(_COLOURS)]}m{prefix}\x1b[0m"
            print(f"{prefix}  {line}", flush=True)
    return codes
