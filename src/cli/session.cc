#include "cli/session.h"

#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/format.h"
#include "trivet/config.h"
#include "trivet/user_namespace.h"

namespace trivet::cli {

namespace {

// Where this process prints its errors.
int& error_fd() {
  static int fd = STDERR_FILENO;
  return fd;
}

// It must not reach the programs that are started: its reader may wait for its end.
Result<> take_error_fd(const std::string& text) {
  const int64_t number = TRY(parse_int(text));
  if (number <= STDERR_FILENO || number > INT_MAX) {
    return fail(ErrorCode::kInvalidArgument, "{}: it is above 2", number);
  }
  if (fcntl(static_cast<int>(number), F_SETFD, FD_CLOEXEC) != 0) {
    return fail_errno("file descriptor {}", number);
  }
  error_fd() = static_cast<int>(number);
  return {};
}

}  // namespace

std::vector<OptionSpec> global_options(Globals& globals) {
  Command scratch;
  scratch.section("Global options");
  scratch.value("--data-dir,--root", "DIR", globals.data_dir, "Keep images and containers in DIR")
      .defaults_to("/var/lib/trivet, or ~/.local/share/trivet")
      .completed_by(Completes::kDirectory);
  scratch.value("--state-dir", "DIR", globals.state_dir, "Keep what lasts until reboot in DIR")
      .defaults_to("/run/trivet, or $XDG_RUNTIME_DIR/trivet")
      .completed_by(Completes::kDirectory);
  scratch
      .parsed(
          "--error-format", "FORMAT",
          [&globals](const std::string& text) -> Result<> {
            if (text != "text" && text != "json") {
              return fail(ErrorCode::kInvalidArgument, "\"{}\" is neither text nor json", text);
            }
            globals.error_format = text;
            return {};
          },
          "Print errors as text, or as one JSON object a line")
      .defaults_to("text, or $TRIVET_ERROR_FORMAT")
      .one_of({"text", "json"});
  scratch
      .parsed("--error-fd", "NUMBER", take_error_fd,
              "Print errors to this open file descriptor, apart from what containers print")
      .defaults_to("2");
  return std::move(scratch.options);
}

Result<EngineOptions> Session::engine_options() const {
  // A project has no say here, and the user's file is the one that it is outside of the namespace.
  const ConfigSources own{.file = {}, .project = ProjectFile::kIgnore, .directory = {}};
  const Configuration configuration = TRY(Configuration::load(own));
  EngineOptions options = default_engine_options(configuration.settings());
  if (!globals_.data_dir.empty()) options.data_dir = globals_.data_dir;
  if (!globals_.state_dir.empty()) options.state_dir = globals_.state_dir;
  options.spare = spare_;
  const std::string said = TRY(enter_user_namespace(options));
  if (!said.empty()) remark(said);
  return options;
}

void Session::make_spare() {
  if (geteuid() == 0) spare_ = SpareProcess::make().value_or(nullptr);
}

Result<Engine*> Session::engine() {
  if (!engine_) engine_.emplace(TRY(Engine::open(TRY(engine_options()))));
  return &*engine_;
}

void Session::print(std::string_view text) {
  // A failure sticks to the stream; flush() reports it.
  std::fwrite(text.data(), 1, text.size(), stdout);
}

Result<> Session::flush() {
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) return fail_errno("write to stdout");
  return {};
}

bool Session::errors_as_json() const {
  if (!globals_.error_format.empty()) return globals_.error_format == "json";
  const char* format = std::getenv("TRIVET_ERROR_FORMAT");  // NOLINT(concurrency-mt-unsafe)
  return format != nullptr && std::string_view(format) == "json";
}

void Session::report(const Error& error) const {
  std::fflush(stdout);
  const std::string text = errors_as_json() ? error_json(error) : error_text(error);
  // Who gave another descriptor and does not read it gets no error.
  (void)write_all(error_fd(), text, "the errors");
}

void Session::warn(std::string_view text) const {
  if (!errors_as_json()) status(fmt::format("trivet: warning: {}", text));
}

void Session::remark(std::string_view text) const {
  if (!errors_as_json()) status(fmt::format("note: {}", text));
}

void Session::status(std::string_view text) {
  std::fflush(stdout);
  const std::string line = printable(text) + '\n';
  std::fwrite(line.data(), 1, line.size(), stderr);
}

bool Session::stdout_is_terminal() {
  return isatty(STDOUT_FILENO) == 1;
}
bool Session::stderr_is_terminal() {
  return isatty(STDERR_FILENO) == 1;
}
bool Session::stdin_is_terminal() {
  return isatty(STDIN_FILENO) == 1;
}

std::string error_text(const Error& error) {
  std::string text = fmt::format("trivet: {}\n", printable(error.message()));
  if (!error.hint_text().empty()) text += fmt::format("hint: {}\n", printable(error.hint_text()));
  for (const std::string& note : error.notes()) text += fmt::format("note: {}\n", printable(note));
  return text;
}

std::string error_json(const Error& error) {
  nlohmann::ordered_json object;
  object["code"] = error_code_name(error.code());
  object["message"] = error.message();
  object["hint"] = error.hint_text();
  object["notes"] = error.notes();
  if (error.errnum() != 0) object["errno"] = error.errnum();
  return dump_line(object);
}

Error cannot(std::string_view verb, std::string_view name, Error error) {
  if (error.message().starts_with("cannot ")) return error;
  return std::move(error).in(name.empty() ? fmt::format("cannot {}", verb)
                                          : fmt::format("cannot {} \"{}\"", verb, name));
}

}  // namespace trivet::cli
