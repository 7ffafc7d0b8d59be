// A container that was prepared and waits, until a client has it started: those of pools.
//
// The monitor is the one who decides who gets it: it has one thread, and the first kStart wins.
#include <csignal>
#include <unistd.h>

#include "monitor/attach.h"
#include "monitor/monitor.h"
#include "monitor/pool_member.h"

namespace trivet::monitor {

// What is noted is what the recovery needs, so that it has to be written.
Result<> Monitor::hold() {
  waits_ = true;
  status_.init = life_->container->init();
  status_.pasta = life_->pasta.value_or(ProcessId{});
  auto noted = write_status(options_.directories, options_.id, status_);
  if (noted) noted = watch_init();
  if (!noted) {
    waits_ = false;
    Result<> failed = abandon(std::move(noted).error());
    note_failed_start(failed.error());
    return failed;
  }
  settle_in(std::chrono::milliseconds(0));
  return {};
}

void Monitor::end_waiting() {
  (void)life_->container->kill(SIGKILL);
}

// Nobody has ever had it: it leaves nothing, and no policy applies.
void Monitor::waiting_ended() {
  waits_ = false;
  record_.remove = true;
  status_.stopped_by_user = true;
  life_->from_stdout.reset();
  life_->from_stderr.reset();
  leave_pool();
}

Result<> Monitor::start_held(int client_fd, std::string_view payload) {
  if (!waits_ || life_->init_ended) {
    return fail(ErrorCode::kWrongState, "the container has been started already");
  }
  const StartRequest request = TRY(parse_start_request(payload));
  if (request.discard) {
    end_waiting();
    return {};
  }
  TRY(become_taken(request));
  waits_ = false;
  loop_.clear_timer(Timer::kTrim, this);
  if (Client* client = find_client(client_fd); client != nullptr && request.foreground) {
    client->become_foreground();
  }
  auto started = run_taken();
  if (!started) {
    note_failed_start(started.error());
    record_.remove = true;
    end_for_good();
  }
  leave_pool();
  return started;
}

// On disk it is the taker's from here on. A failure leaves it waiting.
Result<> Monitor::become_taken(const StartRequest& request) {
  // As it is now: it may have been renamed.
  Record record = TRY(read_record(options_.directories, options_.id));
  record.remove = request.remove;
  if (!request.name.empty()) record.name = request.name;
  if (request.timeout_ms) record.timeout_ms = request.timeout_ms;
  TRY(write_record(options_.directories, record));
  record_ = std::move(record);
  return {};
}

Result<> Monitor::run_taken() {
  if (auto started = life_->container->start(); !started) {
    loop_.forget(life_->container->init_pidfd());
    return abandon(std::move(started).error());
  }
  note_running();
  return watch_life();
}

// After the status is written: whoever misses the entry finds out what became of the container.
void Monitor::leave_pool() const {
  const auto pool = read_pool_of(options_.directories, options_.id);
  if (!pool || pool->empty()) return;
  (void)::unlink(pool_entry(options_.directories, *pool, options_.id).c_str());
}

}  // namespace trivet::monitor
