"""YAML files: interpolation inside the file, numbers as people write them, nothing from outside."""

import resource
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from core.yaml_files import read_yaml, to_plain


@pytest.fixture
def yaml_file(tmp_path):
    """Function that writes a text as a YAML file and returns its path."""

    def write(text):
        path = tmp_path / "run.yaml"
        path.write_text(text)
        return path

    return write


def test_values_of_the_same_file_are_filled_in(yaml_file):
    path = yaml_file(
        "unet: {width: 320, mults: [1, 2, 4]}\n"
        "control: {width: '${unet.width}', mults: '${unet.mults}', name: 'w${unet.width}'}\n"
        "nested: {a: '${.b}', b: '${control.width}'}\n"
    )
    content = read_yaml(path)
    assert content.control.width == 320 and content.nested.a == 320
    plain = to_plain(content)
    assert plain["control"] == {"width": 320, "mults": [1, 2, 4], "name": "w320"}
    assert type(plain) is dict and type(plain["control"]["mults"]) is list


def test_a_part_of_a_file_becomes_plain_with_values_from_outside_it(yaml_file):
    path = yaml_file("width: 8\nmodel: {width: '${width}'}\n")
    assert to_plain(read_yaml(path).model) == {"width": 8}


def test_numbers_that_people_read_otherwise_are_refused(yaml_file):
    for text, value in (("014", 12), ("1_5", 15), ("12:30", 750), ("-07", -7)):
        path = yaml_file(f"split:\n  test: [9, {text}]\n")
        with pytest.raises(ValueError, match=f"run.yaml: line 2: YAML reads {text} as {value}"):
            read_yaml(path)
    plain = read_yaml(yaml_file("a: [0, 10, -3, 0x1F, '014', 08, 0.50]"))
    assert plain.a == [0, 10, -3, 31, "014", "08", 0.5]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18215e-5", 0.18215), ("1e-4", 1e-4), ("1E4", 1e4), ("0.0120", 0.012),
        ("8.5e-04", 0.00085), ("64", 64), ("-1", -1),
    ],
)  # fmt: skip
def test_numbers(yaml_file, text, value):
    found = read_yaml(yaml_file(f"value: {text}")).value
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "resolver"),
    [
        ("key: ${oc.env:HOME}", "oc.env"),
        ("key: ${oc.env:NO_SUCH_VARIABLE,fallback}", "oc.env"),
        ("key: 'a ${ oc.env : HOME } b'", "oc.env"),
        ("key: {inner: [1, '${oc.decode:abc}']}", "oc.decode"),
        ("a: 1\nkey: '${oc.select:a}'", "oc.select"),
        ("name: oc.env\nkey: '${${name}:HOME}'", "_"),
        ("name: HOME\nkey: '${oc.env:${name}}'", "oc.env"),
        ("a: {b: oc.env}\nc: b\nkey: '${${a.${c}}:HOME}'", "_"),
    ],
)
def test_resolvers_are_refused(yaml_file, text, resolver, monkeypatch):
    monkeypatch.setenv("HOME", "/a/secret/place")
    with pytest.raises(ValueError, match="run.yaml: ") as caught:
        read_yaml(yaml_file(text))
    assert "secret" not in str(caught.value)
    assert f"calls the resolver {resolver}, which is off here" in str(caught.value)


def test_a_colon_beside_a_reference_is_no_call(yaml_file):
    content = read_yaml(yaml_file("a: x\nb: 'time: ${a}:30'\nc: [y]\nd: '${c[0]}'"))
    assert content.b == "time: x:30" and content.d == "y"


def test_resolvers_of_other_code_are_not_called(yaml_file):
    called = []
    OmegaConf.register_new_resolver("test_only", called.append)
    try:
        with pytest.raises(ValueError, match="calls the resolver test_only"):
            read_yaml(yaml_file("key: ${test_only:1}"))
    finally:
        OmegaConf.clear_resolver("test_only")
    assert not called


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "not a YAML file"),
        ("a: 1\na: 2", "not a YAML file"),
        ("7", "not a YAML file"),
        ("!!python/object/apply:os.system ['touch executed']", "not a YAML file"),
        ("a: ${nowhere.b}", "nowhere"),
        ("a: ${b}\nb: ${a}", "run.yaml: "),
        ("a: '${b'", "run.yaml: "),
    ],
)
def test_broken_files_give_one_line(yaml_file, text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = yaml_file(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "run.yaml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ValueError, match="run.yaml: not a YAML file"):
        read_yaml(tmp_path / "run.yaml")


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such configuration file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(ValueError, match="no regular file"):
        read_yaml(tmp_path)


def chain(line, levels):
    """Levels of a file, each of which holds the next one twice."""
    return "".join(line.format(i=i, j=i + 1) for i in range(levels))


@pytest.mark.parametrize(
    "text",
    [
        # Lists of lists by aliases, dictionaries of dictionaries, and a list that holds itself.
        "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)),
        "a0: &a0 {x: 1}\n"
        + "".join(f"a{i}: &a{i} {{x: *a{i - 1}, y: *a{i - 1}}}\n" for i in range(1, 60)),
        "a: &a [*a]\n",
        "[" * 5000,
        # The same with interpolations: of texts, of dictionaries, and of names that are built.
        chain("a{i}: '${{a{j}}}${{a{j}}}'\n", 60) + "a60: xxxx\n",
        chain("a{i}: {{x: '${{a{j}}}', y: '${{a{j}}}'}}\n", 60) + "a60: xxxx\n",
        "n: a\n" + chain("a{i}: '${{${{n}}{j}}}${{${{n}}{j}}}'\n", 60) + "a60: xxxx\n",
    ],
)
def test_files_that_grow_without_end_are_one_line(yaml_file, text):
    """Within a memory that their values would not fit into."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, limits[1]))
    try:
        with pytest.raises(ValueError, match="run.yaml: ") as refusal:
            read_yaml(yaml_file(text))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert len(str(refusal.value)) < 300


def test_repeated_parts_and_many_references_to_plain_values_are_fine(yaml_file):
    text = "base: &base {size: 64}\nall: [*base, *base]\n"
    text += "".join(f"key{i}: '${{base.size}}'\n" for i in range(100))
    plain = to_plain(read_yaml(yaml_file(text)))
    assert plain["all"] == [{"size": 64}] * 2 and plain["key99"] == 64
