// pull and push.
#include <memory>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/run_options.h"
#include "cli/session.h"

namespace trivet::cli {

namespace {

using Names = std::vector<std::string>;

struct TransferFlags {
  TransferOptions transfer;
  bool quiet = false;
};

Result<> pull_one(Session& session, const TransferFlags& flags, const StopOnInterrupt& interrupt,
                  const std::string& name) {
  TransferOptions options = flags.transfer;
  options.stop = interrupt.token();
  if (!flags.quiet) options.progress = lazy_progress(name);
  Engine* engine = TRY(session.engine());
  auto image = engine->pull(name, options);
  if (!image) return std::unexpected(cannot("pull", name, std::move(image.error())));
  if (!flags.quiet) Session::status("Digest: " + image->digest);
  session.print(image->id + '\n');
  return session.flush();
}

Result<int> pull(Session& session, const TransferFlags& flags, const Names& names) {
  const StopOnInterrupt interrupt = TRY(StopOnInterrupt::install());
  int code = 0;
  for (const std::string& name : names) {
    auto pulled = pull_one(session, flags, interrupt, name);
    if (pulled) continue;
    if (names.size() == 1 || interrupt.token().stop_requested()) {
      return std::unexpected(std::move(pulled.error()));
    }
    session.report(pulled.error());
    code = 1;
  }
  return code;
}

Result<int> push(Session& session, const TransferFlags& flags, const Names& arguments) {
  const std::string& destination = arguments.back();
  const StopOnInterrupt interrupt = TRY(StopOnInterrupt::install());
  TransferOptions options = flags.transfer;
  options.stop = interrupt.token();
  if (!flags.quiet) options.progress = lazy_progress(destination, "Pushing");
  Engine* engine = TRY(session.engine());
  auto pushed = engine->push(arguments.front(), destination, options);
  if (!pushed) return std::unexpected(cannot("push", destination, std::move(pushed.error())));
  if (!flags.quiet) Session::status("Pushed " + destination);
  return 0;
}

}  // namespace

Command make_pull() {
  Command command;
  const auto flags = std::make_shared<TransferFlags>();
  command.takes("IMAGE...", 1, kAnyNumber, Completes::kImage);
  command.description =
      "Fetches an image with a bar for each layer, and prints its id. IMAGE is named as with "
      "Docker: busybox is docker.io/library/busybox:latest. What is already here is not fetched "
      "again, and a transfer that broke goes on where it stopped.";
  command.flag("-q,--quiet", flags->quiet, "Print nothing but the id");
  command.value("--platform", "OS/ARCH", flags->transfer.platform, "Fetch for another platform")
      .defaults_to("this host's");
  declare_transfer_options(command, flags->transfer);
  command.example("trivet pull debian:12", "From Docker Hub")
      .example("trivet pull --tls-verify=false localhost:5000/app", "From a registry without TLS");
  command.action = [flags](Session& session, const Names& names) {
    return pull(session, *flags, names);
  };
  return command;
}

Command make_push() {
  Command command;
  const auto flags = std::make_shared<TransferFlags>();
  command.takes("IMAGE [DESTINATION]", 1, 2, Completes::kImage);
  command.description = "Sends an image to the registry of its name, or under DESTINATION.";
  command.flag("-q,--quiet", flags->quiet, "Print nothing");
  declare_transfer_options(command, flags->transfer);
  command.example("trivet push app registry.example.com/team/app:1.0", "Send under another name");
  command.action = [flags](Session& session, const Names& arguments) {
    return push(session, *flags, arguments);
  };
  return command;
}

}  // namespace trivet::cli
