"""Configurations: which are read, from where, and what is reported about invalid ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobqueue.store.client import Store

Submit = Callable[..., Any]
PUBLISHED = ("ntu60_", "ntu120_", "finegym_", "k400_")
INLINE = {"data": {"ann_file": "/data/datasets/demo.pkl"}}


def error_of(answer: Any) -> str:
    assert answer.status_code == 400, answer.json
    return str(answer.json["error"])


def test_every_shipped_config_passes(submit: Submit, folders: Path) -> None:
    shipped = sorted(path.name for path in (folders / "configs").iterdir())
    assert {name: submit(config=name).status_code for name in shipped} == dict.fromkeys(
        shipped, 202
    )
    assert len(shipped) == 2 + 36


def test_a_later_edit_does_not_change_what_runs(
    submit: Submit, store: Store, folders: Path
) -> None:
    (folders / "configs" / "mine.yaml").write_text("data: {ann_file: /data/a.pkl}\n")
    job_id = submit(config="mine.yaml").json["job_id"]
    (folders / "configs" / "mine.yaml").write_text("data: {ann_file: /data/b.pkl}\n")
    assert store.job(job_id).spec.config_text == "data: {ann_file: /data/a.pkl}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "optimzer: {lr: 0.1}",
            "config: bad.yaml: unknown key optimzer (did you mean optimizer?) (1 more to correct)",
        ),
        (
            "data: {ann_file: a}\noptimizer: {lrr: 1}",
            "bad.yaml: unknown key optimizer.lrr (did you mean lr?)",
        ),
        ("model: {}", "bad.yaml: data is missing (add it)"),
        ("data: {}", "bad.yaml: data.ann_file is missing (add it)"),
        ("base: k400\ndta: {}", "bad.yaml: unknown key dta (did you mean data?)"),
        ("base: k4000", "bad.yaml: base: 'k4000' is not one of ['ntu60_xsub', 'ntu60_xview', "),
        ("base: 3", "bad.yaml: base: 3 is not"),
        (
            "data: {ann_file: a}\noptimizer: {lr: 5e-4}",
            "optimizer.lr: '5e-4' is not of type 'number' (write the number",
        ),
        ("data: {ann_file: a}\ntotal_epochs: 0", "total_epochs: 0 is less than the minimum of 1"),
        ("data: {ann_file: a}\nwork_dir: 3", "work_dir: 3 is not"),
        (
            "data: {ann_file: a}\noptimizer: {lr: .nan}",
            "optimizer.lr must be a finite number, not nan",
        ),
        ("", "bad.yaml: None is not of type 'object'"),
        ("- a", "bad.yaml: ['a'] is not of type 'object'"),
        ("a: 1\na: 2", "bad.yaml: line 2 has the key a a second time"),
        ("data:\n  x: {b: 1, b: 2}", "line 2 has the key b a second time"),
        ("a: &x [1]\nb: *x", "line 2 has an alias (*x); write the value out"),
        (
            "a: !!python/object/apply:os.system [id]",
            "line 1 has a tag (tag:yaml.org,2002:python/object/apply:os.sys",
        ),
        ("a: !foo 1", "line 1 has a tag (!foo)"),
        ("a: [", "is not YAML: line 2"),
        ("a: 1\n---\nb: 2", "is not YAML: line 2"),
        ("a: \x07", "is not YAML"),
        ("a: 2026-13-45", "a value that cannot be read"),
        ("a: " + "9" * 5000, "line 1 has a number of more than 1000 digits"),
        ("seed: 0x" + "f" * 6000, "line 1 has a number of more than 1000 digits"),
        ("1: a", "unknown key 1 ("),
        ("data: {true: a}", "unknown key data.True ("),
        ("a: " + "[" * 70 + "]" * 70, "nested deeper than 64"),
        ("? [a]\n: 1", "is not YAML"),
    ],
)
def test_an_invalid_file_is_reported_with_file_key_and_rule(
    submit: Submit, folders: Path, text: str, says: str
) -> None:
    (folders / "configs" / "bad.yaml").write_text(text)
    assert says in error_of(submit(config="bad.yaml"))


def test_a_yaml_bomb_is_refused_before_it_expands(submit: Submit, folders: Path) -> None:
    lines = ["a0: &a0 [x, x, x]"] + [
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)
    ]
    (folders / "configs" / "bad.yaml").write_text("\n".join(lines))
    assert "alias (*a0)" in error_of(submit(config="bad.yaml"))


def test_only_a_few_of_many_files_are_named(submit: Submit) -> None:
    says = (
        "there is no file qqq.yaml in the config folder "
        "(known are config.yaml, demo.yaml, finegym_b.yaml, "
    )
    error = error_of(submit(config="qqq.yaml"))
    assert says in error
    assert error.endswith(" and 28 more)")


def test_an_inline_config_is_checked_like_a_file(submit: Submit) -> None:
    assert submit(config=INLINE).status_code == 202
    assert "config.yaml: unknown key modle (did you mean model?)" in error_of(
        submit(config={**INLINE, "modle": 1})
    )


def test_a_template_without_a_schema_gets_only_the_yaml_check(submit: Submit) -> None:
    assert submit(workflow="other", config={"any": "thing"}).status_code == 202


def test_only_some_of_many_unknown_keys_are_named(submit: Submit) -> None:
    assert "(9 more to correct)" in error_of(submit(config={f"k{n}": n for n in range(1900)}))


@pytest.mark.parametrize(
    "config",
    [
        {
            "a": "yes",
            "b": "1e-05",
            "c": 1e-05,
            "d": "null",
            "e": "é\u0085\u2028x",
            "f": "a: b #c",
            "g": [],
            "h": None,
        },
        {
            "a": "x\ny\n",
            "b": " lead",
            "c": "- x",
            "d": "",
            "e": {"": True},
            "f": "😀",
            "g": 10**30,
            "h": "2026-11-24",
        },
    ],
)
def test_an_inline_config_comes_out_of_yaml_as_it_went_in(
    submit: Submit, store: Store, config: dict[str, Any]
) -> None:
    answer = submit(workflow="other", config=config)
    assert yaml.safe_load(store.job(answer.json["job_id"]).spec.config_text) == config


def test_256_kib_is_the_most(submit: Submit, folders: Path) -> None:
    (folders / "configs" / "big.yaml").write_text("#" * (256 * 1024 - 1) + "\n")
    assert submit(workflow="other", config="big.yaml").status_code == 202
    (folders / "configs" / "big.yaml").write_text("#" * 256 * 1024 + "\n")
    assert "256 KiB" in error_of(submit(workflow="other", config="big.yaml"))
    assert "256 KiB" in error_of(submit(workflow="other", config={"a": "x" * 270_000}))


def test_a_file_that_is_not_text_is_refused(submit: Submit, folders: Path) -> None:
    (folders / "configs" / "bad.yaml").write_bytes(b"a: \xff")
    assert "not UTF-8" in error_of(submit(config="bad.yaml"))
    (folders / "configs" / "folder.yaml").mkdir()
    assert "no file folder.yaml" in error_of(submit(config="folder.yaml"))


def test_links_must_not_lead_out(submit: Submit, folders: Path) -> None:
    (folders / "secret.yaml").write_text("a: 1\n")
    (folders / "configs" / "out.yaml").symlink_to(folders / "secret.yaml")
    (folders / "configs" / "up").symlink_to(folders)
    (folders / "configs" / "in.yaml").symlink_to("demo.yaml")
    assert "symbolic link out of the config folder" in error_of(submit(config="out.yaml"))
    assert "symbolic link out of the config folder" in error_of(submit(config="up/secret.yaml"))
    assert submit(config="in.yaml").status_code == 202


def test_a_workdir_must_not_lead_out_through_a_link(submit: Submit, folders: Path) -> None:
    (folders / "data" / "user1").mkdir()
    (folders / "data" / "user2").mkdir()
    (folders / "data" / "user1" / "etc").symlink_to("/etc")
    (folders / "data" / "user1" / "other").symlink_to("../user2")
    (folders / "data" / "user1" / "mine").symlink_to(".")
    (folders / "data" / "user3").symlink_to("/tmp")
    assert "leads out" in error_of(submit(workdir="/data/user1/etc/x"))
    assert "leads out" in error_of(submit(workdir="/data/user1/other"))
    assert "leads out" in error_of(submit(user="user3", workdir="/data/user3/x"))
    assert submit(workdir="/data/user1/mine/x").status_code == 202
    assert submit(workdir="/data/user1/not/there/yet").status_code == 202


@pytest.mark.parametrize(
    "schema", ['{"$ref": "http://127.0.0.1:9/schema.json"}', '{"type": 3}', "{"]
)
def test_a_broken_schema_is_a_server_error(submit: Submit, folders: Path, schema: str) -> None:
    """A schema that points to another host is broken too: nothing is downloaded."""
    (folders / "templates" / "other.schema.json").write_text(schema)
    answer = submit(workflow="other", config={"a": 1})
    assert answer.status_code == 503
    assert "The template's schema is broken" in answer.json["error"]


def test_the_catalogue(client: Any, folders: Path) -> None:
    (folders / "configs" / "team").mkdir()
    (folders / "configs" / "team" / "x.yml").touch()
    (folders / "configs" / "..data").mkdir()
    (folders / "configs" / "..data" / "y.yaml").touch()
    (folders / "configs" / "out.yaml").symlink_to("/etc/passwd")
    (folders / "configs" / "notes.txt").touch()
    names = [config["name"] for config in client.get("/configs").json["configs"]]
    assert [name for name in names if not name.startswith(PUBLISHED)] == [
        "config.yaml",
        "demo.yaml",
        "team/x.yml",
    ]
    assert len(names) == 3 + 36
    assert client.get("/workflows").json["workflows"] == [
        {"name": "other", "is_default": False, "checks_config": False},
        {"name": "proto-gcn", "is_default": True, "checks_config": True},
    ]
