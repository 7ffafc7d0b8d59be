// The messages of CRIU's service: requests and answers of its rpc.proto, as bytes in protobuf's
// wire format. Only what a runtime needs of them; the format is simple, and its library would be
// larger than this program.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "base/result.h"

namespace trivet::criu {

enum class RequestType : uint8_t { kDump = 1, kRestore = 2, kPreDump = 4, kNotify = 6 };

// criu_cg_mode: what becomes of the cgroups that processes are in.
enum class CgroupMode : uint8_t { kIgnore = 0, kSoft = 3, kFull = 4, kStrict = 5 };

// Fields of criu_opts; those that are empty, zero or false are not sent.
struct Options {
  int images_directory = -1;  // descriptors, as the criu program has them
  int work_directory = -1;
  pid_t pid = 0;
  std::string log_file;
  std::string root;
  std::string parent_images;
  std::string freeze_cgroup;
  std::string page_server_address;
  int page_server_port = 0;
  std::string lsm_profile;
  std::string lsm_mount_context;
  uint32_t empty_namespaces = 0;  // CLONE_NEW*
  CgroupMode cgroup_mode = CgroupMode::kIgnore;
  bool leave_running = false;
  bool tcp_established = false;
  bool tcp_close = false;
  bool tcp_skip_in_flight = false;
  bool external_unix_sockets = false;
  bool shell_job = false;
  bool file_locks = false;
  bool link_remap = false;
  bool track_memory = false;
  bool auto_dedup = false;
  bool evasive_devices = false;
  bool restore_as_sibling = false;
  std::vector<std::pair<std::string, std::string>> external_mounts;
  std::vector<std::string> externals;
  std::vector<std::pair<std::string, int>> inherited;             // key and descriptor
  std::vector<std::pair<std::string, std::string>> cgroup_roots;  // controllers and path
};

[[nodiscard]] std::string encode_request(RequestType type, const Options& options);
[[nodiscard]] std::string encode_notify_answer(bool success);

struct Answer {
  RequestType type = RequestType::kNotify;
  bool success = false;
  int error_number = 0;
  std::string error_text;
  std::string script;  // of a notification: "post-restore"
  pid_t pid = 0;       // of a notification, or of the restored init
};

// kCorrupt when the bytes are no message.
Result<Answer> parse_answer(std::string_view bytes);

}  // namespace trivet::criu
