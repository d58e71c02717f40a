"""The documents as their code blocks, and a typed command line as the words it consists of."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.unit.house import source_tree

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What ends a command in a shell line, as shlex with punctuation_chars gives it.
OPERATORS = {"|", "||", "&", "&&", ";", ">", ">>", "<", "2>"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block: where it is, its language and its text."""

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def documents() -> list[Path]:
    """Every document that users read."""
    root = source_tree.ROOT
    return sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md"), *(root / "examples").glob("*.md")])


def blocks(text: str, document: str) -> list[Block]:
    """Every fenced block with a language, in order."""
    return [
        Block(document=document, line=text.count("\n", 0, match.start()) + 1, language=match[1], text=match[2])
        for match in FENCE.finditer(text)
    ]


def all_blocks(language: str) -> list[Block]:
    """The blocks of one language in all documents."""
    return [
        block
        for path in documents()
        for block in blocks(path.read_text(), source_tree.shown(path))
        if block.language == language
    ]


def commands(text: str) -> list[list[str]]:
    """Every command typed in a console block, as words; pipes and lists are taken apart, sudo and NAME=VALUE dropped.

    Raises ValueError for a line that a shell would not parse.
    """
    found: list[list[str]] = []
    lines = iter(text.splitlines())
    for line in lines:
        if not line.startswith("$ "):
            continue
        typed = line[2:]
        while typed.endswith("\\"):
            typed = typed[:-1] + next(lines).removeprefix("> ").strip()
        lexer = shlex.shlex(typed, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        lexer.commenters = "#"
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word in OPERATORS:
                found += [words] if (words := stripped(words)) else []
                words = []
            else:
                words.append(word)
    return found


def stripped(words: list[str]) -> list[str]:
    """A command without what stands before its name."""
    while words and (words[0] == "sudo" or re.fullmatch(r"[A-Z_]+=.*", words[0])):
        words = words[1:]
    return words
