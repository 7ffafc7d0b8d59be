#include "copy/stream.h"

#include <fcntl.h>

namespace trivet::copy {

namespace {

// The first component of a path, and what is behind it.
std::pair<std::string, std::string> split_first(const std::string& path) {
  const size_t slash = path.find('/');
  if (slash == std::string::npos) return {path, ""};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

std::string join_path(const std::string& directory, const std::string& rest) {
  if (directory.empty() || rest.empty()) return directory + rest;
  return directory + "/" + rest;
}

Result<> receive_entries(TarReader& reader, TarEntry first, const Destination& target,
                         const UnpackOptions& options) {
  Unpacker unpacker(target.directory.get(), options);
  const std::string top = first.path;
  std::optional<TarEntry> entry = std::move(first);
  for (bool is_first = true; entry; is_first = false) {
    const auto [head, rest] = split_first(entry->path);
    if (head != top || rest.empty() != is_first) {
      return fail(ErrorCode::kCorrupt, "tar stream: \"{}\" is not below \"{}\"", entry->path, top);
    }
    TRY(unpacker.add(*entry, join_path(target.name, rest), reader));
    entry = TRY(reader.next());
  }
  return unpacker.finish();
}

}  // namespace

Result<> send_copy(const Side& from, const Sink& sink) {
  const Found source = TRY(find_source(from));
  return write_tar(source.parent.get(), source.name, sink);
}

Result<> receive_copy(const Source& source, const std::string& source_path, const Side& to,
                      const UnpackOptions& options) {
  TarReader reader(source);
  auto first = TRY(reader.next());
  if (!first) return fail(ErrorCode::kNotFound, "there is nothing to copy to \"{}\"", to.label);
  if (first->path.find('/') != std::string::npos) {
    return fail(ErrorCode::kCorrupt, "tar stream: it begins with \"{}\"", first->path);
  }
  const bool is_directory = first->type == TarEntry::Type::kDirectory;
  const Destination target = TRY(find_destination(parse_copy_path(source_path), is_directory, to));
  TRY_IN(receive_entries(reader, std::move(*first), target, options), "copy to \"{}\"", to.label);
  return {};
}

Result<> receive_tar(const Source& source, const Side& to, const UnpackOptions& options) {
  const UniqueFd directory = TRY_IN(to.open(to.path, O_RDONLY | O_DIRECTORY), "\"{}\"", to.label);
  TarReader reader(source);
  Unpacker unpacker(directory.get(), options);
  while (const auto entry = TRY(reader.next())) {
    const std::string path = entry->path.starts_with("./") ? entry->path.substr(2) : entry->path;
    TRY(unpacker.add(*entry, path == "." ? std::string() : path, reader));
  }
  return unpacker.finish();
}

}  // namespace trivet::copy
