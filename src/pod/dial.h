// Connections into a pod's network.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet::pod {

// Begins a TCP connection to an address (numeric IPv4 or IPv6; "localhost" and "" are 127.0.0.1),
// on a non-blocking socket of the given network namespace (negative: this process's own). It may be
// under way still: the socket can be written to, or has an error, when poll(2) says so.
//
// The calling thread visits that namespace (setns(2): CAP_SYS_ADMIN there and here); a process
// whose other threads open sockets meanwhile is not disturbed, for namespaces are a thread's.
Result<UniqueFd> begin_connection(int network_namespace, const std::string& host, uint16_t port);

// The error of a connection that was under way (SO_ERROR): success when there is none.
Result<> finish_connection(int socket);

}  // namespace trivet::pod
