#include "backend/trivet_backend.h"

#include "backend/log_pipe.h"
#include "base/paths.h"
#include "runtime/default_runtime.h"

namespace trivet::backend {

namespace {

class TrivetBackend final : public Backend {
 public:
  TrivetBackend(Engine engine, EngineOptions options, TrivetDefaults defaults)
      : engine_(std::make_shared<Engine>(std::move(engine))),
        options_(std::move(options)),
        defaults_(std::move(defaults)) {}

  [[nodiscard]] std::string_view name() const override {
    return defaults_.isolation.empty() ? "trivet" : std::string_view(defaults_.isolation);
  }

  Result<std::string> create(const RunOptions& options) override {
    return name_of(TRY(engine_->create(with_defaults(options))));
  }
  Result<std::string> run(const RunOptions& options) override;
  Result<> start(const std::string& container) override {
    return engine_->start(TRY(id_of(container)));
  }
  Result<> stop(const std::string& container, std::chrono::seconds grace) override {
    return engine_->stop(TRY(id_of(container)), grace);
  }
  Result<int> wait(const std::string& container, std::optional<std::chrono::milliseconds> timeout,
                   std::stop_token stop) override {
    return engine_->wait(TRY(id_of(container)), timeout, stop);
  }
  Result<> remove(const std::string& container, Force force) override {
    return engine_->remove(TRY(id_of(container)), force == Force::kYes, true);
  }
  Result<ContainerInfo> find(const std::string& container, RwSize rw_size) override;
  Result<std::vector<ContainerInfo>> list(const ContainerQuery& query) override;
  Result<> copy_in(const std::string& container, const std::filesystem::path& source,
                   const std::string& destination) override;
  Result<int> exec(const std::string& container, const ExecCommand& command,
                   const ExecStdio& stdio) override {
    return engine_->exec_stdio(TRY(id_of(container)), command, stdio);
  }
  Result<std::vector<std::string>> login_command(const std::string& container,
                                                 const std::vector<std::string>& argv) override;
  Result<std::unique_ptr<LogSource>> logs(const std::string& container,
                                          const LogOptions& options) override;

  Result<ImageInfo> find_image(const std::string& image) override { return engine_->image(image); }
  Result<std::vector<ImageInfo>> list_images() override { return engine_->images(); }
  Result<std::vector<ImageHistoryEntry>> image_history(const std::string& image) override {
    return engine_->image_history(image);
  }
  Result<> remove_image(const std::string& image, Force force) override {
    TRY(engine_->remove_image(image, force == Force::kYes));
    return {};
  }

 private:
  [[nodiscard]] RunOptions with_defaults(RunOptions options) const;
  Result<std::string> id_of(const std::string& container);
  Result<std::string> name_of(const std::string& id);

  std::shared_ptr<Engine> engine_;
  EngineOptions options_;
  TrivetDefaults defaults_;
};

RunOptions TrivetBackend::with_defaults(RunOptions options) const {
  if (options.isolation.empty()) options.isolation = defaults_.isolation;
  if (!defaults_.default_runtime.empty()) {
    options.annotations.try_emplace(runtime::kDefaultRuntimeAnnotation, defaults_.default_runtime);
  }
  options.experimental = options.experimental || defaults_.experimental;
  return options;
}

// The engine takes the beginning of an id, too: as a guess at what a person means, not as the name
// of something that a program is going to remove.
Result<ContainerInfo> TrivetBackend::find(const std::string& container, RwSize rw_size) {
  auto info = TRY(engine_->find(container, rw_size == RwSize::kMeasure));
  if (info.name == container || info.id == container) return info;
  return fail(ErrorCode::kNotFound, "there is no container \"{}\"", container);
}

Result<std::string> TrivetBackend::id_of(const std::string& container) {
  return TRY(find(container, RwSize::kSkip))
  .id;
}

Result<std::string> TrivetBackend::name_of(const std::string& id) {
  return TRY(find(id, RwSize::kSkip))
  .name;
}

Result<std::string> TrivetBackend::run(const RunOptions& options) {
  RunOptions detached = with_defaults(options);
  detached.detach = true;
  const std::string id = TRY(engine_->run(detached))
  .id;
  if (!options.name.empty()) return options.name;
  // With `remove` it may have ended, and be gone, by now.
  return name_of(id).value_or(id);
}

Result<std::vector<ContainerInfo>> TrivetBackend::list(const ContainerQuery& query) {
  auto all = TRY(engine_->list(true, query.rw_size == RwSize::kMeasure));
  std::erase_if(all, [&](const ContainerInfo& info) { return !query.matches(info.name); });
  return all;
}

Result<> TrivetBackend::copy_in(const std::string& container, const std::filesystem::path& source,
                                const std::string& destination) {
  // "-" is the process's own standard input to the engine.
  const std::string path = source == "-" ? "./-" : source.string();
  return engine_->copy_in(TRY(id_of(container)), path, destination);
}

Result<std::vector<std::string>> TrivetBackend::login_command(
    const std::string& container, const std::vector<std::string>& argv) {
  const std::string beside = find_companion("trivet");
  std::vector<std::string> command{beside.empty() ? "trivet" : beside};
  if (!options_.data_dir.empty()) command.insert(command.end(), {"--data-dir", options_.data_dir});
  if (!options_.state_dir.empty()) {
    command.insert(command.end(), {"--state-dir", options_.state_dir});
  }
  command.insert(command.end(), {"exec", "-it", container});
  command.insert(command.end(), argv.begin(), argv.end());
  return command;
}

Result<std::unique_ptr<LogSource>> TrivetBackend::logs(const std::string& container,
                                                       const LogOptions& options) {
  const auto read = [engine = engine_, id = TRY(id_of(container)), options](
                        const std::stop_token& stop,
                        const std::function<void(const LogLine&)>& sink) -> Result<> {
    LogOptions own = options;
    own.stop = stop;
    return engine->logs(id, own, sink);
  };
  return make_log_pipe(read, options.stop);
}

}  // namespace

Result<std::shared_ptr<Backend>> open_trivet(const EngineOptions& options,
                                             TrivetDefaults defaults) {
  Engine engine = TRY(Engine::open(options));
  return std::make_shared<TrivetBackend>(std::move(engine), options, std::move(defaults));
}

}  // namespace trivet::backend
