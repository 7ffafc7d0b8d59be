// Walking a tree of YAML as typed fields. Problems are collected and reading goes on, so that one
// run finds all of them; a value that is wrong reads as its default.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "manifest/manifest.h"
#include "yaml/reader.h"

namespace trivet::manifest {

using yaml::Node;
using yaml::NodePtr;

class Problems {
 public:
  explicit Problems(bool ignore_unsupported) : ignore_unsupported_(ignore_unsupported) {}

  // "text", after its place. `hint` is what the reader can do.
  void wrong(const Place& place, std::string text, std::string hint = {});
  // What trivet does not do: a warning when that is asked for.
  void unsupported(const Place& place, std::string_view text);
  // A field that nobody knows: as above. `nearest` is what may have been meant, or empty.
  void unknown(const Place& place, const std::string& nearest);

  [[nodiscard]] bool none() const { return found_.empty(); }
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }
  // All in the order of the file.
  [[nodiscard]] Error error() const;

 private:
  void refuse(const Place& place, std::string text);

  struct Found {
    Place place;
    std::string text;
    std::string hint;
    ErrorCode code;
  };
  bool ignore_unsupported_;
  std::vector<Found> found_;
  std::vector<std::string> warnings_;
};

struct Range {
  int64_t least = 0;
  int64_t most = INT32_MAX;
};

// A node and where it is. Each reader below reports what does not fit.
class Value {
 public:
  Value(NodePtr node, Place place, Problems& problems)
      : node_(std::move(node)), place_(std::move(place)), problems_(&problems) {}

  [[nodiscard]] const Node& node() const { return *node_; }
  [[nodiscard]] const Place& place() const { return place_; }
  [[nodiscard]] Problems& problems() const { return *problems_; }

  [[nodiscard]] std::string text() const;
  [[nodiscard]] int64_t integer(Range range) const;
  [[nodiscard]] bool flag() const;
  // Text or a number, as it is written.
  [[nodiscard]] std::string word() const;
  [[nodiscard]] std::vector<Value> items() const;
  [[nodiscard]] std::vector<std::pair<std::string, Value>> members() const;
  [[nodiscard]] std::vector<std::string> texts() const;
  [[nodiscard]] std::map<std::string, std::string> text_map() const;
  // One of `known`; nothing (reported) otherwise.
  [[nodiscard]] std::optional<std::string> one_of(std::initializer_list<const char*> known) const;

  void wrong(std::string text, std::string hint = {}) const {
    problems_->wrong(place_, std::move(text), std::move(hint));
  }
  void unsupported(std::string_view text) const { problems_->unsupported(place_, text); }

 private:
  bool expect(Node::Kind kind) const;

  NodePtr node_;
  Place place_;
  Problems* problems_;
};

// The members of a map. What nobody has asked for by the end is reported as unknown.
class Fields {
 public:
  explicit Fields(const Value& value);
  Fields(const Fields&) = delete;
  Fields& operator=(const Fields&) = delete;
  ~Fields();

  [[nodiscard]] const Value& value() const { return value_; }
  [[nodiscard]] const Place& place() const { return value_.place(); }

  // Nothing when it is not there, or null.
  [[nodiscard]] std::optional<Value> find(const char* name);
  // The same, but has to be there.
  [[nodiscard]] std::optional<Value> need(const char* name);

  void read(const char* name, std::string& target);
  void read(const char* name, bool& target);
  void read(const char* name, std::vector<std::string>& target);
  void read(const char* name, std::map<std::string, std::string>& target);
  template <typename Integer>
  void read_integer(const char* name, Integer& target, Range range) {
    if (const auto value = find(name)) target = static_cast<Integer>(value->integer(range));
  }
  template <typename Integer>
  void read_integer(const char* name, std::optional<Integer>& target, Range range) {
    if (const auto value = find(name)) target = static_cast<Integer>(value->integer(range));
  }
  void read_flag(const char* name, std::optional<bool>& target) {
    if (const auto value = find(name)) target = value->flag();
  }

  // Fields that mean nothing on one host.
  void accept(std::initializer_list<const char*> names);
  // A field that trivet does not honour, and why.
  void refuse(const char* name, const char* why);

 private:
  Value value_;
  std::vector<std::string> known_;
};

// ---------------------------------------------------------------- the readers of the parts

// kubernetes names: lower-case letters, digits and "-"; with `dots` also ".". Reports others.
enum class Dots { kNo, kYes };
void check_name(const Value& value, const std::string& name, size_t most, Dots dots);
// Absolute; reports others.
void check_absolute(const Value& value, const std::string& path);
// Relative and without ".."; reports others.
void check_inside(const Value& value, const std::string& path);

Container read_container(const Value& value, Role role);
Volume read_volume(const Value& value);
// Probes and hooks may name a port of their container.
enum class ProbeKind { kStartup, kLiveness, kReadiness };
std::optional<Probe> read_probe(const Value& value, ProbeKind kind, const std::vector<Port>& ports);
void read_lifecycle(const Value& value, Container& container);
Resources read_resources(const Value& value);
ContainerSecurity read_container_security(const Value& value);
PodSecurity read_pod_security(const Value& value);
ResourceRef read_resource_ref(const Value& value);
// A downward API path: "metadata.name". Reports what can't be had.
enum class FieldUse { kVariable, kFile };
std::string read_field_ref(const Value& value, FieldUse use);
void read_pod_spec(const Value& value, Pod& pod);
// What needs the whole to be known: names used twice, volumes that are not there, and the like.
void validate(const Manifest& manifest, Problems& problems);

}  // namespace trivet::manifest
