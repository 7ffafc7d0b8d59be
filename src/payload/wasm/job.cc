#include "payload/wasm/job.h"

#include "base/json.h"

namespace trivet::payload::wasm {

std::string print_job(const Job& job) {
  Json json{{"code", job.code},
            {"codeDirectory", job.code_directory},
            {"report", job.report},
            {"component", job.component},
            {"readOnly", job.read_only},
            {"invoke", job.invoke},
            {"memoryBytes", job.limits.memory_bytes},
            {"timeoutMs", job.limits.timeout.count()}};
  if (job.limits.fuel) json["fuel"] = *job.limits.fuel;
  return json.dump();
}

Result<Job> parse_job(std::string_view text) {
  const Json json = TRY(parse_json(text, kJobVariable));
  const JsonView view(json, kJobVariable);
  Job job;
  int64_t timeout = 0;
  TRY(view.read("code", job.code));
  TRY(view.read("codeDirectory", job.code_directory));
  TRY(view.read("report", job.report));
  TRY(view.read("component", job.component));
  TRY(view.read("readOnly", job.read_only));
  TRY(view.read("invoke", job.invoke));
  TRY(view.read("fuel", job.limits.fuel));
  TRY(view.read("memoryBytes", job.limits.memory_bytes));
  TRY(view.read("timeoutMs", timeout));
  job.limits.timeout = std::chrono::milliseconds(timeout);
  return job;
}

}  // namespace trivet::payload::wasm
