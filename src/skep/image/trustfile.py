"""The trust policy's file: YAML, from text with line numbers to ``policy.images``. See docs/trust.md.

Errors name the line: who edits such a file must find the slip before the next load does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

import yaml

from skep import errors
from skep.model.capability import Capability
from skep.policy.images import ImagePolicy, Mode, Root, Rule
from skep.trust import wanted
from skep.trust.claims import COSIGN_SIGN
from skep.trust.wanted import Identity, KeyFile, LogUse, Pattern, Wanted

MOST_BYTES: Final = 1 << 20
Read = Callable[[str], bytes]
"""Reads a file that the policy names, by its absolute path; ``OSError``."""
_E = TypeVar("_E", Mode, LogUse)


def load(path: str, read: Read) -> ImagePolicy:
    """The policy in a file; the empty one, which warns, when there is no such file. Raises InvalidRequest."""
    try:
        text = read(path)
    except FileNotFoundError:
        return ImagePolicy()
    except OSError as error:
        raise errors.InvalidRequest(
            f"the trust policy {path} cannot be read", why=str(error.strerror), do="see its owner and mode"
        ) from error
    return parse(text, path, read)


def parse(text: bytes, path: str, read: Read) -> ImagePolicy:
    """The policy in a text; files that it names are found beside it. Raises InvalidRequest, with the line."""
    if len(text) > MOST_BYTES:
        raise _Wrong(path, 1, f"it has more than {MOST_BYTES} bytes")
    try:
        top = yaml.compose(text.decode(), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _Wrong(path, line, str(error.problem)) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise _Wrong(path, 1, f"it is no YAML: {error}") from error
    if top is None:
        return ImagePolicy(path=path)
    return _Reader(path, read).policy(top)


class _Wrong(errors.InvalidRequest):
    """A slip in the file."""

    def __init__(self, path: str, line: int, why: str) -> None:
        super().__init__(
            f"the trust policy cannot be used: {path}, line {line}",
            why=why,
            do="see docs/trust.md for what may stand there",
        )


class _Reader:
    """One file being read. Nodes of the YAML know their lines."""

    def __init__(self, path: str, read: Read) -> None:
        self._path = path
        self._read = read

    def policy(self, top: yaml.Node) -> ImagePolicy:
        fields = self._mapping(top, {"default", "trusted-root", "rules"})
        rules = tuple(map(self._rule, self._sequence(fields["rules"]))) if "rules" in fields else ()
        names: set[str] = set()
        for rule in rules:
            if rule.name in names:
                raise _Wrong(self._path, rule.line, f"two rules are called {rule.name!r}")
            names.add(rule.name)
        root = None
        if "trusted-root" in fields:
            file = self._file(fields["trusted-root"])
            root = Root(path=file.name, data=file.pem)
        for rule in rules:
            if rule.wanted.identities and root is None:
                raise _Wrong(
                    self._path, rule.line, f"rule {rule.name!r} names identities, and there is no trusted-root"
                )
        return ImagePolicy(
            rules=rules,
            otherwise=self._choice(fields, "default", Mode) or Mode.WARN,
            root=root,
            path=self._path,
        )

    def _rule(self, node: yaml.Node) -> Rule:
        fields = self._mapping(
            node,
            {"name", "images", "mode", "keys", "identities", "log", "predicates", "deny"},
            {"name", "images", "mode"},
        )
        mode = self._choice(fields, "mode", Mode)
        assert mode is not None
        images = tuple(map(self._text, self._sequence(fields["images"])))
        keys = tuple(map(self._key, self._sequence(fields["keys"]))) if "keys" in fields else ()
        identities = tuple(map(self._identity, self._sequence(fields["identities"]))) if "identities" in fields else ()
        line = _line(node)
        if mode is Mode.ALLOW and (keys or identities):
            raise _Wrong(self._path, line, "a rule that allows without a signature names no signers")
        if mode is not Mode.ALLOW and not (keys or identities):
            raise _Wrong(self._path, line, f"a rule with mode {mode} names keys, identities, or both")
        predicates = (
            frozenset(map(self._text, self._sequence(fields["predicates"])))
            if "predicates" in fields
            else frozenset((COSIGN_SIGN,))
        )
        denied = frozenset(map(self._capability, self._sequence(fields["deny"]))) if "deny" in fields else frozenset()
        return Rule(
            name=self._text(fields["name"]),
            images=images,
            mode=mode,
            wanted=Wanted(
                keys=keys, identities=identities, log=self._choice(fields, "log", LogUse), predicates=predicates
            ),
            denied=denied,
            line=line,
        )

    def _capability(self, node: yaml.Node) -> Capability:
        text = self._text(node)
        names = [each.value for each in Capability]
        if text not in names:
            near = ", ".join(errors.near_misses(text, names)) or ", ".join(names)
            raise _Wrong(self._path, _line(node), f"{text!r} is no capability; did you mean {near}?")
        return Capability(text)

    def _identity(self, node: yaml.Node) -> Identity:
        fields = self._mapping(node, {"subject", "subject-regexp", "issuer", "issuer-regexp"})
        return Identity(subject=self._pattern(node, fields, "subject"), issuer=self._pattern(node, fields, "issuer"))

    def _pattern(self, node: yaml.Node, fields: Mapping[str, yaml.Node], name: str) -> Pattern:
        given = [each for each in (name, f"{name}-regexp") if each in fields]
        if len(given) != 1:
            raise _Wrong(self._path, _line(node), f"an identity has either {name} or {name}-regexp")
        text = self._text(fields[given[0]])
        if given[0] == name:
            return Pattern(text=text)
        try:
            return wanted.regular(text)
        except errors.InvalidRequest as error:
            raise _Wrong(self._path, _line(fields[given[0]]), f"{error.what}: {error.why}") from error

    def _key(self, node: yaml.Node) -> KeyFile:
        text = self._text(node)
        file = (
            KeyFile(name=f"line {_line(node)}", pem=text.encode())
            if text.startswith("-----BEGIN")
            else self._file(node)
        )
        if b"-----BEGIN" not in file.pem or b"PRIVATE KEY" in file.pem:
            raise _Wrong(self._path, _line(node), f"{file.name} is no public key in PEM")
        return file

    def _file(self, node: yaml.Node) -> KeyFile:
        path = os.path.join(os.path.dirname(self._path), self._text(node))
        try:
            return KeyFile(name=path, pem=self._read(path))
        except OSError as error:
            raise _Wrong(self._path, _line(node), f"{path} cannot be read: {error.strerror}") from error

    def _choice(self, fields: Mapping[str, yaml.Node], name: str, kind: type[_E]) -> _E | None:
        if name not in fields:
            return None
        text = self._text(fields[name])
        for each in kind:
            if each.value == text:
                return each
        raise _Wrong(self._path, _line(fields[name]), f"{name} is one of {', '.join(kind)}, not {text!r}")

    def _mapping(self, node: yaml.Node, known: set[str], needed: set[str] | None = None) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            raise _Wrong(self._path, _line(node), f"names with values are wanted here: {', '.join(sorted(known))}")
        fields: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = self._text(key)
            if name not in known:
                near = ", ".join(errors.near_misses(name, known))
                raise _Wrong(
                    self._path, _line(key), f"{name!r} is not known" + (f"; did you mean {near}?" if near else "")
                )
            if name in fields:
                raise _Wrong(self._path, _line(key), f"{name} stands there twice")
            fields[name] = value
        for name in sorted(needed or ()):
            if name not in fields:
                raise _Wrong(self._path, _line(node), f"{name} is missing")
        return fields

    def _sequence(self, node: yaml.Node) -> Iterator[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            raise _Wrong(self._path, _line(node), "a list with at least one member is wanted here")
        yield from node.value

    def _text(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
            raise _Wrong(self._path, _line(node), "a text is wanted here")
        return str(node.value).strip()


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
