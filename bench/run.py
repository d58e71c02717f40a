"""Runs every benchmark, one after the other, and writes their figures as one Markdown table with command and machine.

Each benchmark is a process of its own and prints JSON; the documents are kept in ``--json`` for whoever wants more
than the table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench import measure

# In the order of the table. Each runs as `python -m bench.<name>`.
QUESTIONS = ("chain_cost", "tc_cost", "lifecycle", "list", "start", "memory", "attach_growth", "swap_loss")
# Minutes, and most of a machine: run when it is named, and with a table of its own.
ALONE = ("fleet",)
BEGIN, END = "<!-- bench:results -->", "<!-- /bench:results -->"


def main() -> int:
    """Runs what was asked for; 1 when a benchmark failed (a missed target is no failure)."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="examples:\n  python -m bench.run\n  python -m bench.run list start\n"
        "  python -m bench.run --write docs/benchmarks.md\n  python -m bench.run --from build/bench/results.json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "questions",
        nargs="*",
        metavar="QUESTION",
        help=f"any of: {', '.join(QUESTIONS)} (default all), or {' '.join(ALONE)}",
    )
    parser.add_argument("--write", metavar="FILE", help=f"put the table between {BEGIN} and {END} of this file")
    parser.add_argument(
        "--json", metavar="FILE", default=str(measure.BUILD / "results.json"), help="default %(default)s"
    )
    parser.add_argument("--from", dest="known", metavar="FILE", help="run nothing; make the table from this JSON")
    arguments = parser.parse_args()
    unknown = set(arguments.questions) - {*QUESTIONS, *ALONE}
    if unknown:
        parser.error(f"no such question: {', '.join(sorted(unknown))}; there are {', '.join((*QUESTIONS, *ALONE))}")
    if len(arguments.questions) > 1 and set(arguments.questions) & set(ALONE):
        parser.error(f"{', '.join(ALONE)} runs alone: it takes minutes, and the machine")
    failed: list[str] = []
    if arguments.known:
        documents = json.loads(Path(arguments.known).read_text())
    else:
        measure.need_root()
        documents, failed = answers(arguments.questions or list(QUESTIONS))
        Path(arguments.json).parent.mkdir(parents=True, exist_ok=True)
        Path(arguments.json).write_text(json.dumps(documents, indent=2) + "\n")
    text = table(documents)
    if arguments.write:
        put(Path(arguments.write), text, *marks(documents))
    print(text)
    for question in failed:
        measure.progress(f"FAILED: {question}")
    return 1 if failed else 0


def answers(questions: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """The documents of the benchmarks that ran, and the names of those that did not."""
    documents: list[dict[str, Any]] = []
    failed: list[str] = []
    for question in questions:
        measure.progress(f"== {question}")
        words = [sys.executable, "-m", f"bench.{question}"]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False, cwd=measure.REPOSITORY)
        if done.returncode:
            failed.append(question)
            continue
        documents.append(json.loads(done.stdout))
    return documents, failed


def table(documents: list[dict[str, Any]]) -> str:
    """The Markdown of all documents: figures, then the machine that made them."""
    if not documents:
        return "No benchmark ran.\n"
    lines = ["| Question | Measured | Target | Met | Command |", "|---|---|---|---|---|"]
    for document in documents:
        for number, figure in enumerate(document["figures"]):
            unit = "" if figure["unit"] == "ratio" else f" {figure['unit']}"
            target = f"≤ {figure['target']:g}{unit}" if "target" in figure else ""
            met = {True: "yes", False: "**no**", None: ""}[figure.get("met")]
            command = f"`{document['command']}`" if number == 0 else ""
            lines.append(f"| {figure['name']} | {figure['value']:g}{unit} | {target} | {met} | {command} |")
    machine = documents[-1]["machine"]
    lines += ["", f"Measured on {machine['date']}, commit {machine['commit']}, on:", ""]
    lines += [f"- {key.replace('_', ' ')}: {value}" for key, value in machine.items() if key not in ("date", "commit")]
    return "\n".join(lines) + "\n"


def marks(documents: list[dict[str, Any]]) -> tuple[str, str]:
    """Between what the table of these stands."""
    command = documents[0]["command"] if len(documents) == 1 else ""
    name = next((name for name in ALONE if f"bench.{name}" in command.split()), "results")
    return BEGIN.replace("results", name), END.replace("results", name)


def put(path: Path, text: str, opens: str = BEGIN, closes: str = END) -> None:
    """Replaces what stands between the two markers of a document. ``SystemExit`` when they are not there."""
    before, begin, rest = path.read_text().partition(opens)
    _, end, after = rest.partition(closes)
    if not begin or not end:
        raise SystemExit(f"{path} has no {opens} … {closes}")
    path.write_text(f"{before}{opens}\n{text}{closes}{after}")


if __name__ == "__main__":
    sys.exit(main())
