// The kernel's interface without a libc: raw system calls that return -errno.
#pragma once

#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>

namespace trivet::stage {

#if defined(__x86_64__)
inline long raw_syscall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
                        long f = 0) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
inline long raw_syscall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
                        long f = 0) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                   : "memory");
  return x0;
}
#else
#error "the stage knows x86-64 and AArch64 only"
#endif

inline long as_long(const void* pointer) {
  return reinterpret_cast<long>(pointer);
}
inline long as_long(long value) {
  return value;
}
inline long as_long(int value) {
  return value;
}
inline long as_long(unsigned value) {
  return static_cast<long>(value);
}
inline long as_long(unsigned long value) {
  return static_cast<long>(value);
}

// sys(__NR_close, fd): the result, or -errno.
template <typename... Args>
inline long sys(long number, Args... args) {
  return raw_syscall(number, as_long(args)...);
}

}  // namespace trivet::stage
