#include "oci_cli/report.h"

#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/text.h"

namespace trivet::oci_cli {

namespace {

std::string quote(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

void write_log(const LogTarget& target, const char* level, const std::string& message) {
  if (target.path.empty()) return;
  const std::string time = format_rfc3339(std::chrono::system_clock::now());
  const std::string line =
      target.json ? fmt::format("{{\"level\":\"{}\",\"msg\":{},\"time\":\"{}\"}}\n", level,
                                quote(message), time)
                  : fmt::format("time=\"{}\" level={} msg={}\n", time, level, quote(message));
  if (const auto fd = open_file(target.path, O_WRONLY | O_APPEND | O_CREAT, 0644)) {
    (void)write_all(fd->get(), line, target.path);
  }
}

void report_warning(const LogTarget& target, const std::string& message) {
  if (!target.path.empty() && !target.warnings) return;
  if (!target.path.empty()) return write_log(target, "warning", message);
  (void)write_all(STDERR_FILENO, "trivet-oci: warning: " + message + "\n", "stderr");
}

void report_error(const LogTarget& target, const Error& error) {
  std::string message = error.message();
  for (const std::string& note : error.notes()) message += "; while cleaning up: " + note;
  write_log(target, "error", message);
  std::string text = "trivet-oci: " + message + "\n";
  if (!error.hint_text().empty()) text += "hint: " + error.hint_text() + "\n";
  (void)write_all(STDERR_FILENO, text, "stderr");
}

}  // namespace trivet::oci_cli
