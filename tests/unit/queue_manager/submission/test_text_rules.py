"""What texts, working folders and names of configurations must look like."""

import pytest

from queue_manager.submission.text_rules import (
    broken_by_config_name,
    broken_by_text,
    broken_by_workdir,
)

INVISIBLE = "must not have control, bidirectional or invisible characters"
NOT_BELOW = "must be /data/ann or a folder below it"
ANYWHERE = "must be a folder at or below /data, outside /data/datasets"
NOT_A_CONFIG = (
    "must be the relative path of a .yaml or .yml file below the config folder; "
    "GET /configs lists them"
)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", None),
        ("größer 中 { } }}", None),
        ("a\u00a0b", None),  # not printable for Python, but visible
        ("x" * 4096, None),
        ("x" * 4097, "must not be longer than 4096 bytes"),
        ("é" * 2048, None),
        ("é" * 2049, "must not be longer than 4096 bytes"),
        ("a\nb", INVISIBLE),
        ("a\u202eb", INVISIBLE),
        ("a\ud800", INVISIBLE),
        ("a\u2028b", INVISIBLE),
        ("a\u2029b", INVISIBLE),
        ("\u00a0{{x", "must not have {{ in it"),
        ("a {{x}}", "must not have {{ in it"),
    ],
)
def test_a_text_deceives_no_reader_and_is_not_evaluated(text: str, rule: str | None) -> None:
    assert broken_by_text(text) == rule


def test_a_limit_of_its_own_is_counted_in_bytes() -> None:
    assert broken_by_text("éé", 4) is None
    assert broken_by_text("ééa", 4) == "must not be longer than 4 bytes"


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("a.yaml", None),
        ("b/a.yml", None),
        ("/a.yaml", NOT_A_CONFIG),
        ("a.json", NOT_A_CONFIG),
        ("a\n.yaml", INVISIBLE),
        ("b/../a.yaml", "must not have .. in it"),
        ("b//a.yaml", "must be normalised: b/a.yaml"),
        (f"{'x' * 250}.yaml", None),
        (f"{'x' * 251}.yaml", "must not have a part longer than 255 bytes"),
        (f"b/{'é' * 126}.yaml", "must not have a part longer than 255 bytes"),
    ],
)
def test_a_config_is_the_normalised_relative_path_of_a_yaml_file(
    name: str, rule: str | None
) -> None:
    assert broken_by_config_name(name) == rule


@pytest.mark.parametrize(
    ("workdir", "rule"),
    [
        ("/data/ann", None),
        ("/data/ann/a..b", None),
        ("/data/ann/", "must be normalised: /data/ann"),
        ("//data/ann", "must be normalised: /data/ann"),
        ("/data/ann/../bob", "must not have .. in it"),
        ("/data/ann\n", INVISIBLE),
        ("/data/anna", NOT_BELOW),
        ("/data", NOT_BELOW),
        ("data/ann", NOT_BELOW),
    ],
)
def test_a_workdir_is_the_users_folder_or_below(workdir: str, rule: str | None) -> None:
    assert broken_by_workdir(workdir, "ann", anywhere=False) == rule


@pytest.mark.parametrize(
    ("workdir", "rule"),
    [
        ("/data", None),
        ("/data/bob", None),
        ("/data/datasets2", None),
        ("/data/datasets", ANYWHERE),
        ("/data/datasets/a", ANYWHERE),
        ("/database", ANYWHERE),
        ("/etc", ANYWHERE),
    ],
)
def test_anywhere_means_below_data_but_not_in_the_data_sets(workdir: str, rule: str | None) -> None:
    assert broken_by_workdir(workdir, "ann", anywhere=True) == rule
