// The supervisor: the parent of one pod, in the program trivet-pod-monitor. It makes the pod in two
// phases and holds it to its end. One thread, one loop, on which the monitors of all its containers
// are too.
//
//   prepare     every container exists and waits before its program: a failure costs nothing
//   commit      init containers in order, then all others; probes; then it runs, as a whole
//   serve       restarts, probes, extensions, until its containers have ended or it is stopped
//
// A failure before the end of commit rolls everything back (remove.h); each step is in the journal
// before it is done, so that anybody can do the same after a kill -9.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "container/container.h"
#include "monitor/monitor.h"
#include "net/network.h"
#include "pod/infra.h"
#include "pod/journal.h"
#include "pod/machine.h"
#include "pod/probe.h"
#include "pod/record.h"

namespace trivet::pod {

struct SupervisorOptions {
  PodPaths paths;
  Journal journal;
  UniqueFd sync;  // the library, which waits for the outcome and cancels by going away
};

class Supervisor {
 public:
  // Runs the pod to its end.
  static Result<> run(SupervisorOptions options);

 private:
  enum class Timer { kStart, kDeadline, kGrace, kEnded };

  // One container of the pod.
  struct Member {
    const PodContainer* plan = nullptr;
    std::unique_ptr<monitor::Monitor> monitor;
    ActionTarget target;
    std::unique_ptr<RunningAction> hook;  // postStart or preStop
    std::unique_ptr<ProbeLoop> startup;
    std::unique_ptr<ProbeLoop> liveness;
    std::unique_ptr<ProbeLoop> readiness;
    bool running = false;
    bool started = false;
    bool ready = false;
    bool ended = false;     // for good
    bool stopping = false;  // its preStop hook or its stop signal is under way
    std::string message;    // of the last probe that failed
  };

  Supervisor(SupervisorOptions options, EventLoop loop)
      : paths_(options.paths),
        journal_(std::move(options.journal)),
        sync_(std::move(options.sync)),
        loop_(std::move(loop)) {}

  // --- supervisor.cc: the process, and the end
  Result<> prepare();
  Result<> listen();
  void handle_signals();
  void accept_client();
  void handle_client(int fd);
  [[nodiscard]] bool owns(pid_t pid) const;
  void report(const Result<>& started);
  Error give_up(Error cause);
  void abandon_children();
  Result<> serve();
  void finish();
  void save_status();
  [[nodiscard]] int exit_code() const;

  // --- supervisor_start.cc: the steps up to a running pod
  Result<> start_pod();
  Result<> make_mounts();
  void unmount_all() const;
  Result<> make_infra();
  Result<> create_infra(UniqueFd channel, const oci::Spec& spec);
  Result<> start_extensions();
  [[nodiscard]] Result<> limit_pod() const;
  Result<> start_network();
  Result<uint16_t> request_port(const std::string& protocol, uint16_t host, uint16_t guest);
  Result<> create_containers();
  Result<> finish_network();
  Result<> run_init_containers();
  Result<> start_containers();
  Result<> await_ready();
  Result<> commit();
  [[nodiscard]] std::vector<monitor::JoinedNamespace> joined_namespaces() const;
  [[nodiscard]] monitor::JoinedNamespace joined_network() const;
  [[nodiscard]] std::string late(const Member& member) const;
  // Turns the loop until `done`, or something has failed the pod. `limit` passed is kTimeout with
  // `what` as its message.
  template <typename Done, typename What>
  Result<> await(Done done, std::optional<std::chrono::milliseconds> limit, What what);

  // --- supervisor_machine.cc: a pod that is one microVM
  [[nodiscard]] bool is_machine() const { return record_.isolation == "microvm"; }
  Result<> create_machine(int channel, oci::Spec spec);
  Result<> start_machine_network();
  Result<UniqueFd> connect_for(const Member& member, const std::string& host, uint16_t port) const;
  static std::optional<ContainerNumbers> numbers_in_machine(const container::Container& container);
  // A container that is a microVM of its own, in a pod that is none.
  [[nodiscard]] Result<bool> has_own_machine(const PodContainer& plan) const;

  // --- supervisor_members.cc: the containers' lives
  Result<> create_member(const PodContainer& plan);
  Result<> start_member(Member& member);
  void member_runs(Member& member);
  void watch_startup(Member& member);
  void member_started(Member& member);
  void watch_liveness(Member& member);
  void watch_readiness(Member& member);
  void set_ready(Member& member, bool ready);
  void member_fails(Member& member, const Error& error,
                    std::optional<int64_t> grace_ms = std::nullopt);
  void member_exited(Member& member, int code);
  void member_ended(Member& member);
  static void stop_watching(Member& member);
  Result<container::Started> exec_in(Member& member, const std::vector<std::string>& command,
                                     int stdout_fd, int stderr_fd) const;
  static Error ended_early(const Member& member, int code);
  [[nodiscard]] std::vector<ContainerNumbers> numbers() const;
  void send(const Event& event);

  // --- supervisor_stop.cc
  void stop_pod(std::chrono::milliseconds grace, const std::string& reason);
  void stop_next();
  void stop_member(Member& member);
  void kill_members();
  void fail(Error error);
  void infra_ended();
  void extension_not_started(Error error);
  void note_lost_machine(int exit_code);
  void end_shell();

  PodPaths paths_;
  Journal journal_;
  UniqueFd sync_;
  EventLoop loop_;
  UniqueFd lock_;
  UniqueFd signals_;
  UniqueFd listener_;
  std::list<UniqueFd> clients_;
  PodRecord record_;
  PodStatus status_;
  std::optional<Machine> machine_;
  std::optional<container::Container> infra_;
  std::unique_ptr<InfraChannel> channel_;
  UniqueFd network_namespace_;
  std::vector<net::PortMapping> ports_;  // those of the manifest and of extensions
  std::optional<net::PastaStart> pasta_;
  std::list<Member> members_;
  std::optional<Error> failure_;  // before it runs: what the rollback is for
  bool committed_ = false;
  bool over_ = false;  // every container has ended for good
  std::optional<EventLoop::Clock::time_point> stop_by_;
};

}  // namespace trivet::pod
