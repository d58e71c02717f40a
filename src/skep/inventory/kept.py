"""Objects that the store keeps: one of them in the place of bytes that nobody sends."""

from __future__ import annotations

from dataclasses import replace

from skep import errors, model, store


def filled(records: store.Store, op: model.ReplaceProgram, digest: model.Digest) -> model.ReplaceProgram:
    """The operation with the object of that digest. InvalidRequest if it has one already, NotFound."""
    if op.object:
        raise errors.InvalidRequest(
            "the request carries an object and names another", why=f"it names {digest}", do="leave one of them out"
        )
    found = records.object(digest)
    if found is None:
        raise errors.NotFound(
            f"skep has no object {digest}",
            why="objects are kept as long as a program out of them is loaded",
            do="send the object's bytes",
        )
    return replace(op, object=found)
