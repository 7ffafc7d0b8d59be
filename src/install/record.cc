#include "install/record.h"

#include "base/base64.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/paths.h"
#include "base/sha256.h"

namespace trivet::install {

namespace {

constexpr size_t kMaxRecordBytes = 4U << 20U;

Result<std::vector<Handler>> read_handlers(const JsonView& view) {
  std::vector<Handler> handlers;
  const auto list = TRY(view.find("handlers"));
  if (!list) return fail(ErrorCode::kCorrupt, "{}: no handlers", view.path());
  for (const JsonView& entry : TRY(list->elements())) {
    Handler handler;
    TRY(entry.read("name", handler.name));
    TRY(entry.read("path", handler.path));
    handlers.push_back(std::move(handler));
  }
  if (handlers.empty()) return fail(ErrorCode::kCorrupt, "{}: no handlers", view.path());
  return handlers;
}

}  // namespace

std::string print_record(const Record& record) {
  nlohmann::ordered_json json;
  json["file"] = record.file;
  // Bytes that JSON could not hold may be in a file that is read all the same.
  if (record.before) json["before"] = encode_base64(*record.before);
  json["after"] = record.after_digest;
  json["default"] = record.registration.as_default;
  json["handlers"] = nlohmann::ordered_json::array();
  for (const Handler& handler : record.registration.handlers) {
    json["handlers"].push_back({{"name", handler.name}, {"path", handler.path}});
  }
  json["directories"] = record.made_dirs;
  return json.dump(2) + '\n';
}

Result<Record> parse_record(std::string_view text, const std::string& path) {
  const Json json = TRY(parse_json(text, path));
  const JsonView view(json, path);
  Record record;
  TRY(view.read("file", record.file));
  TRY(view.read("after", record.after_digest));
  TRY(view.read("default", record.registration.as_default));
  TRY(view.read("directories", record.made_dirs));
  record.registration.handlers = TRY(read_handlers(view));
  if (const auto before = TRY(view.find("before"))) {
    record.before = TRY_IN(decode_base64(TRY(before->as_string())), "{}: before", path);
  }
  return record;
}

RecordPlace record_place(const std::string& data_dir, Caller caller, const std::string& file) {
  const std::string data = data_dir.empty() ? default_data_dir() : data_dir;
  return {.folder = data + "/install",
          .path = fmt::format("{}/install/{}-{}.json", data, caller_name(caller),
                              sha256_of(file).substr(0, 12)),
          .links = data + "/runtimes"};
}

Result<std::optional<Record>> read_record(const RecordPlace& place) {
  const auto text = read_file(place.path, kMaxRecordBytes);
  if (!text && text.error().errnum() == ENOENT) return std::nullopt;
  if (!text) return std::unexpected(text.error());
  return TRY(parse_record(*text, place.path));
}

}  // namespace trivet::install
