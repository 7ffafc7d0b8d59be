#include "systemd/service_manager.h"

#include <chrono>
#include <cstdlib>
#include <map>
#include <systemd/sd-daemon.h>
#include <unistd.h>

namespace trivet::systemd {

namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kDestination = "org.freedesktop.systemd1";
constexpr const char* kPath = "/org/freedesktop/systemd1";
constexpr const char* kManager = "org.freedesktop.systemd1.Manager";
constexpr const char* kNoSuchUnit = "org.freedesktop.systemd1.NoSuchUnit";
constexpr const char* kUnitExists = "org.freedesktop.systemd1.UnitExists";
// A busy systemd takes seconds; somebody waits for the container, though.
constexpr std::chrono::seconds kJobTimeout{30};

// sd_bus_error with an owner.
class BusError {
 public:
  BusError() = default;
  BusError(const BusError&) = delete;
  BusError& operator=(const BusError&) = delete;
  ~BusError() { sd_bus_error_free(&error_); }
  [[nodiscard]] sd_bus_error* get() { return &error_; }
  [[nodiscard]] bool is(const char* name) const { return sd_bus_error_has_name(&error_, name) > 0; }
  [[nodiscard]] Error as_error(int result, std::string operation) const {
    if (error_.message == nullptr) return Error::from_errno(-result, std::move(operation));
    return {is(kUnitExists) ? ErrorCode::kAlreadyExists : ErrorCode::kSystem,
            fmt::format("{}: {}", operation, error_.message)};
  }

 private:
  sd_bus_error error_ = SD_BUS_ERROR_NULL;
};

Result<> check(int result, std::string_view what) {
  if (result >= 0) return {};
  return std::unexpected(Error::from_errno(-result, std::string(what)));
}

Result<Message> make_call(sd_bus* bus, const char* method) {
  sd_bus_message* message = nullptr;
  TRY(check(sd_bus_message_new_method_call(bus, &message, kDestination, kPath, kManager, method),
            method));
  return Message(message);
}

// `error` receives the manager's own words.
Result<Message> send(sd_bus* bus, sd_bus_message* message, const std::string& operation,
                     BusError& error) {
  sd_bus_message* reply = nullptr;
  const int result = sd_bus_call(bus, message, 0, error.get(), &reply);
  if (result < 0) return std::unexpected(error.as_error(result, operation));
  return Message(reply);
}

Result<std::string> get_string(sd_bus* bus, const char* path, const char* interface,
                               const char* property) {
  BusError error;
  char* text = nullptr;
  const int result =
      sd_bus_get_property_string(bus, kDestination, path, interface, property, error.get(), &text);
  if (result < 0) {
    return std::unexpected(error.as_error(result, fmt::format("get property {}", property)));
  }
  std::string value(text);
  free(text);  // NOLINT(cppcoreguidelines-no-malloc): sd-bus hands it over so
  return value;
}

Result<Bus> open_socket(const std::string& path) {
  sd_bus* raw = nullptr;
  TRY(check(sd_bus_new(&raw), "sd_bus_new"));
  Bus bus(raw);
  TRY(check(sd_bus_set_address(raw, ("unix:path=" + path).c_str()), path));
  TRY(check(sd_bus_start(raw), fmt::format("connect to \"{}\"", path)));
  return bus;
}

Result<Bus> open_bus(Whose whose) {
  sd_bus* raw = nullptr;
  const int result = whose == Whose::kUser ? sd_bus_open_user(&raw) : sd_bus_open_system(&raw);
  TRY(check(result, whose == Whose::kUser ? "connect to the user's message bus"
                                          : "connect to the system's message bus"));
  return Bus(raw);
}

std::string private_socket(Whose whose) {
  if (whose == Whose::kSystem) return "/run/systemd/private";
  const char* directory = std::getenv("XDG_RUNTIME_DIR");  // NOLINT(concurrency-mt-unsafe)
  if (directory != nullptr && *directory != '\0')
    return std::string(directory) + "/systemd/private";
  return fmt::format("/run/user/{}/systemd/private", geteuid());
}

Error not_reached(Whose whose, const Error& cause) {
  const bool user = whose == Whose::kUser;
  return Error(ErrorCode::kUnsupported,
               fmt::format("{} can't be reached: {}", user ? "the user's systemd" : "systemd",
                           cause.message()))
      .hint(user
                ? "log in, or \"loginctl enable-linger\", and have XDG_RUNTIME_DIR set; or use the "
                  "cgroupfs driver"
                : "is it running, and D-Bus? Or use the cgroupfs driver");
}

// Notes the results of finished jobs, from before the job is asked for.
class JobWatch {
 public:
  static Result<JobWatch> begin(sd_bus* bus) {
    JobWatch watch(bus);
    sd_bus_slot* slot = nullptr;
    // No sender: on systemd's own socket there are no names.
    TRY(check(sd_bus_match_signal(bus, &slot, nullptr, kPath, kManager, "JobRemoved", on_removed,
                                  watch.results_.get()),
              "watch the jobs"));
    watch.slot_.reset(slot);
    const Message subscribe = TRY(make_call(bus, "Subscribe"));
    BusError error;
    TRY(send(bus, subscribe.get(), "subscribe to the jobs", error));
    return watch;
  }

  // `reply` names the job. Returns when it is done; any other end of it is an error.
  Result<> wait(sd_bus_message* reply, const std::string& operation) const {
    const char* job = nullptr;
    TRY(check(sd_bus_message_read(reply, "o", &job), operation));
    const Clock::time_point deadline = Clock::now() + kJobTimeout;
    while (!results_->contains(job)) {
      const int processed = sd_bus_process(bus_, nullptr);
      TRY(check(processed, operation));
      if (processed > 0) continue;
      const auto left =
          std::chrono::duration_cast<std::chrono::microseconds>(deadline - Clock::now());
      if (left.count() <= 0) {
        return fail(ErrorCode::kTimeout, "{}: the job is not done after {} s", operation,
                    kJobTimeout.count());
      }
      TRY(check(sd_bus_wait(bus_, static_cast<uint64_t>(left.count())), operation));
    }
    const std::string& result = results_->at(job);
    if (result == "done") return {};
    return fail(ErrorCode::kSystem, "{}: the job's result is \"{}\"", operation, result);
  }

 private:
  using Results = std::map<std::string, std::string>;  // by the job's object path

  explicit JobWatch(sd_bus* bus) : bus_(bus) {}

  // JobRemoved(u id, o job, s unit, s result).
  static int on_removed(sd_bus_message* message, void* data, sd_bus_error* /*error*/) {
    uint32_t id = 0;
    const char* job = nullptr;
    const char* unit = nullptr;
    const char* result = nullptr;
    if (sd_bus_message_read(message, "uoss", &id, &job, &unit, &result) >= 0) {
      (*static_cast<Results*>(data))[job] = result;
    }
    return 0;
  }

  sd_bus* bus_;
  std::unique_ptr<Results> results_ = std::make_unique<Results>();  // sd-bus knows its address
  Slot slot_;
};

Result<Message> request_start(sd_bus* bus, const std::string& unit, Words properties) {
  const Message call = TRY(make_call(bus, "StartTransientUnit"));
  TRY(check(sd_bus_message_append(call.get(), "ss", unit.c_str(), "replace"), unit));
  TRY(append_properties(call.get(), properties));
  TRY(check(sd_bus_message_append(call.get(), "a(sa(sv))", 0), unit));
  BusError error;
  return send(bus, call.get(), fmt::format("start \"{}\"", unit), error);
}

// What is not failed, or not there, has nothing to be forgotten.
void reset_failed(sd_bus* bus, const std::string& unit) {
  (void)sd_bus_call_method(bus, kDestination, kPath, kManager, "ResetFailedUnit", nullptr, nullptr,
                           "s", unit.c_str());
}

Result<std::string> control_group_of(sd_bus* bus, const std::string& unit) {
  char* path = nullptr;
  TRY(check(sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit.c_str(), &path), unit));
  auto group = get_string(bus, path, "org.freedesktop.systemd1.Scope", "ControlGroup");
  free(path);  // NOLINT(cppcoreguidelines-no-malloc): sd-bus hands it over so
  return group;
}

}  // namespace

Result<ServiceManager> ServiceManager::connect(Whose whose) {
  if (whose == Whose::kSystem && sd_booted() <= 0) {
    return std::unexpected(Error(ErrorCode::kUnsupported, "systemd does not run on this host")
                               .hint("use the cgroupfs driver"));
  }
  // Whoever answers on a bus need not be systemd.
  const auto greet = [](Result<Bus> bus) -> Result<ServiceManager> {
    if (!bus) return std::unexpected(std::move(bus).error());
    std::string group = TRY(get_string(bus->get(), kPath, kManager, "ControlGroup"));
    if (group == "/") group.clear();
    return ServiceManager(std::move(*bus), std::move(group));
  };
  auto over_bus = greet(open_bus(whose));
  if (over_bus) return over_bus;
  auto directly = greet(open_socket(private_socket(whose)));
  if (directly) return directly;
  return std::unexpected(not_reached(whose, over_bus.error()));
}

Result<std::string> ServiceManager::start_scope(const std::string& unit, Words properties) {
  const JobWatch jobs = TRY(JobWatch::begin(bus_.get()));
  auto reply = request_start(bus_.get(), unit, properties);
  if (!reply && reply.error().code() == ErrorCode::kAlreadyExists) {
    reset_failed(bus_.get(), unit);
    reply = request_start(bus_.get(), unit, properties);
  }
  if (!reply) return std::unexpected(std::move(reply).error());
  auto done = jobs.wait(reply->get(), fmt::format("start \"{}\"", unit));
  auto group = done ? control_group_of(bus_.get(), unit) : std::unexpected(done.error());
  if (group) return group;
  if (auto stopped = stop(unit); !stopped) {
    return std::unexpected(std::move(group).error().note(stopped.error()));
  }
  return group;
}

Result<> ServiceManager::set_properties(const std::string& unit, Words properties) {
  const Message call = TRY(make_call(bus_.get(), "SetUnitProperties"));
  TRY(check(sd_bus_message_append(call.get(), "sb", unit.c_str(), 1), unit));  // until it stops
  TRY(append_properties(call.get(), properties));
  BusError error;
  TRY(send(bus_.get(), call.get(), fmt::format("set properties of \"{}\"", unit), error));
  return {};
}

Result<> ServiceManager::attach_process(const std::string& unit, const std::string& subgroup,
                                        const std::string& pid) {
  const Message call = TRY(make_call(bus_.get(), "AttachProcessesToUnit"));
  Words words(&pid, 1);
  TRY(check(sd_bus_message_append(call.get(), "ss", unit.c_str(), subgroup.c_str()), unit));
  TRY(check(sd_bus_message_open_container(call.get(), 'a', "u"), unit));
  TRY(append_values(call.get(), "u", words));
  TRY(check(sd_bus_message_close_container(call.get()), unit));
  BusError error;
  TRY(send(bus_.get(), call.get(), fmt::format("attach process {} to \"{}\"", pid, unit), error));
  return {};
}

Result<> ServiceManager::stop(const std::string& unit) {
  const JobWatch jobs = TRY(JobWatch::begin(bus_.get()));
  const Message call = TRY(make_call(bus_.get(), "StopUnit"));
  TRY(check(sd_bus_message_append(call.get(), "ss", unit.c_str(), "replace"), unit));
  BusError error;
  const std::string operation = fmt::format("stop \"{}\"", unit);
  const auto reply = send(bus_.get(), call.get(), operation, error);
  if (error.is(kNoSuchUnit)) return {};
  if (!reply) return std::unexpected(reply.error());
  TRY(jobs.wait(reply->get(), operation));
  reset_failed(bus_.get(), unit);
  return {};
}

}  // namespace trivet::systemd
