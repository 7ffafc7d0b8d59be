#include "linux/net_device.h"

#include "base/json.h"
#include "base/process.h"
#include "base/text.h"

namespace trivet {

namespace {

Result<std::string> run(const std::vector<std::string>& command) {
  const Output output = TRY(run_program(command));
  if (output.ok()) return output.stdout_text;
  return fail(ErrorCode::kSystem, "{}: {}", join(command, " "), trim(output.stderr_text));
}

// "192.0.2.1/24" for each address of global scope that has no lifetime.
Result<std::vector<std::string>> permanent_addresses(const std::string& device) {
  const std::string text =
      TRY(run({"ip", "-json", "address", "show", "dev", device, "scope", "global", "permanent"}));
  const Json document = TRY(parse_json(text, "ip"));
  const JsonView links(document, "");
  std::vector<std::string> addresses;
  for (const JsonView& link : TRY(links.elements())) {
    const auto entries = TRY(link.find("addr_info"));
    if (!entries) continue;
    for (const JsonView& entry : TRY(entries->elements())) {
      std::string local;
      uint32_t prefix = 0;
      TRY(entry.read("local", local));
      TRY(entry.read("prefixlen", prefix));
      if (!local.empty()) addresses.push_back(fmt::format("{}/{}", local, prefix));
    }
  }
  return addresses;
}

Result<> move_net_device(const std::string& device, const std::string& name, pid_t pid) {
  const std::vector<std::string> addresses = TRY(permanent_addresses(device));
  TRY(run({"ip", "link", "set", "dev", device, "netns", fmt::format("{}", pid), "name", name}));
  const auto inside = [&](std::vector<std::string> words) -> Result<> {
    words.insert(words.begin(), {"nsenter", fmt::format("--net=/proc/{}/ns/net", pid), "ip"});
    TRY(run(words));
    return {};
  };
  for (const std::string& address : addresses) {
    TRY(inside({"address", "add", address, "dev", name}));
  }
  return inside({"link", "set", "dev", name, "up"});
}

}  // namespace

Result<> move_net_devices(const std::map<std::string, std::string>& devices, pid_t pid) {
  for (const auto& [device, name] : devices) {
    TRY_IN(move_net_device(device, name.empty() ? device : name, pid), "linux.netDevices: \"{}\"",
           device);
  }
  return {};
}

}  // namespace trivet
