// libtrivet-metrics.so: the extension that shows a pod's numbers to Prometheus and others that read
// OpenMetrics; see docs/extensions.md.
#include <mutex>
#include <optional>

#include "pod/metrics/endpoint.h"
#include "pod/metrics/settings.h"
#include "pod/metrics/text.h"
#include "trivet/extension.h"

namespace trivet::metrics {

namespace {

using extension::Context;
using extension::Event;
using extension::EventKind;
using extension::Outcome;

class Metrics final : public extension::Extension {
 public:
  [[nodiscard]] std::string name() const override { return "metrics"; }

  Outcome<> on_start(Context& context) override {
    const auto ports = parse_settings(context.settings());
    if (!ports) return std::unexpected(ports.error());
    context_ = context;
    pod_ = {.id = std::string(context.pod_id()),
            .name = std::string(context.pod_name()),
            .hostname = std::string(context.hostname())};
    if (auto started = endpoint_.start(ports->pod); !started) {
      return std::unexpected(std::move(started).error());
    }
    if (!ports->host) return {};
    if (auto given = context.request_port("tcp", *ports->host, ports->pod); !given) {
      return std::unexpected(std::move(given).error());
    }
    return {};
  }

  void on_event(const Event& event, Context& /*context*/) override {
    const std::lock_guard lock(mutex_);
    if (event.kind == EventKind::kStopping) return;
    Heard& heard = heard_[event.container];
    if (event.kind == EventKind::kHealthy) heard.healthy = true;
    if (event.kind == EventKind::kUnhealthy || event.kind == EventKind::kExited) {
      heard.healthy = false;
    }
    if (event.kind == EventKind::kExited) {
      ++heard.exits;
      heard.last_exit_code = event.exit_code;
    }
  }

 private:
  // Called by the endpoint's thread.
  std::optional<std::string> make() {
    const auto numbers = context_->numbers();
    if (!numbers) return std::nullopt;
    const std::lock_guard lock(mutex_);
    return print_metrics(pod_, *numbers, heard_);
  }

  std::optional<Context> context_;
  PodFacts pod_;
  std::mutex mutex_;
  std::map<std::string, Heard> heard_;
  Endpoint endpoint_{[this] { return make(); }};
};

}  // namespace

}  // namespace trivet::metrics

TRIVET_EXTENSION(trivet::metrics::Metrics)
