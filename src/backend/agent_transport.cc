#include "trivet/runtime.h"
#include "trivet/transport.h"

namespace trivet {

namespace {

class AgentTransport final : public GuestTransport {
 public:
  AgentTransport(Runtime runtime, std::string container)
      : runtime_(std::move(runtime)), container_(runtime_.container(std::move(container))) {}

  [[nodiscard]] std::string_view name() const override { return "agent"; }
  Result<int> exec(const ExecCommand& command, const ExecStdio& stdio) override {
    return runtime_.exec_stdio(container_, command, stdio);
  }
  Result<std::vector<std::string>> login_command(const std::vector<std::string>& argv) override {
    return argv.empty() ? container_.login_command() : container_.login_command(argv);
  }

 private:
  Runtime runtime_;
  Container container_;
};

}  // namespace

std::unique_ptr<GuestTransport> make_agent_transport(const Runtime& runtime,
                                                     std::string container) {
  return std::make_unique<AgentTransport>(runtime, std::move(container));
}

}  // namespace trivet
