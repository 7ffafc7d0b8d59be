#include "guest/vminit/console.h"

#include <string>
#include <sys/reboot.h>
#include <unistd.h>

#include "base/fs.h"

namespace trivet::guest {

void say(std::string_view line) {
  const std::string text = fmt::format("trivet-vminit: {}\n", line);
  (void)!::write(STDERR_FILENO, text.data(), text.size());
}

// Without ACPI the kernel has no way to power a machine off and would halt it for ever; a reset
// ends a VM that was told not to reboot.
void power_off() {
  ::sync();
  (void)::reboot(exists("/sys/firmware/acpi") ? RB_POWER_OFF : RB_AUTOBOOT);
  (void)::reboot(RB_AUTOBOOT);
  for (;;) ::pause();
}

void give_up(const Error& error) {
  say(error.message());
  power_off();
}

}  // namespace trivet::guest
