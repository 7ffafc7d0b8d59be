#include "pod/metrics/text.h"

#include <array>
#include <cinttypes>
#include <cstdio>
#include <string_view>

namespace trivet::metrics {

namespace {

// A label's value, with what the format has to have escaped.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string print_seconds(uint64_t nanoseconds) {
  constexpr uint64_t kSecond = 1'000'000'000;
  std::array<char, 40> text{};
  (void)std::snprintf(text.data(), text.size(), "%" PRIu64 ".%09" PRIu64, nanoseconds / kSecond,
                      nanoseconds % kSecond);
  return text.data();
}

class Families {
 public:
  // Every sample of a family follows its head: families are not mixed.
  void begin(const char* name, const char* type, const char* unit, const char* help) {
    name_ = name;
    text_ += "# TYPE " + name_ + " " + type + "\n";
    if (*unit != '\0') text_ += "# UNIT " + name_ + " " + unit + "\n";
    text_ += "# HELP " + name_ + " " + help + "\n";
  }
  void add(const char* suffix, const std::string& labels, const std::string& value) {
    text_ += name_ + suffix + "{" + labels + "} " + value + "\n";
  }
  std::string finish() && { return std::move(text_) + "# EOF\n"; }

 private:
  std::string name_;
  std::string text_;
};

std::string label_of(const std::string& container) {
  return "container=" + quoted(container);
}

// One number of every container.
struct Family {
  const char* name;
  const char* type;
  const char* unit;
  const char* help;
  const char* suffix;
  std::string (*value)(const extension::Numbers& numbers);
};
constexpr auto kFamilies = std::to_array<Family>({
    {"trivet_container_running", "gauge", "", "Whether the container runs.", "",
     [](const extension::Numbers& n) { return std::string(n.running ? "1" : "0"); }},
    {"trivet_container_restarts", "counter", "", "How often it was started again.", "_total",
     [](const extension::Numbers& n) { return std::to_string(n.restarts); }},
    {"trivet_container_cpu_seconds", "counter", "seconds",
     "Processor time of all its processes since it was started.", "_total",
     [](const extension::Numbers& n) { return print_seconds(n.cpu_usage_ns); }},
    {"trivet_container_memory_usage_bytes", "gauge", "bytes",
     "Memory that its cgroup accounts for.", "",
     [](const extension::Numbers& n) { return std::to_string(n.memory_usage); }},
    {"trivet_container_memory_limit_bytes", "gauge", "bytes", "Its limit of memory; +Inf: none.",
     "",
     [](const extension::Numbers& n) {
       return n.memory_limit == 0 ? std::string("+Inf") : std::to_string(n.memory_limit);
     }},
    {"trivet_container_tasks", "gauge", "", "Its processes and threads.", "",
     [](const extension::Numbers& n) { return std::to_string(n.pids); }},
});

void add_heard(Families& families, const std::vector<extension::Numbers>& containers,
               const std::map<std::string, Heard>& heard) {
  const auto find = [&](const std::string& name) {
    const auto found = heard.find(name);
    return found == heard.end() ? Heard{} : found->second;
  };
  families.begin("trivet_container_healthy", "gauge", "", "Whether its probes find it ready.");
  for (const auto& container : containers) {
    families.add("", label_of(container.name), find(container.name).healthy ? "1" : "0");
  }
  families.begin("trivet_container_exits", "counter", "", "How often it has ended.");
  for (const auto& container : containers) {
    families.add("_total", label_of(container.name), std::to_string(find(container.name).exits));
  }
  families.begin("trivet_container_last_exit_code", "gauge", "", "Of its last end; 0 before one.");
  for (const auto& container : containers) {
    families.add("", label_of(container.name), std::to_string(find(container.name).last_exit_code));
  }
}

}  // namespace

std::string print_metrics(const PodFacts& pod, const std::vector<extension::Numbers>& containers,
                          const std::map<std::string, Heard>& heard) {
  Families families;
  families.begin("trivet_pod", "info", "", "The pod that these numbers are of.");
  families.add(
      "_info",
      "id=" + quoted(pod.id) + ",name=" + quoted(pod.name) + ",hostname=" + quoted(pod.hostname),
      "1");
  for (const Family& family : kFamilies) {
    families.begin(family.name, family.type, family.unit, family.help);
    for (const auto& container : containers) {
      families.add(family.suffix, label_of(container.name), family.value(container));
    }
  }
  add_heard(families, containers, heard);
  return std::move(families).finish();
}

}  // namespace trivet::metrics
