/* Extensions of pods as shared libraries: code that a pod's infra container runs, in the pod's
 * network, for as long as the pod lives. docs/extensions.md has worked examples.
 *
 * In C++, derive from trivet::extension::Extension and name the class once:
 *
 *     class Greeter : public trivet::extension::Extension { … };
 *     TRIVET_EXTENSION(Greeter)
 *
 * and build it as a shared library whose name ends in ".so", with C++23 and nothing of trivet but
 * this header. In C and other languages, export the function trivet_extension_v1(), which is all
 * that the engine looks for: the C++ interface is made of it, in the extension's own code, so that
 * an extension works with engines of other compilers and versions.
 *
 * Each extension runs in a process of its own (trivet-extension), as root without capabilities but
 * CAP_NET_BIND_SERVICE, on a read-only root file system with the host's /usr, a /tmp of its own and
 * Docker's default seccomp profile. When it crashes the pod goes on without it, and says so.
 *
 * The functions of an extension are called one after the other, by one thread. It may have threads
 * of its own; what the context offers may be called by any thread, at any time after on_start() has
 * begun. All text is UTF-8, ends with NUL, and belongs to who passes it, for the time of the call.
 */
#ifndef TRIVET_EXTENSION_H
#define TRIVET_EXTENSION_H

/* ---------------------------------------------------------------- the C interface, version 1
 *
 * It only grows: structures get members at their end, and `size` says how far one is filled. */

#include <stddef.h>
#include <stdint.h>

/* NOLINTBEGIN(readability-identifier-naming): names as C has them */

#ifdef __cplusplus
extern "C" {
#endif

/* What happens in the pod. */
enum trivet_extension_event_kind {
  TRIVET_EXTENSION_STARTED = 0,   /* a container runs; again after a restart */
  TRIVET_EXTENSION_EXITED = 1,    /* it has ended, with `exit_code` (128 + N for signal N) */
  TRIVET_EXTENSION_HEALTHY = 2,   /* it has become ready: its probes succeed, or it has none */
  TRIVET_EXTENSION_UNHEALTHY = 3, /* it is no longer ready, though it runs */
  TRIVET_EXTENSION_STOPPING = 4   /* the pod is about to end; `container` is empty */
};

/* One event. */
struct trivet_extension_event {
  uint32_t size;         /* of this structure, as the engine has filled it */
  uint32_t kind;         /* of trivet_extension_event_kind; ignore unknown ones */
  const char* container; /* its name in the pod */
  int32_t exit_code;     /* TRIVET_EXTENSION_EXITED */
};

/* How a container is at this moment. What is not known, as when it does not run, is 0. */
struct trivet_extension_numbers {
  uint32_t size;         /* of this structure, as the engine has filled it */
  uint32_t running;      /* 0 or 1 */
  const char* name;      /* in the pod */
  uint32_t restarts;     /* since the pod was started */
  uint32_t reserved;     /* 0 */
  uint64_t cpu_usage_ns; /* of all its processes, since it was started */
  uint64_t memory_usage; /* bytes */
  uint64_t memory_limit; /* bytes; 0: none */
  uint64_t pids;         /* how many processes and threads */
};

/* What an extension knows and may ask. It stays where it is until destroy() is called.
 *
 * Its functions return 0, or something else after they have written what went wrong to `error`, as
 * much of it as fits in `error_size` bytes with the NUL. */
struct trivet_extension_context {
  uint32_t size;                 /* of this structure, as the engine has filled it */
  uint32_t reserved;             /* 0 */
  void* host;                    /* the engine's own */
  const char* name;              /* of the extension, in the pod's manifest */
  const char* settings;          /* from the manifest, as they were written; may be empty */
  const char* pod_id;            /* 64 hexadecimal digits */
  const char* pod_name;          /* metadata.name */
  const char* hostname;          /* of all containers */
  const char* const* containers; /* their names, in the manifest's order; the last one is NULL */

  /* Asks that `host_port` of the host (0: any that is free) leads to `guest_port` of the pod's
   * network, by `protocol` "tcp" or "udp"; `*given` becomes the host's port. Only while on_start()
   * runs, for the network is made after it. A pod of the host's network has no other ports: there
   * `host_port` has to be 0 or `guest_port`. Fails when the port is taken. */
  int (*request_port)(const struct trivet_extension_context* context, const char* protocol,
                      uint16_t host_port, uint16_t guest_port, uint16_t* given, char* error,
                      size_t error_size);

  /* Calls `each` with `user` for every container. Costs a few reads of cgroup files a container. */
  int (*numbers)(const struct trivet_extension_context* context,
                 void (*each)(void* user, const struct trivet_extension_numbers* numbers),
                 void* user, char* error, size_t error_size);
};

/* An extension. `self` is passed to all of its functions. */
struct trivet_extension {
  uint32_t size;     /* of this structure, as the extension has filled it */
  uint32_t reserved; /* 0 */
  void* self;        /* the extension's own */
  /* What it is, for messages: "metrics". */
  const char* (*name)(void* self);
  /* Before the pod's network and containers exist: the place for sockets that listen, on addresses
   * of the pod (127.0.0.1 and 0.0.0.0 can be bound then; nothing can be reached yet), for threads,
   * and for request_port(). The pod waits for it as long as for a container's start (60 seconds).
   * Returns 0, or something else with the reason in `error`: the pod is not started then. */
  int (*on_start)(void* self, const struct trivet_extension_context* context, char* error,
                  size_t error_size);
  /* Events come in their order. Up to 1024 wait for an extension that takes its time. */
  void (*on_event)(void* self, const struct trivet_extension_event* event,
                   const struct trivet_extension_context* context);
  /* The last call, when the pod ends in an orderly way; the process ends after it. */
  void (*destroy)(void* self);
};

/* The entry point, which the extension has to export. Called once; NULL is a failure. */
const struct trivet_extension* trivet_extension_v1(void);

#ifdef __cplusplus
} /* extern "C" */
/* NOLINTEND(readability-identifier-naming) */

/* ---------------------------------------------------------------- the C++ interface */

#include <array>
#include <cstdio>
#include <exception>
#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trivet::extension {

// A value, or what went wrong in a person's words.
template <typename T = void>
using Outcome = std::expected<T, std::string>;

// What happens in the pod: see trivet_extension_event_kind.
enum class EventKind {
  kStarted,    // a container runs; again after a restart
  kExited,     // it has ended
  kHealthy,    // it has become ready
  kUnhealthy,  // it is no longer ready, though it runs
  kStopping    // the pod is about to end
};

// One event.
struct Event {
  EventKind kind = EventKind::kStarted;  // what has happened
  std::string container;                 // its name in the pod; empty with kStopping
  int exit_code = 0;                     // kExited
};

// How a container is at this moment: see trivet_extension_numbers.
struct Numbers {
  std::string name;           // in the pod
  bool running = false;       // its program runs
  uint32_t restarts = 0;      // since the pod was started
  uint64_t cpu_usage_ns = 0;  // of all its processes, since it was started
  uint64_t memory_usage = 0;  // bytes
  uint64_t memory_limit = 0;  // bytes; 0: none
  uint64_t pids = 0;          // how many processes and threads
};

// What an extension knows and may ask. A handle: copies are as good, for threads too.
class Context {
 public:
  // Of what the engine has passed; TRIVET_EXTENSION does it.
  explicit Context(const trivet_extension_context* context) : context_(context) {}

  // Of the extension, in the pod's manifest.
  [[nodiscard]] std::string_view name() const { return context_->name; }
  // From the manifest, as they were written; may be empty.
  [[nodiscard]] std::string_view settings() const { return context_->settings; }
  // 64 hexadecimal digits.
  [[nodiscard]] std::string_view pod_id() const { return context_->pod_id; }
  // metadata.name.
  [[nodiscard]] std::string_view pod_name() const { return context_->pod_name; }
  // Of all containers.
  [[nodiscard]] std::string_view hostname() const { return context_->hostname; }
  // Their names, in the manifest's order.
  [[nodiscard]] std::vector<std::string> containers() const {
    std::vector<std::string> names;
    for (const char* const* name = context_->containers; *name != nullptr; ++name) {
      names.emplace_back(*name);
    }
    return names;
  }

  // See trivet_extension_context::request_port. Returns the host's port.
  [[nodiscard]] Outcome<uint16_t> request_port(const std::string& protocol, uint16_t host,
                                               uint16_t guest) const {
    std::array<char, 512> error{};
    uint16_t given = 0;
    if (context_->request_port(context_, protocol.c_str(), host, guest, &given, error.data(),
                               error.size()) != 0) {
      return std::unexpected(std::string(error.data()));
    }
    return given;
  }

  // Of every container of the pod.
  [[nodiscard]] Outcome<std::vector<Numbers>> numbers() const {
    std::array<char, 512> error{};
    std::vector<Numbers> all;
    const auto add = [](void* user, const trivet_extension_numbers* numbers) {
      static_cast<std::vector<Numbers>*>(user)->push_back({.name = numbers->name,
                                                           .running = numbers->running != 0,
                                                           .restarts = numbers->restarts,
                                                           .cpu_usage_ns = numbers->cpu_usage_ns,
                                                           .memory_usage = numbers->memory_usage,
                                                           .memory_limit = numbers->memory_limit,
                                                           .pids = numbers->pids});
    };
    if (context_->numbers(context_, add, &all, error.data(), error.size()) != 0) {
      return std::unexpected(std::string(error.data()));
    }
    return all;
  }

 private:
  const trivet_extension_context* context_;
};

// To be derived from. The functions are those of trivet_extension, where it is said when they are
// called. An exception that leaves on_start() is its failure; one that leaves another ends the
// extension.
class Extension {
 public:
  Extension() = default;
  Extension(const Extension&) = delete;
  Extension& operator=(const Extension&) = delete;
  virtual ~Extension() = default;

  // What it is, for messages: "metrics".
  [[nodiscard]] virtual std::string name() const = 0;
  // Before the pod's network and containers exist. A failure keeps the pod from being started.
  virtual Outcome<> on_start(Context& context) = 0;
  // Events come in their order.
  virtual void on_event(const Event& event, Context& context) = 0;
};

// How an Extension becomes a trivet_extension; used by TRIVET_EXTENSION.
namespace detail {

template <typename T>
struct Adapter {
  T extension;
  std::string name = extension.name();

  static const char* get_name(void* self) noexcept {
    return static_cast<Adapter*>(self)->name.c_str();
  }
  static int on_start(void* self, const trivet_extension_context* context, char* error,
                      size_t error_size) noexcept {
    std::string message;
    try {
      Context handle(context);
      auto started = static_cast<Adapter*>(self)->extension.on_start(handle);
      if (started) return 0;
      message = std::move(started).error();
    } catch (const std::exception& exception) {
      message = exception.what();
    } catch (...) {
      message = "an unknown exception";
    }
    (void)std::snprintf(error, error_size, "%s", message.c_str());
    return 1;
  }
  static void on_event(void* self, const trivet_extension_event* event,
                       const trivet_extension_context* context) noexcept {
    if (event->kind > TRIVET_EXTENSION_STOPPING) return;
    Context handle(context);
    static_cast<Adapter*>(self)->extension.on_event({.kind = static_cast<EventKind>(event->kind),
                                                     .container = event->container,
                                                     .exit_code = event->exit_code},
                                                    handle);
  }
  static void destroy(void* self) noexcept { delete static_cast<Adapter*>(self); }

  static const trivet_extension* make() noexcept {
    try {
      static const trivet_extension kMade{.size = sizeof(trivet_extension),
                                          .reserved = 0,
                                          .self = new Adapter,
                                          .name = get_name,
                                          .on_start = on_start,
                                          .on_event = on_event,
                                          .destroy = destroy};
      return &kMade;
    } catch (...) {
      return nullptr;
    }
  }
};

}  // namespace detail

}  // namespace trivet::extension

// Exports the entry point of a shared library that holds the extension `Class`, which is default
// constructible. At namespace scope, once a library.
#define TRIVET_EXTENSION(Class)                                                                  \
  extern "C" __attribute__((visibility("default"))) const trivet_extension* trivet_extension_v1( \
      void) {                                                                                    \
    return ::trivet::extension::detail::Adapter<Class>::make();                                  \
  }

#endif /* __cplusplus */
#endif /* TRIVET_EXTENSION_H */
