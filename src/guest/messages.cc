// The documents, printed.
#include "guest/messages.h"

#include "base/base64.h"
#include "oci/json_writer.h"

namespace trivet::guest {

namespace {

using oci::JsonWriter;

template <typename Print>
std::string print_object(Print&& print) {
  JsonWriter writer;
  writer.begin_object();
  print(writer);
  writer.end_object();
  return writer.text();
}

void print_file(JsonWriter& writer, const InlineFile& file) {
  writer.member("name", file.name);
  writer.member("mode", file.mode);
  writer.member("content", encode_base64(file.content));
}

void print_filter(JsonWriter& writer, const SeccompFilter& filter) {
  writer.member("instructions", encode_base64(filter.instructions));
  writer.optional_member("flags", filter.flags);
}

void print_route(JsonWriter& writer, const Route& route) {
  writer.member("destination", route.destination);
  writer.optional_member("gateway", route.gateway);
}

void print_interface(JsonWriter& writer, const Interface& interface) {
  writer.optional_member("mac", interface.mac);
  writer.member("name", interface.name);
  writer.optional_member("mtu", interface.mtu);
  writer.optional_member("addresses", interface.addresses);
  writer.objects("routes", interface.routes, print_route);
  writer.optional_member("completes_handshakes", interface.completes_handshakes);
}

void print_volume(JsonWriter& writer, const Volume& volume) {
  writer.member("name", volume.name);
  writer.member("mode", volume.mode);
  writer.optional_member("uid", volume.uid);
  writer.optional_member("gid", volume.gid);
  writer.optional_member("in_memory", volume.in_memory);
  writer.optional_member("size", volume.size);
  writer.optional_member("directories", volume.directories);
}

}  // namespace

std::string print(const Ready& message) {
  return print_object([&](JsonWriter& writer) {
    writer.member("version", message.version);
    writer.member("kernel", message.kernel);
  });
}

std::string print(const Wake& message) {
  return print_object([&](JsonWriter& writer) {
    writer.member("unix_ns", message.unix_ns);
    writer.member("entropy", message.entropy);
    writer.member("machine_id", message.machine_id);
  });
}

std::string print(const CreateRequest& message) {
  return print_object([&](JsonWriter& writer) {
    writer.member("config", message.config);
    writer.object("seccomp", message.seccomp, print_filter);
    writer.optional_member("lower_device", message.lower_device);
    writer.optional_member("scratch_device", message.scratch_device);
    writer.optional_member("lower_share", message.lower_share);
    writer.optional_member("share", message.share);
    writer.optional_member("blocks_signals", message.blocks_signals);
    writer.objects("files", message.files, print_file);
    writer.optional_member("hostname", message.hostname);
    writer.objects("interfaces", message.interfaces, print_interface);
    writer.objects("volumes", message.volumes, print_volume);
    writer.optional_member("infra", message.infra);
    writer.optional_member("joins", message.joins);
  });
}

std::string print(const ExecRequest& message) {
  return print_object([&](JsonWriter& writer) {
    writer.member("process", message.process);
    writer.optional_member("user", message.user);
    writer.optional_member("detach", message.detach);
    writer.optional_member("endsGroup", message.ends_group);
  });
}

std::string print(const CopyRequest& message) {
  return print_object([&](JsonWriter& writer) {
    writer.member("path", message.path);
    writer.optional_member("source", message.source);
  });
}

std::string print(const ConnectRequest& message) {
  return print_object([&](JsonWriter& writer) {
    writer.member("host", message.host);
    writer.member("port", uint32_t{message.port});
  });
}

std::string print(const Request& message) {
  return print_object([&](JsonWriter& writer) {
    writer.member("operation", message.operation);
    writer.optional_member("resources", message.resources);
    writer.optional_member("unix_ns", message.unix_ns);
  });
}

std::string print(const Stats& message) {
  return print_object([&](JsonWriter& writer) {
    writer.member("cpu_usage_ns", message.cpu_usage_ns);
    writer.member("cpu_user_ns", message.cpu_user_ns);
    writer.member("cpu_system_ns", message.cpu_system_ns);
    writer.member("memory_usage", message.memory_usage);
    writer.member("memory_limit", message.memory_limit);
    writer.member("memory_total", message.memory_total);
    writer.member("memory_free", message.memory_free);
    writer.member("pids", message.pids);
    writer.member("pids_limit", message.pids_limit);
    writer.member("block_read", message.block_read);
    writer.member("block_write", message.block_write);
    writer.member("net_rx", message.net_rx);
    writer.member("net_tx", message.net_tx);
    writer.member("oom_kills", message.oom_kills);
  });
}

}  // namespace trivet::guest
