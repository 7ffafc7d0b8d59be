// The commands of `trivet vm`.
#include <memory>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/listing.h"
#include "cli/names.h"
#include "cli/outline.h"
#include "cli/session.h"

namespace trivet::cli {

namespace {

using Names = std::vector<std::string>;

Object kernel_object(const VmKernelInfo& kernel) {
  return {{"Id", kernel.id},         {"Release", kernel.release},     {"Source", kernel.source},
          {"Digest", kernel.digest}, {"Size", kernel.size},           {"Current", kernel.current},
          {"Acpi", kernel.acpi},     {"Directory", kernel.directory}, {"Modules", kernel.modules}};
}

struct SetupFlags {
  VmSetupOptions options;
  std::string format;
};

Result<int> setup(Session& session, SetupFlags& flags) {
  Engine* engine = TRY(session.engine());
  flags.options.progress = [](const std::string& text) { Session::status(text); };
  const VmSetup done = TRY(engine->setup_vm(flags.options));
  const VmKernelInfo& kernel = done.kernel;
  if (flags.format == "json") {
    Object object = kernel_object(kernel);
    object["WasThere"] = done.was_there;
    object["Initramfs"] = done.initramfs;
    session.print(dump_pretty(object));
    return 0;
  }
  session.print(fmt::format("{} kernel {} ({}, {})\n", done.was_there ? "there is" : "installed",
                            printable(kernel.release), kernel.id, format_size(kernel.size)));
  if (done.initramfs.empty()) {
    session.remark("trivet-vminit is not installed: microVMs can't be started without it");
  }
  return 0;
}

Result<int> list(Session& session, bool quiet, const std::string& format) {
  Engine* engine = TRY(session.engine());
  Listing listing{.headers = {"ID", "KERNEL", "SOURCE", "SIZE", "CURRENT"}};
  for (const VmKernelInfo& kernel : TRY(engine->vm_kernels())) {
    if (quiet) session.print(kernel.id + '\n');
    listing.add({kernel.id, kernel.release, kernel.source, format_size(kernel.size),
                 kernel.current ? "yes" : ""},
                kernel_object(kernel));
  }
  if (!quiet) session.print(TRY(render_listing(listing, format)));
  return 0;
}

}  // namespace

Command make_vm_setup() {
  Command command;
  const auto flags = std::make_shared<SetupFlags>();
  command.usages = {""};
  command.description =
      "Fetches a Linux kernel for microVMs, checks it, and keeps it with its digests below the "
      "data "
      "directory; nothing is installed on this host. From then on no network is needed. Where "
      "there "
      "is a kernel already, nothing is fetched unless an option says from where.";
  command
      .value("--kernel", "PACKAGE|FILE", flags->options.kernel,
             "Take the kernel from a Debian package, its file, a bzImage or a vmlinux")
      .defaults_to("linux-image-cloud-amd64")
      .completed_by(Completes::kFile);
  command
      .value("--modules", "DIR", flags->options.modules,
             "With a kernel's file: take its modules from here instead of /lib/modules")
      .completed_by(Completes::kDirectory);
  command.flag("--kernel-source", flags->options.from_source,
               "Build a small kernel, which starts faster, from Debian's linux-source-6.1");
  command
      .value("--from", "DIR", flags->options.from,
             "Copy the kernel that `trivet vm setup` has put into DIR")
      .completed_by(Completes::kDirectory);
  add_format_option(command, flags->format).one_of({"text", "json"}).defaults_to("text").help =
      "Print text or JSON";
  command.example("trivet vm setup", "Debian's kernel for virtual machines")
      .example("trivet vm setup --kernel /boot/vmlinuz-$(uname -r)", "The kernel of this host")
      .example("trivet vm setup --from /media/usb/vm", "On a host without a network");
  command.action = [flags](Session& session, const Names&) { return setup(session, *flags); };
  return command;
}

Command make_vm_ls() {
  struct Flags {
    bool quiet = false;
    std::string format;
  };
  Command command;
  const auto flags = std::make_shared<Flags>();
  command.usages = {""};
  command.description = "Lists the kernels for microVMs; the current one is first.";
  command.flag("-q,--quiet", flags->quiet, "Print ids only");
  add_format_option(command, flags->format).help =
      "Print a table, JSON, or a template such as '{{.Release}}'";
  command.example("trivet vm ls", "All kernels");
  command.action = [flags](Session& session, const Names&) {
    return list(session, flags->quiet, flags->format);
  };
  return command;
}

Command make_vm_info() {
  Command command;
  const auto format = std::make_shared<std::string>();
  command.usages = {""};
  command.description =
      "Shows what a microVM would be started with, what is missing and how to get it, and what is "
      "kept on disk for microVMs.";
  add_format_option(command, *format).one_of({"text", "json"}).defaults_to("text").help =
      "Print text, JSON, or a template such as '{{.Directory}}'";
  command.example("trivet vm info", "Why can't this host run microVMs?");
  command.action = [format](Session& session, const Names&) -> Result<int> {
    Engine* engine = TRY(session.engine());
    return print_document(session, TRY(engine->vm_info()), *format);
  };
  return command;
}

Command make_vm_rm() {
  Command command;
  command.takes("KERNEL...", 1, kAnyNumber, Completes::kNothing);
  command.description = "Removes kernels by id or release. Machines that run keep theirs.";
  command.example("trivet vm rm 6.1.0-56-cloud-amd64", "Remove one");
  command.action = [](Session& session, const Names& names) -> Result<int> {
    Engine* engine = TRY(session.engine());
    return for_each_name(session, "remove kernel", names,
                         [&](const std::string& name) { return engine->remove_vm_kernel(name); });
  };
  return command;
}

}  // namespace trivet::cli
