// The contract of GuestTransport, as tests: whatever the way into the guest is, commands, streams,
// exit codes and deadlines are the same. trivet-transport-contract has the tests (transport_main.cc
// says which guest), and so has the unit test of the SSH transport, against an sshd of this host.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "trivet/transport.h"

namespace trivet::transport {

// The guest has a POSIX shell, and cat, env, grep, id, printf, pwd, sleep, touch, yes, /proc.
struct Guest {
  std::function<std::unique_ptr<GuestTransport>()> connect;
  std::string user;     // who commands run as
  std::string workdir;  // where they start
  // What a program that is not there is: an error of the transport, or exit code 127 of a shell.
  bool missing_is_an_error = false;
  bool is_text_only = false;  // what is not UTF-8 is refused
  int patience = 1;           // all deadlines are multiplied by it
};

// Nothing where there is none: then the tests are skipped, or fail if the environment has CI set.
Guest* guest();
// Why there is none.
std::string missing_guest();

}  // namespace trivet::transport
