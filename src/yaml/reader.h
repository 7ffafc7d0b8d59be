// YAML (and with it JSON) as a tree whose nodes know their line. Aliases are shared subtrees; what
// the tree would weigh with all of them written out is limited, so that a small file can't blow up.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace trivet::yaml {

struct Node;
using NodePtr = std::shared_ptr<const Node>;

struct Node {
  enum class Kind { kNull, kBool, kNumber, kText, kList, kMap };
  struct Member {
    std::string name;
    int line = 0;
    int column = 0;
    NodePtr value;
  };
  Kind kind = Kind::kNull;
  std::string text;   // of a scalar, as it is written
  bool flag = false;  // kBool
  int line = 0;       // from 1
  int column = 0;
  std::vector<NodePtr> items;   // kList
  std::vector<Member> members;  // kMap, in the order of the file; no name twice
  size_t weight = 1;            // nodes of this subtree, those behind aliases counted each time
};
// "a list", "text", …: for messages.
[[nodiscard]] const char* kind_text(Node::Kind kind);

inline constexpr size_t kMaxYamlBytes = 1U << 20U;
inline constexpr int kMaxYamlDepth = 50;
inline constexpr size_t kMaxYamlNodes = 50000;
inline constexpr size_t kMaxYamlDocuments = 200;

// The documents of `text`, those without content left out. Scalars mean what they mean to
// Kubernetes, which is YAML 1.1 with JSON's types: 0644 is octal, `yes` and `on` are true.
// kInvalidArgument with "FILE:LINE:COLUMN: …", kLimitExceeded.
Result<std::vector<NodePtr>> parse_yaml(std::string_view text, const std::string& file);

// A kNumber's integer: decimal, 0x…, 0o… and octal with a leading 0. kInvalidArgument.
Result<int64_t> integer_of(const Node& node);

}  // namespace trivet::yaml
