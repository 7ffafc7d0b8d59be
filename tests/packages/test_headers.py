"""The public headers: each by itself, all of them documented, all of what they declare exported."""

import re
import subprocess
import xml.etree.ElementTree

import pytest

from installed import BUILD_DIR, ROOT, check, run

HEADERS = sorted((ROOT / "include/trivet").glob("*.h"))


@pytest.mark.parametrize("header", HEADERS, ids=lambda path: path.name)
def test_a_header_needs_no_other_and_warns_of_nothing(header, tmp_path):
    source = tmp_path / "alone.cc"
    # Twice, and not as a system header, where nothing would be said.
    source.write_text(f'#include "trivet/{header.name}"\n' * 2)
    check("g++", "-std=c++23", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only",
          "-iquote", ROOT / "include", "-I", ROOT / "include", source)


def warnings_of(result, header: str) -> list[str]:
    return [line for line in result.stderr.splitlines() if f"/{header}:" in line]


@pytest.mark.doxygen
@pytest.mark.parametrize("header", HEADERS, ids=lambda path: path.name)
def test_every_public_declaration_is_documented(reference, header):
    folder, result = reference
    assert (folder / "html/classtrivet_1_1Engine.html").exists(), result.stderr
    if not (missing := warnings_of(result, header.name)):
        return
    pytest.fail(f"{len(missing)} warnings of the reference:\n" + "\n".join(missing), pytrace=False)


@pytest.mark.doxygen
def test_a_declaration_without_words_is_found(tmp_path):
    """The check above can fail."""
    tree = tmp_path / "tree"
    tree.mkdir()
    check("cp", "-a", "--parents", "include", "scripts/reference", "docs/reference", "CMakeLists.txt",
          tree, cwd=ROOT)
    header = tree / "include/trivet/types.h"
    text = header.read_text()
    assert "// bytes of one log file" in text
    header.write_text(text.replace("// bytes of one log file", ""))
    result = run(tree / "scripts/reference", "--all-warnings", tmp_path / "out")
    assert result.returncode == 1 and "log_max_size" in result.stdout


def declared_functions(folder) -> set[str]:
    """The functions of the headers that are defined in the library."""
    names = set()
    for path in (folder / "xml").glob("*.xml"):
        for member in xml.etree.ElementTree.parse(path).iter("memberdef"):
            arguments = member.findtext("argsstring") or ""
            location = member.find("location").get("file")
            if (member.get("kind") != "function" or member.get("inline") == "yes" or
                    member.get("virt") == "pure-virtual" or member.find("templateparamlist") is not None
                    or location.endswith("extension.h") or
                    re.search(r"=\s*(delete|default|0)\s*$", arguments)):
                continue
            names.add(member.findtext("qualifiedname"))
    return names


@pytest.mark.doxygen
def test_the_shared_library_exports_what_the_headers_declare_and_nothing_else(reference):
    lines = check("nm", "-DC", "--defined-only", BUILD_DIR / "lib/libtrivet.so").splitlines()
    symbols = {line.split(" ", 2)[2] for line in lines}
    exported = {symbol.replace("[abi:cxx11]", "").split("(")[0] for symbol in symbols}
    declared = declared_functions(reference[0])
    assert len(declared) > 50
    assert not {name for name in declared if name not in exported}
    # Inline functions of the headers come along, and so do the parts of classes that are exported.
    outside = {symbol for symbol in symbols if not re.search(r"\btrivet::", symbol)}
    assert not outside
    internal = {symbol for symbol in symbols if re.search(
        r"\btrivet::(runtime|monitor|container|oci|image|pod|payload|net|guest|copy|manifest)::",
        symbol.split("(")[0])}
    assert not internal


def test_the_shared_library_has_no_text_relocation_and_a_version():
    dynamic = subprocess.run(["readelf", "-d", BUILD_DIR / "lib/libtrivet.so"], check=True,
                             capture_output=True, text=True).stdout
    assert "TEXTREL" not in dynamic
    assert "[libtrivet.so.0]" in dynamic and "BIND_NOW" in dynamic
