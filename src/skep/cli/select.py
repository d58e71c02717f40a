"""Which programs a list command wants: what the Manager filters, and what is left to filter here. Pure.

The grammars (hooks, selectors, metadata) are imported only when an option needs them: listing everything is what
scripts do most, and a table of hooks takes as long to import as the answer takes to come.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skep import model

if TYPE_CHECKING:
    from skep.cli import selector


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """The choice that the options of ``program list`` describe."""

    hooks: tuple[model.HookName, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    application: str | None = None
    requirements: tuple[selector.Requirement, ...] = ()
    everything: bool = False
    attached: bool | None = None

    @classmethod
    def parse(
        cls,
        *,
        types: Iterable[str] = (),
        application: str | None = None,
        metadata: Iterable[str] = (),
        selector: str = "",
        everything: bool = False,
        attached: bool | None = None,
    ) -> Programs:
        """Options as given -> choice. Raises ``InvalidRequest``."""
        return cls(
            hooks=_hooks(types),
            metadata=_metadata(metadata),
            application=application,
            requirements=_requirements(selector),
            everything=everything,
            attached=attached,
        )

    @property
    def labelled(self) -> bool:
        """Whether labels are asked for, which programs of others do not have."""
        return bool(self.metadata or self.requirements or self.application)

    def filter(self) -> model.ProgramFilter:
        """What is left to the Manager."""
        return model.ProgramFilter(managed_only=not self.everything or self.labelled, metadata=self.metadata)

    def keep(
        self, programs: Iterable[model.Program | model.ForeignProgram]
    ) -> tuple[model.Program | model.ForeignProgram, ...]:
        """Those that fit."""
        return tuple(program for program in programs if self._fits(program))

    def _fits(self, program: model.Program | model.ForeignProgram) -> bool:
        if isinstance(program, model.ForeignProgram):
            # The kernel knows only its own, coarser types: tcx is any schedcls, uprobe any kprobe.
            types = _kernel_types(self.hooks)
            return (
                self.everything
                and not self.labelled
                and self.attached is None
                and (not types or program.kernel.type in types)
            )
        if self.hooks and not any(_same(program.record.hook, name) for name in self.hooks):
            return False
        if self.attached is not None and bool(program.links) is not self.attached:
            return False
        if self.application is not None and not _belongs(program, self.application):
            return False
        return all(requirement.matches(program.record.metadata) for requirement in self.requirements)


def _same(hook: model.HookName, asked: model.HookName) -> bool:
    """Whether a program of type ``hook`` is meant by ``asked``, which may be another name of it ("raw_tp")."""
    from skep import hooks

    return hook == asked or hooks.by_name(asked).name == hook


def _kernel_types(names: tuple[model.HookName, ...]) -> set[int]:
    if not names:
        return set()
    from skep import hooks

    return {hooks.by_name(name).prog_type for name in names}


def _belongs(program: model.Program, application: str) -> bool:
    from skep.cli.document import program as document

    return document.application(program) == application


def _requirements(text: str) -> tuple[selector.Requirement, ...]:
    if not text.strip():
        return ()
    from skep.cli import selector

    return selector.parse(text)


def _hooks(texts: Iterable[str]) -> tuple[model.HookName, ...]:
    words = tuple(texts)
    if not words:
        return ()
    from skep.cli import value

    return value.hook_names(words)


def _metadata(texts: Iterable[str]) -> dict[str, str]:
    words = tuple(texts)
    if not words:
        return {}
    from skep.cli import value

    return value.metadata(words)
