"""The package's names, which are imported when they are first used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from skep import model


def test_every_name_is_there() -> None:
    for name in model.__all__:
        assert getattr(model, name) is not None
    assert isinstance(model.XdpMode.DRV, model.XdpMode)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Prgram"):
        getattr(model, "Prgram")  # noqa: B009  # mypy would rightly refuse model.Prgram


def test_a_value_of_observation_does_not_load_the_operations() -> None:
    program = "import sys; from skep import model; model.XdpMode.DRV; print('skep.model.operation' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"
