// The order in which programs use their functions for the first time.
//
//   first_use REPORT PROGRAM ADDRESSES [PROGRAM ADDRESSES...] -- COMMAND [ARGUMENT...]
//
// ADDRESSES is a file with the addresses of the program's functions in hexadecimal digits, one a
// line and ascending. Runs a command with a breakpoint at each function in all processes that it
// starts. REPORT gets a line "N ADDRESS" when a function of the N-th program (from 0) is called for
// the first time by anybody.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kMostPrograms = 16, kMostProcesses = 256, kMostFunctions = 1 << 17 };

struct Function {
  uint64_t address;
  uint8_t byte;  // what is there in the program
  int seen;
};

static struct Program {
  dev_t device;
  ino_t inode;
  int moves;  // it is position-independent
  struct Function* functions;
  size_t count;
} programs[kMostPrograms];
static int program_count;

static struct Process {
  pid_t pid;
  int program;  // -1: none of ours
  uint64_t base;
} processes[kMostProcesses];
static int process_count;

static void need(int condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "first_use: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void add_program(const char* path, const char* addresses) {
  struct stat status;
  Elf64_Ehdr header;
  need(program_count < kMostPrograms && stat(path, &status) == 0, path);
  FILE* file = fopen(path, "r");
  need(file != NULL && fread(&header, sizeof header, 1, file) == 1, path);
  fclose(file);
  struct Program* program = &programs[program_count++];
  program->device = status.st_dev;
  program->inode = status.st_ino;
  program->moves = header.e_type == ET_DYN;
  program->functions = calloc(kMostFunctions, sizeof(struct Function));
  file = fopen(addresses, "r");
  need(program->functions != NULL && file != NULL, addresses);
  unsigned long long address = 0;
  while (fscanf(file, "%llx", &address) == 1) {
    need(program->count < kMostFunctions, "too many functions");
    program->functions[program->count++].address = address;
  }
  fclose(file);
}

static struct Process* find_process(pid_t pid) {
  for (int i = 0; i < process_count; ++i) {
    if (processes[i].pid == pid) return &processes[i];
  }
  return NULL;
}

static struct Process* add_process(pid_t pid) {
  need(process_count < kMostProcesses, "too many processes");
  processes[process_count] = (struct Process){.pid = pid, .program = -1};
  return &processes[process_count++];
}

static int open_memory(pid_t pid) {
  char name[64];
  snprintf(name, sizeof name, "/proc/%d/mem", pid);
  const int memory = open(name, O_RDWR | O_CLOEXEC);
  need(memory >= 0, name);
  return memory;
}

static uint64_t find_base(pid_t pid, ino_t program) {
  char name[64];
  snprintf(name, sizeof name, "/proc/%d/maps", pid);
  FILE* maps = fopen(name, "r");
  need(maps != NULL, name);
  char line[4096];
  uint64_t base = 0;
  while (base == 0 && fgets(line, sizeof line, maps) != NULL) {
    unsigned long long begin = 0;
    unsigned long long inode = 0;
    const int got = sscanf(line, "%llx-%*x %*s %*x %*s %llu", &begin, &inode);
    if (got == 2 && inode == program) base = begin;
  }
  fclose(maps);
  return base;
}

static void set_breakpoints(struct Process* process) {
  static const uint8_t kBreakpoint = 0xcc;
  struct Program* program = &programs[process->program];
  const int memory = open_memory(process->pid);
  for (size_t i = 0; i < program->count; ++i) {
    struct Function* function = &program->functions[i];
    if (function->seen) continue;
    const off_t place = (off_t)(process->base + function->address);
    need(pread(memory, &function->byte, 1, place) == 1, "read a function");
    need(pwrite(memory, &kBreakpoint, 1, place) == 1, "set a breakpoint");
  }
  close(memory);
}

static void note_exec(struct Process* process) {
  char name[64];
  struct stat status;
  process->program = -1;
  process->base = 0;
  snprintf(name, sizeof name, "/proc/%d/exe", process->pid);
  if (stat(name, &status) != 0) return;
  for (int i = 0; i < program_count; ++i) {
    if (programs[i].device != status.st_dev || programs[i].inode != status.st_ino) continue;
    process->program = i;
    if (programs[i].moves) process->base = find_base(process->pid, programs[i].inode);
    return set_breakpoints(process);
  }
}

static int compare(const void* left, const void* right) {
  const uint64_t a = ((const struct Function*)left)->address;
  const uint64_t b = ((const struct Function*)right)->address;
  return a < b ? -1 : a > b;
}

// Whether the process has met a breakpoint; it goes on as if there were none.
static int note_call(struct Process* process, FILE* report) {
  struct user_regs_struct registers;
  if (process->program < 0 || ptrace(PTRACE_GETREGS, process->pid, 0, &registers) != 0) return 0;
  struct Program* program = &programs[process->program];
  const struct Function key = {.address = registers.rip - 1 - process->base};
  struct Function* function =
      bsearch(&key, program->functions, program->count, sizeof key, compare);
  if (function == NULL) return 0;
  const int memory = open_memory(process->pid);
  need(pwrite(memory, &function->byte, 1, (off_t)(registers.rip - 1)) == 1, "clear a breakpoint");
  close(memory);
  --registers.rip;
  need(ptrace(PTRACE_SETREGS, process->pid, 0, &registers) == 0, "ptrace");
  if (!function->seen) {
    function->seen = 1;
    fprintf(report, "%d %llx\n", process->program, (unsigned long long)function->address);
  }
  return 1;
}

static void note_birth(const struct Process* parent) {
  unsigned long born = 0;
  need(ptrace(PTRACE_GETEVENTMSG, parent->pid, 0, &born) == 0, "ptrace");
  struct Process* child = find_process((pid_t)born);
  const int waits = child != NULL;
  if (!waits) child = add_process((pid_t)born);
  child->program = parent->program;
  child->base = parent->base;
  if (waits) ptrace(PTRACE_CONT, child->pid, 0, 0);
}

static void handle_stop(pid_t pid, int status, FILE* report) {
  struct Process* process = find_process(pid);
  if (process == NULL) {  // its parent will tell of it
    (void)add_process(pid);
    return;
  }
  const int event = status >> 16;
  int signal = WSTOPSIG(status);
  if (event == PTRACE_EVENT_EXEC) {
    note_exec(process);
    signal = 0;
  } else if (event != 0) {
    note_birth(process);
    signal = 0;
  } else if (signal == SIGSTOP || (signal == SIGTRAP && note_call(process, report))) {
    signal = 0;
  }
  ptrace(PTRACE_CONT, pid, 0, signal);
}

int main(int argc, char** argv) {
  int first = 2;
  for (; first + 1 < argc && strcmp(argv[first], "--") != 0; first += 2) {
    add_program(argv[first], argv[first + 1]);
  }
  if (first + 1 >= argc) {
    fprintf(stderr, "usage: first_use REPORT PROGRAM ADDRESSES... -- COMMAND [ARGUMENT...]\n");
    return 2;
  }
  FILE* report = fopen(argv[1], "w");
  need(report != NULL, argv[1]);
  const pid_t child = fork();
  need(child >= 0, "fork");
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    execvp(argv[first + 1], argv + first + 1);
    _exit(127);
  }
  int status = 0;
  int result = 1;
  need(waitpid(child, &status, 0) == child, "waitpid");
  const long options = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
                       PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
  need(ptrace(PTRACE_SETOPTIONS, child, 0, options) == 0, "ptrace");
  (void)add_process(child);
  ptrace(PTRACE_CONT, child, 0, 0);
  for (;;) {
    const pid_t pid = waitpid(-1, &status, __WALL);
    if (pid < 0) break;
    if (!WIFSTOPPED(status)) {
      if (pid == child) result = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
      continue;
    }
    handle_stop(pid, status, report);
  }
  fclose(report);
  return result;
}
