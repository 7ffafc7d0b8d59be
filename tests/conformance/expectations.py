"""What programs of runtime-tools do other than pass, and why.

A program that is not named here has to pass. One that is named has to fail exactly as it says: where
it fails less, its entry is out of date, and the test says so. "All" are trivet, crun 1.8.1 and 1.28,
runc 1.1.5 and 1.3.6, driven with these same tests. Of the 58 programs they pass 29 (trivet), 28, 30,
22 and 21; what only crun 1.28 passes are `start` and `linux_process_apparmor_profile`.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Known:
    reason: str
    points: tuple[str, ...] = ()    # texts of the points that are "not ok"
    defects: tuple[str, ...] = ()   # of the report, as runtime_tools.judge() words them
    complaint: str = ""             # the error of a program that prints no point: a part of it
    by_luck: bool = False           # the failures that are named may also not happen


# Programs that signal a container's shell without waiting for its trap: on a busy host it may not be
# set yet. They are tried again.
RACING = ("kill", "killsig")

NO_POINT = ("no assertion",)
ENDS_AT_ONCE = ("exit code 1", "no assertion")

NO_LEAF_WEIGHT = "all: this kernel's blkio controller has no leaf weights"
NO_HUGETLB = "all: no hugetlb controller on version 1 of the cgroups here"
NO_NET_CLS = "all: this kernel has no net_cls and net_prio controllers"
NO_KMEM = "all: this kernel has no limit for kernel memory any more (memory.kmem.limit_in_bytes)"
PIDS_POINTER = "all: the program compares the addresses of two limits; test_cgroups.py has the clause"
CLOSED_BUNDLE = ("all: the program's bundle is in a directory of mode 0700 of the host's root, which "
                 "the root of a user namespace can't enter; test_namespaces.py has the clause")
SAYS_NOTHING = "all: the program prints a verdict only when it complains; test_hooks.py has the clause"

EXPECTED = {
    "delete": Known(
        "all: delete removes a container that is only created, on which engines rely after a start "
        "that failed; test_operations.py has the clause for a running one",
        points=("attempting to `delete` a container that is not `stopped` MUST generate an error",
                "attempting to `delete` a container that is not `stopped` MUST have no effect on the "
                "container")),
    "delete_resources": Known(PIDS_POINTER, points=("pids limit is set correctly",)),
    "hooks": Known(
        "all: the program expects half of the lines that its own hooks write; test_hooks.py has the "
        "clause", defects=NO_POINT, complaint="Hooks MUST be called in the listed order"),
    "linux_cgroups_blkio": Known(NO_LEAF_WEIGHT, defects=ENDS_AT_ONCE),
    "linux_cgroups_hugetlb": Known(NO_HUGETLB, defects=ENDS_AT_ONCE),
    "linux_cgroups_memory": Known(NO_KMEM, points=("memory kernel is set correctly",)),
    "linux_cgroups_network": Known(NO_NET_CLS, defects=ENDS_AT_ONCE),
    "linux_cgroups_pids": Known(PIDS_POINTER, points=("pids limit is set correctly",)),
    "linux_cgroups_relative_blkio": Known(NO_LEAF_WEIGHT, points=("exit status 1",)),
    "linux_cgroups_relative_hugetlb": Known(NO_HUGETLB, points=("exit status 1",)),
    "linux_cgroups_relative_memory": Known(NO_KMEM, points=("memory kernel is set correctly",)),
    "linux_cgroups_relative_network": Known(NO_NET_CLS, points=("exit status 1",)),
    "linux_cgroups_relative_pids": Known(PIDS_POINTER, points=("pids limit is set correctly",)),
    "linux_ns_nopath": Known(CLOSED_BUNDLE, points=("cannot run validation tests: exit status 1",)),
    "linux_process_apparmor_profile": Known(
        "all but crun 1.28: there is no AppArmor on this kernel, and a profile that can't be set is an "
        "error; crun 1.28 runs the program without it", defects=ENDS_AT_ONCE),
    "linux_uid_mappings": Known(CLOSED_BUNDLE, defects=ENDS_AT_ONCE),
    "misc_props": Known(
        "all: the program runs \"/runtimetest\" in a bundle into which it did not copy it; "
        "test_operations.py has the clause on annotations",
        points=("implementations that are reading/processing this configuration file MUST NOT "
                "generate an error if they encounter an unknown annotation key",)),
    "pidfile": Known(
        "all: the program kills a container that has most often ended by itself; test_operations.py "
        "has the clause", points=("create with '--pid-file' option works",), by_luck=True),
    "poststart": Known(
        SAYS_NOTHING + "; and it complains where the program was executed before the hook, as it has "
        "to be, but was slower to write", defects=NO_POINT,
        complaint="MUST be called after the user-specified process is executed", by_luck=True),
    "poststart_fail": Known(
        "all: since version 1.3 of the specification the failure of a poststart hook stops the "
        "container; test_hooks.py has the clause",
        defects=NO_POINT, complaint="if any poststart hook fails, the runtime MUST log a warning"),
    "poststop": Known(SAYS_NOTHING, defects=NO_POINT),
    "poststop_fail": Known(SAYS_NOTHING, defects=NO_POINT),
    "prestart": Known(
        "all: since version 1.0.0 of the specification prestart hooks run in create; test_hooks.py "
        "has the clause",
        defects=NO_POINT, complaint="Pre-start hooks MUST be called after the `start` operation"),
    "prestart_fail": Known(SAYS_NOTHING, defects=NO_POINT),
    "process_capabilities": Known(
        "all: CAP_SYS_RESOURCE can't be given where the tests themselves don't have it; "
        "test_process.py has the clause",
        points=tuple(f"expected {kind} capability CAP_SYS_RESOURCE set"
                     for kind in ("bounding", "effective", "inheritable", "permitted", "ambient"))),
    "process_capabilities_fail": Known(
        "all: since version 1.0.2 of the specification a capability that can't be granted is a "
        "warning; test_process.py has the clause", defects=("exit code 1",)),
    "process_rlimits": Known(
        "all: the program's Go raises its own soft limit for files before it looks; test_process.py "
        "has the clause", points=("has expected soft RLIMIT_NOFILE",)),
    "process_rlimits_fail": Known(
        "all: the program prints a verdict only when it complains; test_process.py has the clause",
        defects=NO_POINT),
    "start": Known(
        "all but crun 1.28: the program wants the start of a container without a process to succeed, "
        "the contrary of what it prints and of the specification; test_operations.py has the clause",
        points=("`start` operation MUST generate an error if `process` was not set",)),
}
