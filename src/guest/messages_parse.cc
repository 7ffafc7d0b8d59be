// The documents, parsed: types and limits are checked, unknown members are left alone.
#include <algorithm>
#include <cctype>

#include "base/base64.h"
#include "guest/messages.h"
#include "guest/protocol.h"
#include "oci/field.h"
#include "oci/json_value.h"

namespace trivet::guest {

namespace {

using oci::Field;

constexpr size_t kMaxFiles = 64;
constexpr size_t kMaxInterfaces = 16;
constexpr size_t kMaxVolumes = 256;
constexpr size_t kMaxHostname = 64;
// struct sock_filter, and how many of them the kernel takes (BPF_MAXINSNS).
constexpr size_t kFilterInstruction = 8;
constexpr size_t kMaxFilter = 4096;
constexpr size_t kEntropyDigits = 128;
constexpr size_t kMachineIdDigits = 32;

template <typename T>
Result<T> parse_document(std::string_view text, std::string_view what, size_t limit,
                         Result<T> (*read)(const Field&)) {
  oci::JsonDocument document;
  TRY(document.parse(text, what, limit));
  return read(Field(document.root(), what));
}

bool is_hex(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) { return std::isxdigit(c) != 0; });
}

Result<> check_hex(const Field& field, std::string_view text, size_t digits) {
  if (text.size() == digits && is_hex(text)) return {};
  return field.invalid("not {} hexadecimal digits", digits);
}

// The name of one entry of a directory.
bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos;
}

bool is_device_name(std::string_view name) {
  return name.size() <= 32 && std::ranges::all_of(name, [](unsigned char c) {
           return std::islower(c) != 0 || std::isdigit(c) != 0;
         });
}

// Stays below the directory it is relative to.
bool is_inner_path(std::string_view path) {
  while (!path.empty()) {
    const std::string_view part = path.substr(0, path.find('/'));
    if (part.empty() || part == "." || part == "..") return false;
    path.remove_prefix(std::min(part.size() + 1, path.size()));
  }
  return true;
}

Result<Ready> read_ready(const Field& field) {
  Ready message;
  TRY(field.read_required("version", message.version));
  TRY(field.read("kernel", message.kernel));
  return message;
}

Result<Wake> read_wake(const Field& field) {
  Wake message;
  TRY(field.read_required("unix_ns", message.unix_ns));
  TRY(field.read_required("entropy", message.entropy));
  TRY(check_hex(field.at("entropy"), message.entropy, kEntropyDigits));
  TRY(field.read_required("machine_id", message.machine_id));
  TRY(check_hex(field.at("machine_id"), message.machine_id, kMachineIdDigits));
  return message;
}

Result<InlineFile> read_file_field(const Field& field) {
  InlineFile file;
  TRY(field.read_required("name", file.name));
  if (!is_plain_name(file.name)) return field.at("name").invalid("not a file name");
  TRY(field.read("mode", file.mode));
  if (file.mode > 07777U) return field.at("mode").invalid("{:o} is no mode", file.mode);
  std::string content;
  TRY(field.read("content", content));
  file.content = TRY_IN(decode_base64(content), "{}", field.at("content").path());
  return file;
}

Result<SeccompFilter> read_filter(const Field& field) {
  SeccompFilter filter;
  std::string instructions;
  TRY(field.read_required("instructions", instructions));
  const Field place = field.at("instructions");
  filter.instructions = TRY_IN(decode_base64(instructions), "{}", place.path());
  if (filter.instructions.empty() || filter.instructions.size() % kFilterInstruction != 0 ||
      filter.instructions.size() > kMaxFilter * kFilterInstruction) {
    return place.invalid("no seccomp program");
  }
  TRY(field.read("flags", filter.flags));
  return filter;
}

Result<Route> read_route(const Field& field) {
  Route route;
  TRY(field.read_required("destination", route.destination));
  TRY(field.read("gateway", route.gateway));
  return route;
}

Result<Interface> read_interface(const Field& field) {
  Interface interface;
  TRY(field.read("mac", interface.mac));
  TRY(field.read("name", interface.name));
  // IFNAMSIZ, and what the kernel takes for a name.
  constexpr size_t kMaxName = 15;
  if (!is_plain_name(interface.name) || interface.name.size() > kMaxName) {
    return field.at("name").invalid("not the name of an interface");
  }
  TRY(field.read("mtu", interface.mtu));
  TRY(field.read("addresses", interface.addresses));
  TRY(field.read("routes", interface.routes, read_route));
  TRY(field.read("completes_handshakes", interface.completes_handshakes));
  return interface;
}

Result<Volume> read_volume(const Field& field) {
  Volume volume;
  TRY(field.read_required("name", volume.name));
  if (!is_plain_name(volume.name)) return field.at("name").invalid("not a file name");
  TRY(field.read("mode", volume.mode));
  if (volume.mode > 07777U) return field.at("mode").invalid("{:o} is no mode", volume.mode);
  TRY(field.read("uid", volume.uid));
  TRY(field.read("gid", volume.gid));
  TRY(field.read("in_memory", volume.in_memory));
  TRY(field.read("size", volume.size));
  TRY(field.read("directories", volume.directories));
  for (const std::string& path : volume.directories) {
    if (path.empty() || !is_inner_path(path)) {
      return field.at("directories").invalid("\"{}\" is not below the volume", path);
    }
  }
  return volume;
}

Result<> read_pod(const Field& field, CreateRequest& message) {
  TRY(field.read("volumes", message.volumes, read_volume));
  if (message.volumes.size() > kMaxVolumes) {
    return field.at("volumes").invalid("over {}", kMaxVolumes);
  }
  TRY(field.read("infra", message.infra));
  TRY(field.read("joins", message.joins));
  for (const std::string& name : message.joins) {
    if (name == "ipc" || name == "uts" || name == "pid") continue;
    return field.at("joins").invalid("\"{}\" is no namespace that is shared", name);
  }
  return {};
}

Result<CreateRequest> read_create(const Field& field) {
  CreateRequest message;
  TRY(field.read_required("config", message.config));
  TRY(field.read("seccomp", message.seccomp, read_filter));
  TRY(field.read("lower_device", message.lower_device));
  TRY(field.read("scratch_device", message.scratch_device));
  for (const auto& [name, device] : {std::pair("lower_device", &message.lower_device),
                                     std::pair("scratch_device", &message.scratch_device)}) {
    if (!is_device_name(*device)) return field.at(name).invalid("not the name of a block device");
  }
  TRY(field.read("lower_share", message.lower_share));
  if (!is_inner_path(message.lower_share)) {
    return field.at("lower_share").invalid("not a path below the share");
  }
  TRY(field.read("share", message.share));
  TRY(field.read("blocks_signals", message.blocks_signals));
  TRY(field.read("files", message.files, read_file_field));
  if (message.files.size() > kMaxFiles) return field.at("files").invalid("over {}", kMaxFiles);
  TRY(field.read("hostname", message.hostname));
  if (message.hostname.size() > kMaxHostname) return field.at("hostname").invalid("too long");
  TRY(field.read("interfaces", message.interfaces, read_interface));
  if (message.interfaces.size() > kMaxInterfaces) {
    return field.at("interfaces").invalid("over {}", kMaxInterfaces);
  }
  TRY(read_pod(field, message));
  return message;
}

Result<ExecRequest> read_exec(const Field& field) {
  ExecRequest message;
  TRY(field.read_required("process", message.process));
  TRY(field.read("user", message.user));
  TRY(field.read("detach", message.detach));
  TRY(field.read("endsGroup", message.ends_group));
  return message;
}

Result<CopyRequest> read_copy(const Field& field) {
  CopyRequest message;
  TRY(field.read_required("path", message.path));
  TRY(field.read("source", message.source));
  return message;
}

Result<ConnectRequest> read_connect(const Field& field) {
  ConnectRequest message;
  TRY(field.read_required("host", message.host));
  uint32_t port = 0;
  TRY(field.read_required("port", port));
  if (port == 0 || port > UINT16_MAX) return field.at("port").invalid("not a port");
  message.port = static_cast<uint16_t>(port);
  return message;
}

Result<Request> read_request(const Field& field) {
  Request message;
  TRY(field.read_required("operation", message.operation));
  TRY(field.read("resources", message.resources));
  TRY(field.read("unix_ns", message.unix_ns));
  return message;
}

Result<Stats> read_stats(const Field& field) {
  Stats message;
  TRY(field.read("cpu_usage_ns", message.cpu_usage_ns));
  TRY(field.read("cpu_user_ns", message.cpu_user_ns));
  TRY(field.read("cpu_system_ns", message.cpu_system_ns));
  TRY(field.read("memory_usage", message.memory_usage));
  TRY(field.read("memory_limit", message.memory_limit));
  TRY(field.read("memory_total", message.memory_total));
  TRY(field.read("memory_free", message.memory_free));
  TRY(field.read("pids", message.pids));
  TRY(field.read("pids_limit", message.pids_limit));
  TRY(field.read("block_read", message.block_read));
  TRY(field.read("block_write", message.block_write));
  TRY(field.read("net_rx", message.net_rx));
  TRY(field.read("net_tx", message.net_tx));
  TRY(field.read("oom_kills", message.oom_kills));
  return message;
}

}  // namespace

Result<Ready> parse_ready(std::string_view text) {
  return parse_document(text, "kReady", kMaxAnswer, read_ready);
}

Result<Wake> parse_wake(std::string_view text) {
  return parse_document(text, "kWake", kMaxDocument, read_wake);
}

Result<CreateRequest> parse_create(std::string_view text) {
  return parse_document(text, "kCreate", kMaxDocument, read_create);
}

Result<ExecRequest> parse_exec(std::string_view text) {
  return parse_document(text, "kExec", kMaxDocument, read_exec);
}

Result<CopyRequest> parse_copy(std::string_view text) {
  return parse_document(text, "copy request", kMaxDocument, read_copy);
}

Result<ConnectRequest> parse_connect(std::string_view text) {
  return parse_document(text, "kConnect", kMaxDocument, read_connect);
}

Result<Request> parse_request(std::string_view text) {
  return parse_document(text, "kRequest", kMaxDocument, read_request);
}

Result<Stats> parse_stats(std::string_view text) {
  return parse_document(text, "stats", kMaxAnswer, read_stats);
}

}  // namespace trivet::guest
