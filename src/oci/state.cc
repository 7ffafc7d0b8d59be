#include "oci/state.h"

#include "oci/json_writer.h"

namespace trivet::oci {

namespace {

void write_state(JsonWriter& writer, const State& state) {
  writer.member("ociVersion", state.oci_version);
  writer.member("id", state.id);
  writer.member("pid", state.pid);
  writer.member("status", state.status);
  writer.member("bundle", state.bundle);
  writer.optional_member("rootfs", state.rootfs);
  writer.optional_member("created", state.created);
  writer.optional_member("annotations", state.annotations);
  writer.optional_member("owner", state.owner);
}

}  // namespace

std::string print_state(const State& state) {
  constexpr unsigned kIndent = 2;
  JsonWriter writer(kIndent);
  writer.begin_object();
  write_state(writer, state);
  writer.end_object();
  return writer.text();
}

std::string print_state_line(const State& state) {
  JsonWriter writer;
  writer.begin_object();
  write_state(writer, state);
  writer.end_object();
  return writer.text();
}

std::string print_states(const std::vector<State>& states) {
  std::string text = "[";
  for (const State& state : states) {
    if (text.size() > 1) text += ',';
    text += print_state_line(state);
  }
  return text += ']';
}

std::string print_container_process_state(const State& state, pid_t process,
                                          const std::string& metadata) {
  JsonWriter writer;
  writer.begin_object();
  writer.member("ociVersion", state.oci_version);
  writer.member("fds", std::vector<std::string>{"seccompFd"});
  writer.member("pid", process);
  writer.optional_member("metadata", metadata);
  writer.object("state", state, write_state);
  writer.end_object();
  return writer.text();
}

}  // namespace trivet::oci
