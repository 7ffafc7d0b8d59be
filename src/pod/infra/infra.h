// The program of the infra container.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "pod/infra/extension_process.h"
#include "pod/line_buffer.h"

namespace trivet::pod {

class Infra {
 public:
  // `socket` leads to the supervisor.
  static Result<std::unique_ptr<Infra>> create(UniqueFd socket);
  // Until SIGTERM, or until the supervisor is gone.
  Result<> run();

 private:
  Infra(EventLoop loop, UniqueFd socket) : loop_(std::move(loop)), socket_(std::move(socket)) {}
  Result<> watch();
  void serve_signals();
  void reap();
  void serve_socket(uint32_t events);
  Result<> read_some();
  Result<> write_some();
  void obey(const InfraOrder& order);
  Result<> launch(const InfraOrder& order);
  void report(const InfraReport& report);

  EventLoop loop_;
  UniqueFd socket_;
  UniqueFd signals_;
  LineBuffer input_{kMaxExtensionLine};
  std::string pending_;
  std::map<std::string, std::unique_ptr<ExtensionProcess>> extensions_;
};

}  // namespace trivet::pod
