#include "monitor/monitor.h"

#include <unistd.h>

#include "base/fs.h"
#include "monitor/attach.h"
#include "monitor/traces.h"

namespace trivet::monitor {

Result<> Monitor::prepare() {
  const std::string runtime = options_.directories.runtime(options_.id);
  TRY(make_dirs(runtime, 0700));
  lock_ = TRY(take_lock(runtime));
  record_ = TRY(read_record(options_.directories, options_.id));
  TRY(clear_leftovers());
  status_.monitor = TRY(identify_process(getpid()));
  log_ =
      TRY(LogWriter::open(options_.directories.container(options_.id) + "/logs",
                          {.max_size = record_.log_max_size, .max_files = record_.log_max_files}));
  listener_ = TRY(listen_for_clients(runtime));
  TRY(loop_.watch(listener_.get(), EPOLLIN, [this](uint32_t) { accept_clients(); }));
  if (!options_.attach) return {};
  TRY(add_client(std::move(options_.attach), Client::Kind::kForeground));
  // The size of the terminal is waiting there: the program shall find it.
  (void)read_client(clients_.front());
  return {};
}

// What a monitor that was killed has left. Its container may still run: nobody can take that over.
Result<> Monitor::clear_leftovers() const {
  const Status old = TRY(read_status(options_.directories, options_.id));
  if (old.monitor.pid == 0) return {};
  if (is_alive(old.init)) {
    return std::unexpected(
        Error(ErrorCode::kWrongState, "the container still runs, but its monitor was killed")
            .hint("`trivet rm -f` removes it"));
  }
  TRY(net::stop_pasta(old.pasta));
  return container::Container::force_remove(options_.directories.engine(), options_.id);
}

void Monitor::note_failed_start(const Error& error) {
  status_.phase = Phase::kExited;
  status_.error = error.message();
  status_.exit_code = exit_code_for(error);
  status_.finished = std::chrono::system_clock::now();
}

pid_t Monitor::init() const {
  return life_ && life_->container ? life_->container->init().pid : 0;
}

void Monitor::save_status() {
  auto saved = write_status(options_.directories, options_.id, status_);
  // A full disk: there is nobody to tell but whoever asks later.
  if (!saved && status_.error.empty()) status_.error = saved.error().message();
}

void Monitor::leave() {
  if (std::exchange(left_, true)) return;
  for (const Timer timer :
       {Timer::kTimeout, Timer::kGrace, Timer::kDrain, Timer::kRestart, Timer::kTrim}) {
    loop_.clear_timer(timer, this);
  }
  status_.monitor = {};
  std::optional<Record> removed;
  if (record_.remove) {
    // As it is now: it may have been renamed.
    removed = read_record(options_.directories, options_.id).value_or(record_);
    if (const auto hidden = hide_traces(options_.directories, *removed); !hidden) {
      status_.error = hidden.error().message();
      removed.reset();
    }
  }
  if (!removed) {
    save_status();
    (void)::unlink((options_.directories.runtime(options_.id) + "/attach.sock").c_str());
  }
  // From here on another monitor may start the container again. One that goes keeps the lock until
  // this process ends.
  if (!record_.remove) lock_.reset();
  say_goodbye(make_frame(Frame::kExit, status_.exit_code));
  // Nobody waits for it any more. Should it not come to that, `prune` does it.
  if (remains_) (void)remains_->remove(container::Container::Force::kYes);
  if (removed) (void)remove_hidden_traces(options_.directories, *removed);
  for (const ProcessId& pasta : strays_) (void)net::stop_pasta(pasta);
  // A pod outlives it, whose machine waits for the connection that this has a copy of to be closed.
  past_.reset();
}

}  // namespace trivet::monitor
