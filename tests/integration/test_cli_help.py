"""Help, usage errors, documents and completions: nothing here needs a container or root."""

import json
import pathlib
import re
import shutil
import subprocess

import pytest

from harness import ROOT


def commands(trivet):
    """Every command that the overview lists, as a list of words."""
    rows = re.findall(r"^  ([a-z]+(?: [a-z]+)?)  +[A-Z]", trivet.out("--help"), re.MULTILINE)
    return [row.split() for row in rows]


def test_the_overview_is_what_no_arguments_print(empty_trivet):
    text = empty_trivet.out("--help")
    assert text == empty_trivet.out() == empty_trivet.out("help")
    assert ["run"] in commands(empty_trivet) and ["image", "inspect"] in commands(empty_trivet)


def test_every_command_explains_itself(empty_trivet):
    found = commands(empty_trivet)
    assert len(found) > 35
    for words in found:
        text = empty_trivet.out(*words, "--help")
        assert f"trivet {' '.join(words)} [OPTIONS]" in text
        assert "Examples:" in text
        assert text == empty_trivet.out("help", *words)
        assert max(map(len, text.splitlines())) <= 100


def test_groups_explain_themselves(empty_trivet):
    assert "inspect" in empty_trivet.out("image")
    assert empty_trivet.out("volume", "--help") == empty_trivet.out("help", "volume")


def test_short_help_unless_it_is_the_host_name(empty_trivet):
    assert "Usage:" in empty_trivet.out("ps", "-h")
    assert "-h needs a value" in empty_trivet.fails("run", "-h", code=125).stderr.replace(
        "--hostname", "-h")


@pytest.mark.parametrize("words, code", [
    (["frobnicate"], 2), (["image", "frobnicate"], 2), (["--frobnicate"], 2),
    (["ps", "--frobnicate"], 2), (["rm"], 2), (["rename", "one"], 2), (["ps", "surplus"], 2),
    (["stop", "-t"], 2), (["stop", "-t", "soon", "x"], 2), (["kill", "-s", "NOPE", "x"], 2),
    (["logs", "--tail", "some", "x"], 2), (["logs", "--since", "someday", "x"], 2),
    (["ps", "--filter", "colour=red"], 2), (["--error-format", "xml", "ps"], 2),
    (["run", "--frobnicate", "x"], 125), (["create", "--memory", "lots", "x"], 125),
    (["exec", "x"], 125), (["start"], 125), (["help", "frobnicate"], 2),
])
def test_a_wrong_command_line_says_why(empty_trivet, words, code):
    result = empty_trivet.run(*words, check=False)
    lines = result.stderr.splitlines()
    if words == ["rm"]:
        code = 1  # --all may stand for the names, so this is found out later
    assert result.returncode == code, result.stderr
    assert lines[0].startswith("trivet: ")
    assert len(lines) == 1 or lines[1].startswith("hint: ")
    assert result.stdout == ""


@pytest.mark.parametrize("typed, meant", [
    (["rnu"], "trivet run"), (["imges"], "trivet images"), (["image", "lst"], "trivet image ls"),
    (["run", "--memry", "1m", "x"], "--memory"), (["ps", "--al"], "--all"),
    (["load"], "trivet image import"), (["container", "ls"], "trivet ps"),
])
def test_a_typo_gets_a_suggestion(empty_trivet, typed, meant):
    assert meant in empty_trivet.fails(*typed).stderr.splitlines()[1]


def test_errors_as_json(empty_trivet):
    for arguments, env in ((["--error-format", "json", "stop", "absent"], {}),
                           (["stop", "absent"], {"TRIVET_ERROR_FORMAT": "json"}),
                           (["stop", "--error-format=json", "absent"], {})):
        result = empty_trivet.fails(*arguments, env=env, code=1)
        error = json.loads(result.stderr)
        assert error["code"] == "not-found"
        assert "absent" in error["message"]
        assert set(error) >= {"code", "message", "hint", "notes"}
    usage = empty_trivet.fails("ps", "--nope", env={"TRIVET_ERROR_FORMAT": "json"}, code=2)
    assert json.loads(usage.stderr)["code"] == "invalid-argument"


def test_version(empty_trivet):
    assert re.fullmatch(r"trivet \d+\.\d+\.\d+", empty_trivet.out("version"))
    assert empty_trivet.out("--version") == empty_trivet.out("version")
    version = json.loads(empty_trivet.out("version", "--format", "json"))["Version"]
    assert empty_trivet.out("version", "--format", "{{.Version}}") == version


def test_output_that_can_not_be_written_is_an_error(empty_trivet):
    with open("/dev/full", "w") as full:
        done = subprocess.run(empty_trivet.command("--help"), stdout=full, stderr=subprocess.PIPE,
                              env=empty_trivet.env, check=False)
    assert done.returncode == 1
    assert b"No space left" in done.stderr


# ---------------------------------------------------------------- documents

def test_the_man_pages_in_the_tree_are_those_of_the_program(empty_trivet, tmp_path):
    empty_trivet.run("__man", tmp_path)
    made = {page.name: page.read_text() for page in tmp_path.iterdir()}
    kept = {page.name: page.read_text() for page in (ROOT / "docs/man").glob("trivet*.1")
            if "Made by `trivet __man`" in page.read_text()}
    assert made == kept, "run: cmake --build BUILD --target manual"


def test_the_reference_in_the_tree_is_that_of_the_program(empty_trivet):
    kept = (ROOT / "docs/commands.md").read_text()
    assert empty_trivet.run("__markdown").stdout == kept, "cmake --build BUILD --target manual"


def test_man_reads_every_page_without_a_warning(empty_trivet, tmp_path):
    if not shutil.which("man") or not shutil.which("groff"):
        pytest.skip("man-db or groff is not installed")
    empty_trivet.run("__man", tmp_path)
    for page in tmp_path.iterdir():
        done = subprocess.run(["man", "--warnings", "-l", page], capture_output=True, text=True,
                              env={"MANWIDTH": "100", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
                              check=True)
        assert done.stderr == "", page.name
        assert "NAME" in done.stdout


# ---------------------------------------------------------------- completions

def completion(trivet, shell, folder: pathlib.Path) -> pathlib.Path:
    script = folder / f"trivet.{shell}"
    script.write_text(trivet.run("completion", shell).stdout)
    return script


def test_an_unknown_shell(empty_trivet):
    assert "bash, zsh and fish" in empty_trivet.fails("completion", "tcsh").stderr


def bash_offers(trivet, script, *words: str) -> list[str]:
    """What bash offers for the last of the words."""
    quoted = " ".join(f"'{word}'" for word in ("trivet", *words))
    code = (f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _trivet; "
            "printf '%s\\n' \"${COMPREPLY[@]}\"")
    path = pathlib.Path(trivet.program).parent
    done = subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True, check=True,
                          env={**trivet.env, "PATH": f"{path}:/usr/bin:/bin"})
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def test_bash_completes_commands_options_and_values(empty_trivet, tmp_path):
    script = completion(empty_trivet, "bash", tmp_path)
    subprocess.run(["bash", "-n", script], check=True)

    def offers(*words):
        return bash_offers(empty_trivet, script, *words)

    assert offers("unp") == ["unpause"]
    assert "run" in offers("") and "image" in offers("")
    assert "inspect" in offers("image", "")
    assert offers("run", "--memory-r") == ["--memory-reservation"]
    assert "none" in offers("run", "--network", "")
    assert offers("run", "--network", "no") == ["none"]
    assert offers("--data-dir", "/tmp", "vers") == ["version"]
    assert offers("completion", "z") == ["zsh"]
    assert offers("run", "--name", "") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_accept_their_script(empty_trivet, tmp_path, shell):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    script = completion(empty_trivet, shell, tmp_path)
    subprocess.run([shell, "-n", script], check=True)


def test_fish_completes_commands_and_options(empty_trivet, tmp_path):
    if not shutil.which("fish"):
        pytest.skip("fish is not installed")
    script = completion(empty_trivet, "fish", tmp_path)

    def offers(line):
        done = subprocess.run(["fish", "-N", "-c", f"source {script}; complete -C '{line}'"],
                              capture_output=True, text=True, check=True, env=empty_trivet.env)
        return [row.split("\t")[0] for row in done.stdout.splitlines()]

    assert offers("trivet unp") == ["unpause"]
    assert "inspect" in offers("trivet image ")
    assert "--memory" in offers("trivet run --mem")
    assert offers("trivet run --network no") == ["none"]


def test_zsh_completes_commands_and_options(empty_trivet, tmp_path):
    if not shutil.which("zsh"):
        pytest.skip("zsh is not installed")
    script = completion(empty_trivet, "zsh", tmp_path)
    # zsh's zpty runs a shell on a terminal; what it offers is read from the screen.
    driver = tmp_path / "driver.zsh"
    driver.write_text(f"""
zmodload zsh/zpty
zpty shell zsh -f -i
say() {{ zpty -w shell "$1" }}
say 'PROMPT= ; autoload -Uz compinit; compinit -u -D; source {script}; LISTMAX=10000; echo ready'
say 'bindkey "^I" complete-word; zstyle ":completion:*" list-prompt ""; stty cols 200 rows 200'
zpty -r shell out '*ready*'
zpty -n -w shell $'trivet run --memory-r\\t'
sleep 1
zpty -r shell out '*--memory-reservation*' && echo found
zpty -d shell
""")
    done = subprocess.run(["zsh", "-f", driver], capture_output=True, text=True, timeout=60,
                          env=empty_trivet.env, check=False)
    assert "found" in done.stdout, done.stdout + done.stderr
