"""Applications on a plain host: the files that hold them, and what their selectors find there."""
