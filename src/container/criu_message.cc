#include "container/criu_message.h"

#include <functional>
#include <optional>

namespace trivet::criu {

namespace {

// protobuf.dev, "Encoding": a key is the field's number and one of these.
enum class WireType : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
constexpr unsigned kWireTypeBits = 3;

// Numbers of fields, from rpc.proto.
namespace field {
enum Request : uint8_t { kType = 1, kOpts = 2, kNotifySuccess = 3 };
enum Response : uint8_t {
  kResponseType = 1,
  kSuccess = 2,
  kRestore = 4,
  kNotify = 5,
  kErrno = 7,
  kErrorText = 9,
};
enum Opts : uint8_t {
  kImagesDirFd = 1,
  kPid = 2,
  kLeaveRunning = 3,
  kExtUnixSk = 4,
  kTcpEstablished = 5,
  kEvasiveDevices = 6,
  kShellJob = 7,
  kFileLocks = 8,
  kLogLevel = 9,
  kLogFile = 10,
  kPageServer = 11,
  kNotifyScripts = 12,
  kRoot = 13,
  kParentImg = 14,
  kTrackMem = 15,
  kAutoDedup = 16,
  kWorkDirFd = 17,
  kLinkRemap = 18,
  kExtMnt = 23,
  kManageCgroups = 24,
  kCgRoot = 25,
  kRstSibling = 26,
  kInheritFd = 27,
  kExtMasters = 30,
  kManageCgroupsMode = 34,
  kExternal = 37,
  kEmptyNs = 38,
  kFreezeCgroup = 44,
  kTcpSkipInFlight = 46,
  kOrphanPtsMaster = 50,
  kTcpClose = 52,
  kLsmProfile = 53,
  kLsmMountContext = 63,
};
}  // namespace field

constexpr uint64_t kLogLevelOfDetails = 4;

class Writer {
 public:
  void number(unsigned field, uint64_t value) {
    key(field, WireType::kVarint);
    varint(value);
  }
  void bytes(unsigned field, std::string_view value) {
    key(field, WireType::kBytes);
    varint(value.size());
    text_ += value;
  }
  void flag(unsigned field, bool value) {
    if (value) number(field, 1);
  }
  void text(unsigned field, const std::string& value) {
    if (!value.empty()) bytes(field, value);
  }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  void key(unsigned field, WireType type) {
    varint(static_cast<uint64_t>(field) << kWireTypeBits | static_cast<uint64_t>(type));
  }
  void varint(uint64_t value) {
    constexpr uint64_t kMore = 0x80;
    for (; value >= kMore; value >>= 7U) text_ += static_cast<char>(value % kMore | kMore);
    text_ += static_cast<char>(value);
  }
  std::string text_;
};

std::string encode_pair(std::string_view first, std::string_view second) {
  Writer writer;
  writer.bytes(1, first);
  writer.bytes(2, second);
  return writer.take();
}

void write_flags(const Options& options, Writer& writer) {
  writer.flag(field::kLeaveRunning, options.leave_running);
  writer.flag(field::kExtUnixSk, options.external_unix_sockets);
  writer.flag(field::kTcpEstablished, options.tcp_established);
  writer.flag(field::kTcpClose, options.tcp_close);
  writer.flag(field::kTcpSkipInFlight, options.tcp_skip_in_flight);
  writer.flag(field::kEvasiveDevices, options.evasive_devices);
  writer.flag(field::kShellJob, options.shell_job);
  writer.flag(field::kFileLocks, options.file_locks);
  writer.flag(field::kTrackMem, options.track_memory);
  writer.flag(field::kAutoDedup, options.auto_dedup);
  writer.flag(field::kLinkRemap, options.link_remap);
  writer.flag(field::kRstSibling, options.restore_as_sibling);
  // What every container needs: mounts that follow the host's, a terminal whose master is an
  // engine's, and a word at each step.
  for (const unsigned field :
       {field::kNotifyScripts, field::kExtMasters, field::kOrphanPtsMaster}) {
    writer.flag(field, true);
  }
}

void write_lists(const Options& options, Writer& writer) {
  for (const auto& [key, value] : options.external_mounts) {
    writer.bytes(field::kExtMnt, encode_pair(key, value));
  }
  for (const auto& [controllers, path] : options.cgroup_roots) {
    writer.bytes(field::kCgRoot, encode_pair(controllers, path));
  }
  for (const auto& [key, fd] : options.inherited) {
    Writer inherited;
    inherited.bytes(1, key);
    inherited.number(2, static_cast<uint64_t>(fd));
    writer.bytes(field::kInheritFd, inherited.take());
  }
  for (const std::string& external : options.externals) {
    writer.bytes(field::kExternal, external);
  }
}

std::string encode_options(const Options& options) {
  Writer writer;
  writer.number(field::kImagesDirFd, static_cast<uint64_t>(options.images_directory));
  if (options.work_directory >= 0) {
    writer.number(field::kWorkDirFd, static_cast<uint64_t>(options.work_directory));
  }
  if (options.pid != 0) writer.number(field::kPid, static_cast<uint64_t>(options.pid));
  writer.number(field::kLogLevel, kLogLevelOfDetails);
  writer.text(field::kLogFile, options.log_file);
  writer.text(field::kRoot, options.root);
  writer.text(field::kParentImg, options.parent_images);
  writer.text(field::kFreezeCgroup, options.freeze_cgroup);
  writer.text(field::kLsmProfile, options.lsm_profile);
  writer.text(field::kLsmMountContext, options.lsm_mount_context);
  if (!options.page_server_address.empty()) {
    Writer server;
    server.bytes(1, options.page_server_address);
    server.number(2, static_cast<uint64_t>(options.page_server_port));
    writer.bytes(field::kPageServer, server.take());
  }
  if (options.empty_namespaces != 0) writer.number(field::kEmptyNs, options.empty_namespaces);
  writer.flag(field::kManageCgroups, options.cgroup_mode != CgroupMode::kIgnore);
  writer.number(field::kManageCgroupsMode, static_cast<uint64_t>(options.cgroup_mode));
  write_flags(options, writer);
  write_lists(options, writer);
  return writer.take();
}

std::unexpected<Error> malformed() {
  return fail(ErrorCode::kCorrupt, "criu sent a message that can't be read");
}

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  // Calls `take` with each field: a number, or bytes.
  Result<> each(const std::function<Result<>(uint64_t field, uint64_t number,
                                             std::string_view bytes)>& take) {
    while (!rest_.empty()) {
      const uint64_t key = TRY(varint());
      uint64_t number = 0;
      std::string_view bytes;
      switch (static_cast<WireType>(key & ((1U << kWireTypeBits) - 1))) {
        case WireType::kVarint:
          number = TRY(varint());
          break;
        case WireType::kBytes:
          bytes = TRY(skip(TRY(varint())));
          break;
        case WireType::kFixed64:
          TRY(skip(sizeof(uint64_t)));
          break;
        case WireType::kFixed32:
          TRY(skip(sizeof(uint32_t)));
          break;
        default:
          return malformed();
      }
      TRY(take(key >> kWireTypeBits, number, bytes));
    }
    return {};
  }

 private:
  Result<uint64_t> varint() {
    constexpr unsigned kBits = 64;
    uint64_t value = 0;
    for (unsigned shift = 0; shift < kBits && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7fU) << shift;
      if ((byte & 0x80U) == 0) return value;
    }
    return malformed();
  }
  Result<std::string_view> skip(uint64_t size) {
    if (size > rest_.size()) return malformed();
    const std::string_view skipped = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return skipped;
  }
  std::string_view rest_;
};

// criu_notify and criu_restore_resp.
Result<> parse_notify(std::string_view bytes, Answer& answer) {
  return Reader(bytes).each(
      [&](uint64_t field, uint64_t number, std::string_view text) -> Result<> {
        if (field == 1) answer.script = text;
        if (field == 2) answer.pid = static_cast<pid_t>(number);
        return {};
      });
}
Result<> parse_restored(std::string_view bytes, Answer& answer) {
  return Reader(bytes).each([&](uint64_t field, uint64_t number, std::string_view) -> Result<> {
    if (field == 1) answer.pid = static_cast<pid_t>(number);
    return {};
  });
}

}  // namespace

std::string encode_request(RequestType type, const Options& options) {
  Writer writer;
  writer.number(field::kType, static_cast<uint64_t>(type));
  writer.bytes(field::kOpts, encode_options(options));
  return writer.take();
}

std::string encode_notify_answer(bool success) {
  Writer writer;
  writer.number(field::kType, static_cast<uint64_t>(RequestType::kNotify));
  writer.number(field::kNotifySuccess, success ? 1 : 0);
  return writer.take();
}

Result<Answer> parse_answer(std::string_view bytes) {
  Answer answer;
  bool has_type = false;
  TRY(Reader(bytes).each([&](uint64_t field, uint64_t number, std::string_view text) -> Result<> {
    switch (field) {
      case field::kResponseType:
        answer.type = static_cast<RequestType>(number);
        has_type = true;
        return {};
      case field::kSuccess:
        answer.success = number != 0;
        return {};
      case field::kRestore:
        return parse_restored(text, answer);
      case field::kNotify:
        return parse_notify(text, answer);
      case field::kErrno:
        answer.error_number = static_cast<int>(number);
        return {};
      case field::kErrorText:
        answer.error_text = text;
        return {};
      default:
        return {};
    }
  }));
  if (!has_type) return malformed();
  return answer;
}

}  // namespace trivet::criu
