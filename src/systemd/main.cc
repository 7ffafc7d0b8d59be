// trivet-systemd: the engine's way to systemd, so that the engine itself needs no libsystemd. It is
// started by it with the systemd cgroup driver, never by hand; one call, one operation.
//
//   trivet-systemd system|user root                       prints the manager's cgroup
//   trivet-systemd system|user start UNIT [NAME SIGNATURE WORD…]…   prints the scope's cgroup
//   trivet-systemd system|user set UNIT [NAME SIGNATURE WORD…]…
//   trivet-systemd system|user attach UNIT SUBGROUP PID
//   trivet-systemd system|user stop UNIT
//
// Values are words as busctl(1) takes them. A failure is one line on stderr, a second one is a
// hint; linux/systemd_client.cc knows the exit codes.
#include <string>
#include <unistd.h>
#include <vector>

#include "base/fs.h"
#include "systemd/service_manager.h"

namespace trivet::systemd {

namespace {

constexpr int kFailed = 1;
constexpr int kNotReached = 3;
constexpr int kExists = 4;

Result<Whose> parse_whose(const std::string& word) {
  if (word == "system") return Whose::kSystem;
  if (word == "user") return Whose::kUser;
  return fail(ErrorCode::kInvalidArgument, "\"{}\" is neither system nor user", word);
}

Result<> expect_end(Words words) {
  if (words.empty()) return {};
  return fail(ErrorCode::kInvalidArgument, "unexpected word \"{}\"", words.front());
}

Result<std::string> attach(ServiceManager& manager, const std::string& unit, Words words) {
  const std::string subgroup = TRY(next_word(words, "the subgroup"));
  const std::string pid = TRY(next_word(words, "the process"));
  TRY(expect_end(words));
  TRY(manager.attach_process(unit, subgroup, pid));
  return std::string();
}

// What is to be printed.
Result<std::string> run(Words words) {
  const Whose whose = TRY(parse_whose(TRY(next_word(words, "the manager"))));
  const std::string verb = TRY(next_word(words, "the operation"));
  ServiceManager manager = TRY(ServiceManager::connect(whose));
  if (verb == "root") {
    TRY(expect_end(words));
    return manager.control_group();
  }
  const std::string unit = TRY(next_word(words, "the unit"));
  if (verb == "start") return manager.start_scope(unit, words);
  if (verb == "attach") return attach(manager, unit, words);
  if (verb == "set") {
    TRY(manager.set_properties(unit, words));
    return std::string();
  }
  if (verb != "stop") return fail(ErrorCode::kInvalidArgument, "unknown operation \"{}\"", verb);
  TRY(expect_end(words));
  TRY(manager.stop(unit));
  return std::string();
}

int exit_code(const Error& error) {
  if (error.code() == ErrorCode::kUnsupported) return kNotReached;
  return error.code() == ErrorCode::kAlreadyExists ? kExists : kFailed;
}

}  // namespace

}  // namespace trivet::systemd

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto text = trivet::systemd::run(words);
  if (text) return trivet::write_all(STDOUT_FILENO, *text + "\n", "stdout") ? 0 : 1;
  const trivet::Error& error = text.error();
  std::string lines = error.message() + "\n";
  if (!error.hint_text().empty()) lines += error.hint_text() + "\n";
  (void)trivet::write_all(STDERR_FILENO, lines, "stderr");
  return trivet::systemd::exit_code(error);
}
