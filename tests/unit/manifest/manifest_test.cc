#include "manifest/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "manifest/expand.h"
#include "manifest/quantity.h"
#include "yaml/reader.h"

namespace trivet::manifest {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

// A pod with `spec` beside one container, and `container` in it; both indented as they come.
std::string pod_text(const std::string& container, const std::string& spec = "") {
  return fmt::format(
      "apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n  containers:\n"
      "  - name: app\n    image: busybox\n{}{}",
      container, spec);
}

Manifest read(const std::string& text) {
  auto manifest = parse_manifest(text, {});
  EXPECT_TRUE(manifest) << manifest.error().message();
  return manifest ? std::move(*manifest) : Manifest{.pod = {.containers = {Container{}}}};
}

TEST(ManifestTest, TheSmallestPodHasKubernetesDefaults) {
  const Pod pod = read(pod_text("")).pod;
  EXPECT_EQ(pod.name, "web");
  EXPECT_EQ(pod.name_space, "default");
  EXPECT_EQ(pod.restart, RestartPolicy::kAlways);
  EXPECT_EQ(pod.grace_seconds, 30);
  ASSERT_EQ(pod.containers.size(), 1U);
  EXPECT_EQ(pod.containers[0].image, "busybox");
  EXPECT_EQ(pod.containers[0].pull_policy, "");
  EXPECT_TRUE(pod.containers[0].security.allow_privilege_escalation);
}

TEST(ManifestTest, JsonIsYaml) {
  const Pod pod = read(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"web"},)"
                       R"("spec":{"containers":[{"name":"a","image":"b\/c","tty":true}]}})")
                      .pod;
  EXPECT_EQ(pod.containers[0].image, "b/c");
  EXPECT_TRUE(pod.containers[0].tty);
}

// The style in which Kubernetes' documentation writes its examples since 2025.
TEST(ManifestTest, JsonWithCommentsAndTrailingCommas) {
  const Pod pod = read(
                      "---\n{\n  apiVersion: \"v1\",\n  kind: \"Pod\",\n"
                      "  metadata: {\n    name: \"web\",\n  },\n  spec: {\n"
                      "    containers: [{\n      name: \"a\", # of several\n"
                      "      image: \"b\",\n      args: [\n        \"-c\",\n      ],\n"
                      "    }],\n  }, # the end\n}\n")
                      .pod;
  EXPECT_EQ(pod.containers[0].image, "b");
  EXPECT_THAT(pod.containers[0].args, ElementsAre("-c"));
}

TEST(ManifestTest, InitContainersComeFirstAndSidecarsAreAmongThem) {
  const Pod pod = read(pod_text("",
                                "  initContainers:\n"
                                "  - {name: first, image: i}\n"
                                "  - {name: side, image: i, restartPolicy: Always}\n"))
                      .pod;
  ASSERT_EQ(pod.containers.size(), 3U);
  EXPECT_EQ(pod.containers[0].role, Role::kInit);
  EXPECT_EQ(pod.containers[1].role, Role::kSidecar);
  EXPECT_EQ(pod.containers[2].role, Role::kMain);
}

TEST(ManifestTest, ConfigMapsAndSecretsOfTheSameFile) {
  const Manifest manifest = read(
      "apiVersion: v1\nkind: List\nitems:\n"
      "- {apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: \"1\"}}\n"
      "- {apiVersion: v1, kind: Secret, metadata: {name: s}, data: {k: dTpw}, "
      "stringData: {t: plain}}\n"
      "---\n" +
      pod_text("    envFrom: [{configMapRef: {name: c}, prefix: P_}]\n"));
  EXPECT_THAT(manifest.config_maps.at("c").entries, ElementsAre(Pair("a", "1")));
  EXPECT_THAT(manifest.secrets.at("s").entries, ElementsAre(Pair("k", "u:p"), Pair("t", "plain")));
  EXPECT_EQ(manifest.pod.containers[0].env_from[0].prefix, "P_");
}

TEST(ManifestTest, ConfigMapsOfOtherFiles) {
  const std::string config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: x}\n";
  const std::string pod = pod_text("    envFrom: [{configMapRef: {name: c}}]\n");
  EXPECT_FALSE(parse_manifest(pod, {}));
  const auto manifest = parse_manifest(pod, {.configs = {{"c.yaml", config}}});
  ASSERT_TRUE(manifest) << manifest.error().message();
  EXPECT_EQ(manifest->config_maps.at("c").entries.at("a"), "x");
}

TEST(ManifestTest, NamedPortsOfProbesAreFound) {
  const Pod pod = read(pod_text("    ports: [{name: http, containerPort: 8080}]\n"
                                "    readinessProbe: {httpGet: {port: http, path: ok}}\n"))
                      .pod;
  ASSERT_TRUE(pod.containers[0].readiness);
  EXPECT_EQ(pod.containers[0].readiness->action.port, 8080);
  EXPECT_EQ(pod.containers[0].readiness->action.path, "/ok");
}

TEST(ManifestTest, ModesAreOctalAsInKubernetes) {
  const Manifest manifest =
      read(pod_text("",
                    "  volumes:\n  - {name: v, secret: {secretName: s, defaultMode: 0400}}\n"
                    "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"));
  EXPECT_EQ(manifest.pod.volumes[0].file_mode, 0400U);
}

TEST(ManifestTest, FieldsOfTheSchedulerMeanNothing) {
  const Manifest manifest = read(pod_text(
      "",
      "  nodeSelector: {disk: ssd}\n  tolerations: [{key: a, operator: Exists}]\n"
      "  affinity: {nodeAffinity: {}}\n  priorityClassName: high\nstatus: {phase: Running}\n"));
  EXPECT_THAT(manifest.warnings, IsEmpty());
}

TEST(ManifestTest, WhatIsNotHonouredCanBeLeftOut) {
  const std::string text = pod_text("    newThing: 1\n", "  hostIPC: true\n");
  const auto refused = parse_manifest(text, {.file = "p.yaml"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kUnsupported);
  const auto manifest = parse_manifest(text, {.file = "p.yaml", .ignore_unsupported = true});
  ASSERT_TRUE(manifest) << manifest.error().message();
  EXPECT_THAT(manifest->warnings,
              testing::UnorderedElementsAre(
                  "p.yaml:8:5: spec.containers[0].newThing: unknown field: left out",
                  HasSubstr("hostIPC")));
}

// What `kubectl get pod -o yaml` prints: what the API server has added means nothing here, and its
// token can be left out.
TEST(ManifestTest, APodAsAClusterGivesItOut) {
  const std::string text = R"(apiVersion: v1
kind: Pod
metadata:
  annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}
  creationTimestamp: "2026-01-02T03:04:05Z"
  generateName: web-
  labels: {app: web}
  name: web-abcde
  namespace: default
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: x, controller: true}]
  resourceVersion: "123"
  uid: 01234567-89ab-cdef-0123-456789abcdef
spec:
  containers:
  - image: busybox
    imagePullPolicy: Always
    name: app
    env: [{name: CPU, valueFrom: {resourceFieldRef: {divisor: "0", resource: limits.cpu}}}]
    resources: {limits: {cpu: "1"}, requests: {cpu: 100m}}
    terminationMessagePath: /dev/termination-log
    terminationMessagePolicy: File
    volumeMounts:
    - {mountPath: /var/run/secrets/kubernetes.io/serviceaccount, name: kube-api-access, readOnly: true}
  dnsPolicy: ClusterFirst
  enableServiceLinks: true
  nodeName: node1
  preemptionPolicy: PreemptLowerPriority
  priority: 0
  restartPolicy: Always
  schedulerName: default-scheduler
  securityContext: {}
  serviceAccount: default
  serviceAccountName: default
  terminationGracePeriodSeconds: 30
  tolerations:
  - {effect: NoExecute, key: node.kubernetes.io/not-ready, operator: Exists, tolerationSeconds: 300}
  volumes:
  - name: kube-api-access
    projected:
      defaultMode: 420
      sources:
      - serviceAccountToken: {expirationSeconds: 3607, path: token}
      - configMap: {items: [{key: ca.crt, path: ca.crt}], name: kube-root-ca.crt}
      - downwardAPI:
          items:
          - {fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}, path: namespace}
status: {phase: Running, podIP: 10.0.0.1, conditions: [{type: Ready, status: "True"}]}
)";
  const auto refused = parse_manifest(text, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kUnsupported);
  const auto manifest = parse_manifest(text, {.ignore_unsupported = true});
  ASSERT_TRUE(manifest) << manifest.error().message();
  EXPECT_EQ(manifest->warnings.size(), 2U);
  EXPECT_EQ(manifest->pod.volumes[0].file_mode, 0644U);
}

TEST(ManifestTest, AnnotationsChooseIsolationAndExtensions) {
  std::string text = pod_text("", "  runtimeClassName: krun\n");
  text.replace(text.find("{name: web}"), 11,
               "{name: web, annotations: {dev.trivet.isolation/app: microvm, "
               "dev.trivet.extensions: 'dns, own=/x', dev.trivet.extension/dns: '{}'}}");
  const Pod pod = read(text).pod;
  EXPECT_EQ(pod.isolation, "microvm");
  EXPECT_EQ(pod.containers[0].isolation, "microvm");
  ASSERT_EQ(pod.extensions.size(), 2U);
  EXPECT_EQ(pod.extensions[0].settings, "{}");
  EXPECT_EQ(pod.extensions[1].path, "/x");
}

TEST(ManifestTest, AMachineAmongOthersSharesTheirNetworkAlone) {
  const auto with = [](const std::string& field) {
    std::string text = pod_text("", field);
    text.replace(text.find("{name: web}"), 11,
                 "{name: web, annotations: {dev.trivet.isolation/app: microvm}}");
    const auto manifest = parse_manifest(text, {.ignore_unsupported = true});
    return manifest ? "" : manifest.error().message();
  };
  EXPECT_EQ(with(""), "");
  EXPECT_THAT(with("  hostNetwork: true\n"), HasSubstr("can't have the host's network"));
  EXPECT_THAT(with("  hostPID: true\n"), HasSubstr("no part in hostPID"));
  EXPECT_THAT(with("  shareProcessNamespace: true\n"), HasSubstr("shareProcessNamespace"));
  EXPECT_EQ(with("  runtimeClassName: trivet-microvm\n  shareProcessNamespace: true\n"), "");
}

TEST(ManifestTest, AProbesHostIsAnAddress) {
  const auto with = [](const std::string& host) {
    return parse_manifest(
        pod_text("    livenessProbe: {tcpSocket: {port: 80, host: '" + host + "'}}\n"), {});
  };
  for (const char* host : {"", "localhost", "192.0.2.1", "fd00::1"}) {
    const auto manifest = with(host);
    ASSERT_TRUE(manifest) << manifest.error().message();
    EXPECT_EQ(manifest->pod.containers[0].liveness->action.host, host);
  }
  EXPECT_THAT(with("db.example").error().message(),
              HasSubstr("tcpSocket.host: not supported: names"));
}

TEST(ManifestTest, MergeKeysAndAliasesOfYaml) {
  const Pod pod = read(
                      "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n"
                      "  - &base\n    name: a\n    image: i\n    args: [one]\n"
                      "  - <<: *base\n    name: b\n")
                      .pod;
  ASSERT_EQ(pod.containers.size(), 2U);
  EXPECT_EQ(pod.containers[1].name, "b");
  EXPECT_EQ(pod.containers[1].image, "i");
  EXPECT_THAT(pod.containers[1].args, ElementsAre("one"));
}

TEST(ManifestTest, RequestsDefaultToLimits) {
  const Resources resources =
      read(pod_text("    resources: {limits: {cpu: 500m, memory: 64Mi}, requests: {cpu: 0.1}}\n"))
          .pod.containers[0]
          .resources;
  EXPECT_EQ(resources.cpu_limit, 500);
  EXPECT_EQ(resources.cpu_request, 100);
  EXPECT_EQ(resources.memory_limit, 64 << 20);
  EXPECT_EQ(resources.memory_request, 64 << 20);
}

TEST(YamlTest, LimitsAreKept) {
  EXPECT_EQ(yaml::parse_yaml(std::string(yaml::kMaxYamlBytes + 1, ' '), "f").error().code(),
            ErrorCode::kLimitExceeded);
  const std::string deep(yaml::kMaxYamlDepth + 2, '[');
  EXPECT_EQ(yaml::parse_yaml(deep, "f").error().code(), ErrorCode::kLimitExceeded);
  std::string many;
  for (size_t i = 0; i <= yaml::kMaxYamlDocuments; ++i) many += "---\na: 1\n";
  EXPECT_EQ(yaml::parse_yaml(many, "f").error().code(), ErrorCode::kLimitExceeded);
  EXPECT_FALSE(yaml::parse_yaml("a: &a [*a]", "f"));
}

TEST(YamlTest, ScalarsAreThoseOfKubernetes) {
  const auto kind = [](const std::string& text) {
    const auto documents = yaml::parse_yaml("[" + text + "]", "f");
    return documents ? (*documents)[0]->items[0]->kind : yaml::Node::Kind::kMap;
  };
  for (const char* text : {"80", "-1", "0644", "0x1f", "1.5", ".5", "1e3", "1_000"}) {
    EXPECT_EQ(kind(text), yaml::Node::Kind::kNumber) << text;
  }
  for (const char* text : {"500m", "64Mi", "1.2.3", "-", ".", "0x", "a", "\"80\"", "'true'"}) {
    EXPECT_EQ(kind(text), yaml::Node::Kind::kText) << text;
  }
  for (const char* text : {"true", "no", "On"})
    EXPECT_EQ(kind(text), yaml::Node::Kind::kBool) << text;
  for (const char* text : {"null", "~"}) EXPECT_EQ(kind(text), yaml::Node::Kind::kNull) << text;
}

TEST(QuantityTest, UnitsAndRounding) {
  const std::vector<std::pair<const char*, int64_t>> thousandths = {
      {"100m", 100},   {"1", 1000},      {"0.5", 500}, {".5", 500},  {"1.0001", 1001},
      {"2k", 2000000}, {"1e3", 1000000}, {"5u", 1},    {"+1", 1000}, {"0", 0}};
  for (const auto& [text, value] : thousandths) {
    EXPECT_EQ(parse_thousandths(text).value_or(-1), value) << text;
  }
  EXPECT_EQ(*parse_units("64Mi"), 64 << 20);
  EXPECT_EQ(*parse_units("1.5Gi"), 3LL << 29);
  EXPECT_EQ(*parse_units("128974848000m"), 128974848);
  EXPECT_EQ(*parse_units("1500m"), 2);
  EXPECT_EQ(*parse_units("7Ei"), 7LL << 60);
  for (const char* wrong : {"", "m", "1MB", "64mb", "-1", "1 Mi", "1e", "1e99", "9Ei", ".", "1..2",
                            "99999999999999999999", "1Mi2"}) {
    EXPECT_FALSE(parse_units(wrong)) << wrong;
  }
}

TEST(ExpandTest, KubernetesRules) {
  const Lookup lookup = [](const std::string& name) -> std::optional<std::string> {
    if (name == "A") return "1";
    if (name == "B") return "$(A)";
    return std::nullopt;
  };
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"", ""},         {"x", "x"},        {"$(A)", "1"},      {"a$(A)b$(A)", "a1b1"},
      {"$(C)", "$(C)"}, {"$$(A)", "$(A)"}, {"$$$(A)", "$1"},   {"$A", "$A"},
      {"$(A", "$(A"},   {"$", "$"},        {"$(B)", "$(A)"},   {"$()", "$()"},
      {"100$", "100$"}, {"$$", "$"},       {"a$b$(A)", "a$b1"}};
  for (const auto& [text, expected] : cases) EXPECT_EQ(expand(text, lookup), expected) << text;
}

}  // namespace
}  // namespace trivet::manifest
