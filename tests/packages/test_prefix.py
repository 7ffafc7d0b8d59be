"""A project of somebody else is built from an installed prefix that has been moved, and runs a container."""

import os

import pytest

from installed import BUILD_DIR, ROOT, check, run

pytestmark = pytest.mark.root
EXAMPLE = ROOT / "examples/embed"


def expect_a_run(output: str) -> None:
    assert output.splitlines() == ["container embedded: running", "log: it says so", "exit code 3"]


def test_cmake_finds_the_libraries_and_their_programs(prefix, shell, tmp_path):
    """The archive has no file of its own to look beside, so that the variable says it."""
    build = tmp_path / "build"
    check("cmake", "-S", EXAMPLE, "-B", build, "-DEMBED_STATIC=ON", "-DCMAKE_BUILD_TYPE=Debug",
          env=prefix.environment())
    check("cmake", "--build", build, "--parallel", "2", timeout=300)
    assert "libtrivet.so.0" in check("readelf", "-d", build / "embed")
    assert "libtrivet" not in check("readelf", "-d", build / "embed_static")
    # The program has the library's place by itself, see RUNPATH.
    expect_a_run(shell.run(build / "embed", dict(os.environ)))
    expect_a_run(shell.run(build / "embed_static", {
        **os.environ, "TRIVET_LIBEXEC_DIR": str(prefix.path / "libexec/trivet")}))
    assert shell.is_empty()


def test_pkg_config_does_too(prefix, shell, tmp_path):
    for name in ("Makefile", "embed.cc"):
        (tmp_path / name).write_text((EXAMPLE / name).read_text())
    check("make", "-C", tmp_path, "CXXFLAGS=-O0", "embed", "embed_static", env=prefix.environment(),
          timeout=300)
    expect_a_run(shell.run(tmp_path / "embed", prefix.environment()))
    assert "libtrivet" not in check("readelf", "-d", tmp_path / "embed_static")
    expect_a_run(shell.run(tmp_path / "embed_static", {
        **os.environ, "TRIVET_LIBEXEC_DIR": str(prefix.path / "libexec/trivet")}))
    flags = check("pkg-config", "--static", "--libs", "trivet", env=prefix.environment()).split()
    assert {"-lcurl", "-larchive", "-lseccomp"} <= set(flags)
    assert check("pkg-config", "--modversion", "trivet", env=prefix.environment()).strip() == (
        check(prefix.path / "bin/trivet", "version", "--format", "{{.Version}}").strip())


def test_a_directory_that_lacks_the_programs_is_an_error_that_says_so(prefix, shell, tmp_path):
    result = run(prefix.path / "bin/trivet", "run", "-d", "--network", "none", "--rootfs", shell.rootfs,
                 "--", "/bin/busybox", "true",
                 env={**os.environ, "TRIVET_LIBEXEC_DIR": "/nowhere",
                      "TRIVET_DATA_DIR": str(tmp_path / "data"),
                      "TRIVET_STATE_DIR": str(tmp_path / "state")})
    assert result.returncode == 125 and "trivet-monitor" in result.stdout


def test_the_installed_programs_run_a_container(prefix, shell, tmp_path):
    environment = {**os.environ, "TRIVET_DATA_DIR": str(tmp_path / "data"),
                   "TRIVET_STATE_DIR": str(tmp_path / "state")}
    output = check(prefix.path / "bin/trivet", "run", "--rm", "--network", "none", "--rootfs",
                   shell.rootfs, "--", "/bin/busybox", "echo", "hello", env=environment)
    assert output == "hello\n"


def test_every_program_of_the_build_is_installed(prefix):
    """cmake/TrivetInstall.cmake names them."""
    built = {path.name for path in (BUILD_DIR / "bin").iterdir()
             if not path.name.startswith(("test_", "fuzz_", "example-", "trivet-contract",
                                          "trivet-transport-contract"))}
    installed = {path.name for folder in ("bin", "libexec/trivet")
                 for path in (prefix.path / folder).iterdir()}
    assert built == installed


@pytest.mark.parametrize("name, options", [("config", []), ("project", ["--project"])])
def test_the_schemas_for_editors_are_there(prefix, name, options):
    installed = prefix.path / f"share/trivet/schema/{name}.schema.json"
    assert installed.read_text() == check(prefix.path / "bin/trivet", "config", "schema", *options)


def test_man_pages_and_completions_are_there(prefix):
    share = prefix.path / "share"
    for name in ("man/man1/trivet-run.1.gz", "man/man8/trivet-oci.8.gz",
                 "bash-completion/completions/trivet", "zsh/site-functions/_trivet",
                 "fish/vendor_completions.d/trivet.fish"):
        assert (share / name).stat().st_size > 0
    page = check("man", "--warnings", "-l", share / "man/man8/trivet-oci.8.gz")
    assert "podman" in page and "warning" not in page
    check("bash", "-n", share / "bash-completion/completions/trivet")
