"""Writes assembly, in a C++ file, that loads shared libraries at the first call into one of their functions.

usage: lazy_stubs.py OUTPUT.cc MACHINE LIBRARY.so… -- ARCHIVE.a…

Each function of a LIBRARY that the ARCHIVEs call becomes a jump through a slot. A slot leads at first
to code that asks trivet_lazy_resolve() (src/cli/lazy_libraries.cc) for the function's address, and to
the function itself from then on. Arguments stay in their registers, so that one stub fits every
function, with variable arguments too.
"""

import pathlib
import re
import subprocess
import sys

# Saves what may hold arguments (System V ABI), resolves, restores, and goes on in the function.
COMMON = {
    "x86_64": """
trivet_lazy_common:
    pushq %rdi; pushq %rsi; pushq %rdx; pushq %rcx; pushq %r8; pushq %r9; pushq %rax
    subq $136, %rsp
    movups %xmm0, 0(%rsp); movups %xmm1, 16(%rsp); movups %xmm2, 32(%rsp); movups %xmm3, 48(%rsp)
    movups %xmm4, 64(%rsp); movups %xmm5, 80(%rsp); movups %xmm6, 96(%rsp); movups %xmm7, 112(%rsp)
    movq 192(%rsp), %rdi
    call trivet_lazy_resolve
    movq %rax, %r11
    movups 0(%rsp), %xmm0; movups 16(%rsp), %xmm1; movups 32(%rsp), %xmm2; movups 48(%rsp), %xmm3
    movups 64(%rsp), %xmm4; movups 80(%rsp), %xmm5; movups 96(%rsp), %xmm6; movups 112(%rsp), %xmm7
    addq $136, %rsp
    popq %rax; popq %r9; popq %r8; popq %rcx; popq %rdx; popq %rsi; popq %rdi
    addq $8, %rsp
    jmp *%r11
""",
    "aarch64": """
trivet_lazy_common:
    stp x29, x30, [sp, #-224]!
    stp x0, x1, [sp, #16]
    stp x2, x3, [sp, #32]
    stp x4, x5, [sp, #48]
    stp x6, x7, [sp, #64]
    str x8, [sp, #80]
    stp q0, q1, [sp, #96]
    stp q2, q3, [sp, #128]
    stp q4, q5, [sp, #160]
    stp q6, q7, [sp, #192]
    mov x0, x17
    bl trivet_lazy_resolve
    mov x16, x0
    ldp x0, x1, [sp, #16]
    ldp x2, x3, [sp, #32]
    ldp x4, x5, [sp, #48]
    ldp x6, x7, [sp, #64]
    ldr x8, [sp, #80]
    ldp q0, q1, [sp, #96]
    ldp q2, q3, [sp, #128]
    ldp q4, q5, [sp, #160]
    ldp q6, q7, [sp, #192]
    ldp x29, x30, [sp], #224
    br x16
""",
}
STUB = {
    "x86_64": "    jmp *trivet_lazy_slots+{offset}(%rip)\n",
    "aarch64": "    adrp x16, trivet_lazy_slots+{offset}\n"
               "    ldr x16, [x16, :lo12:trivet_lazy_slots+{offset}]\n    br x16\n",
}
FIRST = {
    "x86_64": "    pushq ${index}\n    jmp trivet_lazy_common\n",
    "aarch64": "    mov x17, #{index}\n    b trivet_lazy_common\n",
}


def output_of(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def called_by(archives: list[str]) -> set[str]:
    return {line.split()[-1] for archive in archives
            for line in output_of("nm", "--undefined-only", archive).splitlines()
            if re.match(r"\s+U ", line)}


def functions_of(library: str) -> set[str]:
    rows = (line.split() for line in output_of("nm", "-D", "--defined-only", library).splitlines())
    return {row[2].split("@")[0] for row in rows if len(row) == 3 and row[1] in "TWi"}


def soname_of(library: str) -> str:
    return re.search(r"SONAME.*\[(.+)\]", output_of("readelf", "-d", library))[1]


def string_table(label: str, texts: list[str]) -> str:
    pointers = "".join(f"    .quad .L{label}_{i}\n" for i in range(len(texts)))
    strings = "".join(f'.L{label}_{i}: .string "{text}"\n' for i, text in enumerate(texts))
    return (f"    .section .rodata\n{strings}    .section .data.rel.ro,\"aw\"\n    .balign 8\n"
            f"    .globl {label}\n{label}:\n{pointers}")


def assembly(machine: str, libraries: list[str], archives: list[str]) -> str:
    called = called_by(archives)
    functions: list[tuple[str, int]] = []  # name, index of its library
    for index, library in enumerate(libraries):
        mine = sorted(called & functions_of(library))
        functions += [(name, index) for name in mine]
        called -= set(mine)
    text = "    .text\n" + COMMON[machine]
    slots = ""
    for index, (name, _) in enumerate(functions):
        text += f"    .globl {name}\n    .type {name}, %function\n{name}:\n"
        text += STUB[machine].format(offset=8 * index)
        text += f".Lfirst_{index}:\n" + FIRST[machine].format(index=index)
        slots += f"    .quad .Lfirst_{index}\n"
    numbers = "".join(f"    .long {library}\n" for _, library in functions)
    return (text + "    .data\n    .balign 8\n    .globl trivet_lazy_slots\ntrivet_lazy_slots:\n" +
            slots + string_table("trivet_lazy_names", [name for name, _ in functions]) +
            string_table("trivet_lazy_sonames", [soname_of(path) for path in libraries]) +
            "    .section .rodata\n    .balign 4\n    .globl trivet_lazy_library_of\n"
            "trivet_lazy_library_of:\n" + numbers + "    .text\n")


def main() -> None:
    output, machine, *rest = sys.argv[1:]
    split = rest.index("--")
    text = assembly(machine, rest[:split], rest[split + 1:])
    pathlib.Path(output).write_text(f'__asm__(R"(\n{text})");\n')


main()
