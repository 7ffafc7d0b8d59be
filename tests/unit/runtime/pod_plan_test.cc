// Golden tests: data/pods/NAME.yaml gives the plan NAME.json. After a wanted change
// TRIVET_UPDATE_GOLDEN=1 in the environment writes them anew.
#include "runtime/pod_plan.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace trivet::runtime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Object = nlohmann::ordered_json;

std::string read(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

Object describe(const pod::Action& action) {
  static const std::vector<const char*> kNames = {"exec", "http", "tcp", "grpc", "sleep"};
  Object object{{"kind", kNames.at(static_cast<size_t>(action.kind))}};
  if (!action.command.empty()) object["command"] = action.command;
  if (action.port != 0) object["port"] = action.port;
  if (action.kind == pod::Action::Kind::kHttp) object["path"] = action.path;
  if (action.https) object["https"] = true;
  if (!action.headers.empty()) object["headers"] = action.headers;
  if (!action.service.empty()) object["service"] = action.service;
  if (action.sleep_ms != 0) object["sleep_ms"] = action.sleep_ms;
  return object;
}

void add_probe(Object& object, const char* name, const std::optional<pod::Probe>& probe) {
  if (!probe) return;
  object[name] = {{"action", describe(probe->action)},
                  {"times_ms", {probe->initial_delay_ms, probe->period_ms, probe->timeout_ms}},
                  {"thresholds", {probe->success_threshold, probe->failure_threshold}}};
}

const char* restart_name(const RestartPolicy& policy) {
  switch (policy.kind) {
    case RestartPolicy::Kind::kNo:
      return "no";
    case RestartPolicy::Kind::kOnFailure:
      return "on-failure";
    case RestartPolicy::Kind::kAlways:
      return "always";
    case RestartPolicy::Kind::kUnlessStopped:
      break;
  }
  return "unless-stopped";
}

void add_limits(const RunOptions& options, Object& object) {
  if (options.memory) object["memory"] = *options.memory;
  if (options.memory_reservation) object["memory_reservation"] = *options.memory_reservation;
  if (options.cpu_quota) object["cpu"] = {*options.cpu_quota, *options.cpu_period};
  if (options.pids) object["pids"] = *options.pids;
  if (options.cpu_shares) object["cpu_shares"] = *options.cpu_shares;
}

void add_security(const PlannedContainer& planned, Object& object) {
  const RunOptions& options = planned.options;
  if (!options.user.empty()) object["user"] = options.user;
  if (!options.groups.empty()) object["groups"] = options.groups;
  if (!options.cap_add.empty()) object["cap_add"] = options.cap_add;
  if (!options.cap_drop.empty()) object["cap_drop"] = options.cap_drop;
  if (!options.security_opt.empty()) object["security_opt"] = options.security_opt;
  if (options.read_only) object["read_only"] = true;
  if (options.privileged) object["privileged"] = true;
  if (planned.must_not_be_root) object["must_not_be_root"] = true;
}

Object describe(const PlannedContainer& planned, const pod::PodContainer& record) {
  const RunOptions& options = planned.options;
  Object object{{"id", record.id},
                {"name", options.name},
                {"role", static_cast<int>(record.role)},
                {"image", options.image}};
  if (options.entrypoint) object["entrypoint"] = *options.entrypoint;
  object["command"] = options.command;
  object["env"] = options.env;
  if (!options.workdir.empty()) object["workdir"] = options.workdir;
  object["labels"] = options.labels;
  if (!options.annotations.empty()) object["annotations"] = options.annotations;
  object["restart"] = restart_name(options.restart);
  object["pull"] = options.pull;
  object["stop_timeout"] = options.stop_timeout.count();
  object["network"] = options.network;
  if (!options.pid_mode.empty()) object["pid_mode"] = options.pid_mode;
  if (!options.isolation.empty()) object["isolation"] = options.isolation;
  object["cgroup_parent"] = options.cgroup_parent;
  add_limits(options, object);
  add_security(planned, object);
  for (const MountOption& mount : options.mounts) {
    Object entry{{"type", mount.type}, {"source", mount.source}, {"to", mount.destination}};
    if (!mount.sub_path.empty()) entry["sub_path"] = mount.sub_path;
    entry["options"] = mount.options;
    object["mounts"].push_back(std::move(entry));
  }
  add_probe(object, "startup", record.startup);
  add_probe(object, "liveness", record.liveness);
  add_probe(object, "readiness", record.readiness);
  if (record.post_start) object["post_start"] = describe(*record.post_start);
  if (record.pre_stop) object["pre_stop"] = describe(*record.pre_stop);
  return object;
}

Object describe(const PodVolume& volume) {
  Object object{{"name", volume.name}, {"mode", fmt::format("{:04o}", volume.mode)}};
  if (volume.fs_group) object["fs_group"] = *volume.fs_group;
  for (const PodVolume::File& file : volume.files) {
    object["files"].push_back({file.path, fmt::format("{:04o}", file.mode), file.content});
  }
  if (!volume.directories.empty()) object["directories"] = volume.directories;
  return object;
}

Object describe(const pod::PodRecord& record) {
  Object object{{"id", record.id},
                {"name", record.name},
                {"namespace", record.name_space},
                {"isolation", record.isolation},
                {"hostname", record.hostname},
                {"share_pid", record.share_pid},
                {"network", net::mode_name(record.network)},
                {"cgroup_parent", record.cgroup_parent},
                {"grace_ms", record.grace_ms},
                {"start_timeout_ms", record.start_timeout_ms}};
  if (record.deadline_ms) object["deadline_ms"] = *record.deadline_ms;
  if (!record.resources.empty()) object["resources"] = Object::parse(record.resources);
  for (const net::PortMapping& port : record.ports) {
    object["ports"].push_back(net::format_port(port));
  }
  for (const pod::MemoryVolume& volume : record.memory_volumes) {
    object["memory_volumes"].push_back({volume.name, volume.size});
  }
  for (const pod::Extension& extension : record.extensions) {
    object["extensions"].push_back({extension.name, extension.path, extension.settings});
  }
  return object;
}

std::string describe(const PodPlan& plan) {
  Object object{{"record", describe(plan.record)}};
  for (size_t i = 0; i < plan.containers.size(); ++i) {
    object["containers"].push_back(describe(plan.containers[i], plan.record.containers[i]));
  }
  for (const PodVolume& volume : plan.volumes) object["volumes"].push_back(describe(volume));
  for (const HostPathUse& use : plan.host_paths) {
    object["host_paths"].push_back({use.volume, use.path, static_cast<int>(use.kind)});
  }
  object["hosts"] = {{"hostname", plan.hosts.hostname},
                     {"name", plan.hosts.name},
                     {"address", plan.hosts.address},
                     {"extra", plan.hosts.extra}};
  object["dns"] = {{"servers", plan.dns.servers},
                   {"searches", plan.dns.searches},
                   {"options", plan.dns.options}};
  if (!plan.sysctls.empty()) object["sysctls"] = plan.sysctls;
  if (!plan.warnings.empty()) object["warnings"] = plan.warnings;
  return object.dump(2) + "\n";
}

Result<PodPlan> plan(const std::string& text, const PodOptions& options = {}) {
  const manifest::Manifest manifest = TRY(manifest::parse_manifest(text, {.file = "pod.yaml"}));
  PodPlanInput input{.manifest = manifest,
                     .options = options,
                     .id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                     .directory = "/data/pods/ID",
                     .container_ids = {},
                     .host_name = "host",
                     .host_address = "192.0.2.1",
                     .address = "192.0.2.1",
                     .find_companion = [](const std::string& file) { return "/libexec/" + file; }};
  for (size_t i = 0; i < manifest.pod.containers.size(); ++i) {
    input.container_ids.push_back(fmt::format("container{}", i));
  }
  return plan_pod(input);
}

class PodPlanTest : public testing::TestWithParam<const char*> {};

TEST_P(PodPlanTest, IsAsExpected) {
  const std::string base = fmt::format("{}/pods/{}", TEST_DATA_DIR, GetParam());
  const auto made = plan(read(base + ".yaml"));
  ASSERT_TRUE(made) << made.error().message();
  const std::string text = describe(*made);
  if (std::getenv("TRIVET_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(base + ".json") << text;
    return;
  }
  EXPECT_EQ(text, read(base + ".json"));
}

INSTANTIATE_TEST_SUITE_P(All, PodPlanTest,
                         testing::Values("smallest", "program", "volumes", "security", "probes",
                                         "network", "hostnetwork", "microvm"),
                         [](const auto& name) { return std::string(name.param); });

constexpr const char* kSmallest =
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n"
    "  - {name: app, image: busybox}\n";

TEST(PodPlan, OptionsGoBeforeTheManifest) {
  PodOptions options;
  options.name = "other";
  options.isolation = "wasm";
  options.pull = "never";
  options.publish = {"8080:80"};
  options.extensions = {"dns", "own=/opt/own"};
  const auto made = plan(kSmallest, options);
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(made->record.name, "other");
  EXPECT_EQ(made->record.isolation, "wasm");
  EXPECT_EQ(made->containers[0].options.name, "other-app");
  EXPECT_EQ(made->containers[0].options.isolation, "wasm");
  EXPECT_EQ(made->containers[0].options.pull, "never");
  ASSERT_EQ(made->record.ports.size(), 1U);
  EXPECT_EQ(made->record.ports[0].host_port, 8080);
  ASSERT_EQ(made->record.extensions.size(), 2U);
  EXPECT_EQ(made->record.extensions[0].path, "/libexec/trivet-dns");
  EXPECT_EQ(made->record.extensions[1].path, "/opt/own");
}

TEST(PodPlan, WhatIsConfiguredIsWeakerThanTheManifest) {
  PodOptions options;
  options.default_isolation = "microvm";
  EXPECT_EQ(plan(kSmallest, options)->record.isolation, "microvm");
  options.isolation = "auto";
  EXPECT_EQ(plan(kSmallest, options)->record.isolation, "native") << "an option says it";
  options.isolation = "";
  const std::string own = std::string(kSmallest).replace(
      std::string_view(kSmallest).find("spec:"), 5, "spec:\n  runtimeClassName: trivet-wasm");
  EXPECT_EQ(plan(own, options)->record.isolation, "wasm");
  options.default_isolation = "native";
  EXPECT_EQ(plan(kSmallest, options)->containers[0].options.isolation, "");
  options.default_isolation = "microvm";
  const std::string host = std::string(kSmallest).replace(std::string_view(kSmallest).find("spec:"),
                                                          5, "spec:\n  hostNetwork: true");
  const auto refused = plan(host, options);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().hint_text(), HasSubstr("--isolation native"));
}

TEST(PodPlan, TheHostSaysHowLongAndHowLarge) {
  PodOptions options;
  options.start_timeout = std::chrono::seconds(7);
  options.microvm_max_cpus = 2;
  const std::string greedy = std::string(kSmallest).replace(
      std::string_view(kSmallest).find("{name: web}"), 11,
      "{name: web, annotations: {dev.trivet.vm.max-cpus: '64', dev.trivet.vm.max-memory: 1t}}");
  const auto made = plan(greedy, options);
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(made->record.start_timeout_ms, 7000);
  for (const auto& annotations :
       {made->record.annotations, made->containers[0].options.annotations}) {
    EXPECT_EQ(annotations.at("dev.trivet.vm.max-cpus"), "2");
    EXPECT_FALSE(annotations.contains("dev.trivet.vm.max-memory")) << "the standard";
  }
}

TEST(PodPlan, WhatCannotBeIsSaid) {
  PodOptions unknown;
  unknown.extensions = {"nothing"};
  EXPECT_THAT(plan(kSmallest, unknown).error().message(), HasSubstr("no extension \"nothing\""));
  PodOptions isolation;
  isolation.isolation = "docker";
  EXPECT_THAT(plan(kSmallest, isolation).error().message(), HasSubstr("unknown isolation"));
  const auto small =
      plan(std::string(kSmallest).replace(std::string_view(kSmallest).find("image: busybox"), 14,
                                          "image: busybox, resources: {limits: {memory: 1k}}"));
  EXPECT_THAT(small.error().message(), HasSubstr("pod.yaml:6:5: spec.containers[0]: a memory"));
}

TEST(PodPlan, AMachineAmongOthersHasItsPorts) {
  const std::string text =
      "apiVersion: v1\nkind: Pod\n"
      "metadata: {name: web, annotations: {dev.trivet.isolation/vm: microvm}}\nspec:\n"
      "  containers:\n  - {name: app, image: busybox, ports: [{containerPort: 81}]}\n"
      "  - name: vm\n    image: busybox\n    ports:\n"
      "    - {containerPort: 80, hostPort: 8080}\n    - {containerPort: 80, hostPort: 8081}\n"
      "    - {containerPort: 53, protocol: UDP}\n";
  const auto made = plan(text);
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(made->record.isolation, "native");
  EXPECT_EQ(made->containers[1].options.isolation, "microvm");
  EXPECT_EQ(made->containers[1].options.annotations.at("dev.trivet.vm.ports"), "80/tcp 53/udp");
  EXPECT_FALSE(made->containers[0].options.annotations.contains("dev.trivet.vm.ports"));
  PodOptions one_machine;
  one_machine.isolation = "microvm";
  EXPECT_FALSE(
      plan(text, one_machine)->containers[1].options.annotations.contains("dev.trivet.vm.ports"));
}

TEST(PodPlan, ASubPathOfVariablesStaysInside) {
  const std::string text =
      "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n"
      "  - name: app\n    image: busybox\n    env: [{name: WHERE, value: VALUE}]\n"
      "    volumeMounts: [{name: data, mountPath: /d, subPathExpr: a/$(WHERE)}]\n"
      "  volumes: [{name: data, emptyDir: {}}]\n";
  const auto with = [&](const std::string& value) {
    std::string changed = text;
    return plan(changed.replace(changed.find("VALUE"), 5, value));
  };
  EXPECT_THAT(with("b")->volumes[0].directories, ElementsAre("a/b"));
  EXPECT_THAT(with("..").error().message(), HasSubstr("pod.yaml:9:20: "));
  EXPECT_FALSE(with("$(NOTHING)"));
}

}  // namespace
}  // namespace trivet::runtime
