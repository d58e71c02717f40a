"""The configuration: what wins, what is refused and how it is said."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from skep import config, errors, model

NOWHERE = "/nonexistent/skep.toml"


def load(flags=None, environment=None, *, file=None, default=NOWHERE, bpfman=NOWHERE) -> config.Loaded:
    return config.load(flags or {}, environment or {}, file=file, default_file=default, bpfman_file=bpfman)


def test_every_field_has_one_row_and_every_row_one_field() -> None:
    fields = {field.name for field in dataclasses.fields(config.Settings)}
    names = [row.name for row in config.SETTINGS]
    assert sorted(names) == sorted(fields - {"interfaces"})
    assert len({row.key for row in config.SETTINGS}) == len(names)
    flags = [row.flag for row in config.SETTINGS if row.flag]
    assert len(set(flags)) == len(flags)


def test_no_file_no_flag_no_variable_gives_the_defaults() -> None:
    loaded = load()
    assert loaded == config.Loaded(settings=config.Settings(), file="", notes=())


def test_flag_wins_over_variable_over_file(tmp_path: Path) -> None:
    file = tmp_path / "skep.toml"
    file.write_text('runtime_dir = "/file"\nstate_dir = "/file-state"\nlock_timeout = "5s"\n')
    loaded = load(
        {"runtime_dir": "/flag"}, {"SKEP_RUNTIME_DIR": "/variable", "SKEP_STATE_DIR": "/st"}, default=str(file)
    )
    assert loaded.file == str(file)
    assert loaded.settings.runtime_dir == "/flag"
    assert loaded.settings.state_dir == "/st"
    assert loaded.settings.lock_timeout == 5.0


@pytest.mark.parametrize(
    "variable, value, name, expected",
    [
        ("BPFMAN_RUNTIME_DIR", "/run/bpfman", "runtime_dir", "/run/bpfman"),
        ("BPFMAN_SOCKET_PATH", "/s", "socket_path", "/s"),
        ("SKEP_SOCKET", "/s", "socket_path", "/s"),
        ("BPFMAN_LOCK_TIMEOUT", "500ms", "lock_timeout", 0.5),
        ("SKEP_LOG", "debug", "log_level", "debug"),
        ("BPFMAN_LOG", "warn", "log_level", "warning"),
        ("RUST_LOG", "trace", "log_level", "debug"),
    ],
)
def test_variables_of_skep_and_bpfman(variable: str, value: str, name: str, expected: object) -> None:
    assert getattr(load(environment={variable: value}).settings, name) == expected


def test_skeps_variable_wins_over_bpfmans() -> None:
    environment = {"BPFMAN_RUNTIME_DIR": "/b", "SKEP_RUNTIME_DIR": "/s"}
    assert load(environment=environment).settings.runtime_dir == "/s"


def test_log_specification_names_parts() -> None:
    settings = load({"log_level": "warn,manager=debug,rpc=trace"}).settings
    assert settings.log_level == "warning"
    assert settings.log_components == {"manager": "debug", "rpc": "debug"}


def test_a_rust_log_for_other_programs_is_noted_and_not_fatal() -> None:
    loaded = load(environment={"RUST_LOG": "hyper[span]=yes"})
    assert loaded.settings.log_level == "info"
    assert "RUST_LOG" in loaded.notes[0]
    with pytest.raises(errors.InvalidRequest, match="SKEP_LOG"):
        load(environment={"SKEP_LOG": "loud"})


def test_bpfmans_file_is_read_when_ours_is_absent(tmp_path: Path) -> None:
    file = tmp_path / "bpfman.toml"
    file.write_text(
        "[interfaces.eth0]\nxdp_mode = 'hw'\n[interfaces.eth1]\nxdp_mode = 'drv'\n"
        "[signing]\nallow_unsigned = true\nverify_enabled = true\n"
        "[[signing.trusted_identities]]\ncertificate_identity = 'a'\n"
        "[database]\nmax_retries = 10\nmillisec_delay = 1000\n"
        "[logging]\nlevel = 'debug'\nformat = 'json'\ncomponents = { manager = 'error' }\n"
    )
    loaded = load(bpfman=str(file))
    assert loaded.settings.interfaces == {"eth0": model.XdpMode.HW, "eth1": model.XdpMode.DRV}
    assert (loaded.settings.log_level, loaded.settings.log_format) == ("debug", "json")
    assert loaded.settings.log_components == {"manager": "error"}
    assert [note.split(": ")[1].split(" ")[0] for note in loaded.notes] == [
        "signing.allow_unsigned",
        "signing.verify_enabled",
        "signing.trusted_identities",
        "database.max_retries",
        "database.millisec_delay",
    ]


def test_ours_is_read_alone_when_both_exist(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "skep.toml", tmp_path / "bpfman.toml"
    ours.write_text("")
    theirs.write_text("[logging]\nlevel = 'debug'\n")
    assert load(default=str(ours), bpfman=str(theirs)).settings.log_level == "info"


def test_a_named_file_that_is_missing_is_an_error() -> None:
    with pytest.raises(errors.NotFound, match=NOWHERE):
        load(file=NOWHERE)
    with pytest.raises(errors.NotFound):
        load(environment={"BPFMAN_CONFIG": NOWHERE})


@pytest.mark.parametrize(
    "text, near",
    [
        ("runtimedir = '/x'", "runtime_dir"),
        ("[logging]\nlevle = 'info'", "logging.level"),
        ("[loging]\nlevel = 'info'", "logging.level"),
        ("[interfaces.eth0]\nxdpmode = 'skb'", "interfaces.eth0.xdp_mode"),
        ("[xdp]\nfalback = true", "xdp.fallback"),
    ],
)
def test_an_unknown_key_names_the_nearest(text: str, near: str) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        config.parse(text)
    assert "unknown key" in caught.value.what
    assert near in caught.value.do


@pytest.mark.parametrize(
    "text, words",
    [
        ("runtime_dir = 'relative'", "absolute path"),
        ("runtime_dir = 1", "absolute path"),
        ("lock_timeout = 'soon'", "duration"),
        ("lock_timeout = -1", "duration"),
        ("lock_timeout = true", "duration"),
        ("socket_mode = '999'", "octal"),
        ("socket_mode = 432", "permission bits"),
        ("[logging]\nlevel = 'loud'", "error, warning, info, debug"),
        ("[logging]\nformat = 'xml'", "text or json"),
        ("logging = 3", "no such setting"),
        ("interfaces = 3", "tables"),
        ("[interfaces]\neth0 = 3", "table"),
        ("[interfaces.eth0]\nxdp_mode = 'fast'", "drv, skb, hw"),
        ("[xdp]\nfallback = 'perhaps'", "true or false"),
        ("a = [", "not TOML"),
    ],
)
def test_a_bad_value_says_what_is_wanted(text: str, words: str) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        config.parse(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "value, expected",
    [("30s", 30.0), ("500ms", 0.5), ("1m30s", 90.0), ("2h", 7200.0), ("0", 0.0), (1.5, 1.5), (7, 7.0)],
)
def test_durations(value: object, expected: float) -> None:
    assert config.seconds(value) == expected


@pytest.mark.parametrize("value", ["", "s", "1x", "1s2", "..s", "-1s", "nan", "inf", None, [], True, "9999999999h"])
def test_bad_durations(value: object) -> None:
    with pytest.raises(ValueError, match="wants a duration"):
        config.seconds(value)


def test_the_fallback_of_the_driver_is_the_generic_path() -> None:
    drv, skb = model.XdpMode.DRV, model.XdpMode.SKB
    settings = config.Settings(interfaces={"eth1": skb})
    assert settings.xdp_modes("eth0") == (drv, skb)
    assert settings.xdp_modes("eth1") == (skb,)
    assert config.Settings(xdp_fallback=False).xdp_modes("eth0") == (drv,)


def test_a_directory_or_a_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidRequest, match="directory"):
        load(file=str(tmp_path))
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(errors.InvalidRequest, match="UTF-8"):
        load(file=str(binary))
    huge = tmp_path / "huge"
    huge.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(errors.Exhausted):
        load(file=str(huge))


KEYS = [row.key for row in config.SETTINGS] + list(config.INERT) + ["interfaces.eth0.xdp_mode", "x", "logging"]
VALUES = st.one_of(
    st.integers(), st.booleans(), st.floats(), st.text().map(repr), st.just("[]"), st.just("{}"), st.just("'drv'")
)


@hypothesis.given(
    st.one_of(
        st.text(),
        st.lists(st.tuples(st.sampled_from(KEYS), VALUES), max_size=4).map(
            lambda pairs: "\n".join(f"{key} = {value}" for key, value in pairs)
        ),
    )
)
def test_any_text_gives_settings_or_an_error_of_ours(text: str) -> None:
    try:
        values, notes = config.parse(text)
    except errors.SkepError:
        return
    assert set(values) <= {field.name for field in dataclasses.fields(config.Settings)}
    assert all(isinstance(note, str) for note in notes)


@pytest.mark.parametrize("value", ["1000", "[-1]", "[true]", '["root"]', "[4294967295]"])
def test_who_may_only_read_is_named_by_numbers(value):
    with pytest.raises(errors.InvalidRequest, match="list of numeric ids"):
        config.parse(f"[access]\nread_only_uids = {value}\n")


def test_who_may_only_read_is_a_set():
    values, notes = config.parse("[access]\nread_only_uids = [7, 3, 7]\nread_only_gids = [27]\n")
    assert (values["read_only_uids"], values["read_only_gids"], notes) == ((3, 7), (27,), ())
