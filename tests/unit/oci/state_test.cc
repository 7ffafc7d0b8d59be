#include "oci/state.h"

#include <gtest/gtest.h>

#include "oci/features.h"
#include "oci/spec_names.h"

namespace trivet::oci {
namespace {

State running() {
  State state;
  state.id = "web";
  state.status = "running";
  state.pid = 42;
  state.bundle = "/b";
  state.annotations = {{"k", "v"}};
  return state;
}

TEST(State, PrintsForPeople) {
  State state = running();
  state.rootfs = "/b/rootfs";
  state.created = "2026-01-02T03:04:05.000000006Z";
  state.owner = "root";
  EXPECT_EQ(print_state(state), R"({
  "ociVersion": "1.3.0",
  "id": "web",
  "pid": 42,
  "status": "running",
  "bundle": "/b",
  "rootfs": "/b/rootfs",
  "created": "2026-01-02T03:04:05.000000006Z",
  "annotations": {
    "k": "v"
  },
  "owner": "root"
})");
}

TEST(State, PrintsForHooksAndLists) {
  const std::string line =
      R"({"ociVersion":"1.3.0","id":"web","pid":42,"status":"running","bundle":"/b",)"
      R"("annotations":{"k":"v"}})";
  EXPECT_EQ(print_state_line(running()), line);
  EXPECT_EQ(print_states({}), "[]");
  EXPECT_EQ(print_states({running(), running()}), "[" + line + "," + line + "]");
}

TEST(State, PrintsForASeccompListener) {
  State state = running();
  state.status = "creating";
  state.annotations.clear();
  EXPECT_EQ(print_container_process_state(state, 43, "m"),
            R"({"ociVersion":"1.3.0","fds":["seccompFd"],"pid":43,"metadata":"m","state":)"
            R"({"ociVersion":"1.3.0","id":"web","pid":42,"status":"creating","bundle":"/b"}})");
}

TEST(Features, LeavesOutWhatIsUnknownAndWritesWhatIsOff) {
  Features features;
  features.hooks.assign(known_hooks().begin(), known_hooks().begin() + 1);
  features.linux_features.emplace();
  features.linux_features->cgroup = {.v1 = true, .v2 = true};
  features.linux_features->selinux = false;
  features.linux_features->idmapped_mounts = true;
  EXPECT_EQ(print_features(features), R"({
    "ociVersionMin": "1.0.0",
    "ociVersionMax": "1.3.0",
    "hooks": [
        "prestart"
    ],
    "linux": {
        "cgroup": {
            "v1": true,
            "v2": true,
            "systemd": false,
            "systemdUser": false,
            "rdma": false
        },
        "selinux": {
            "enabled": false
        },
        "mountExtensions": {
            "idmap": {
                "enabled": true
            }
        }
    }
})");
}

TEST(Names, NamespacesAreInTheOrderOfTheirType) {
  EXPECT_EQ(namespace_name(NamespaceType::kPid), "pid");
  EXPECT_EQ(namespace_name(NamespaceType::kTime), "time");
  EXPECT_EQ(known_namespaces().size(), 8U);
}

}  // namespace
}  // namespace trivet::oci
