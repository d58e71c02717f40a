"""Staged rollouts: which node runs which revision of an application.

Pure: ``asked`` (spec.rollout), ``told`` (status.rollout), ``nodes`` (states -> the nodes of a rollout) and ``decide``.
``acting`` stores revisions and assigns them; ``numbers`` counts phases. Nothing is remembered that another operator
would need: it is in the applications' statuses, the states' annotations and the stored revisions.
"""
