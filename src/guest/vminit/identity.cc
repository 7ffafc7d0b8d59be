#include "guest/vminit/identity.h"

#include <array>
#include <cstddef>
#include <ctime>
#include <fcntl.h>
#include <sys/ioctl.h>

#include "base/fs.h"
#include <linux/random.h>

namespace trivet::guest {

namespace {

constexpr size_t kEntropyBytes = 64;

unsigned char digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned char>(c - '0');
  return static_cast<unsigned char>((c | 0x20) - 'a' + 10);
}

std::array<unsigned char, kEntropyBytes> parse_hex(std::string_view text) {
  std::array<unsigned char, kEntropyBytes> bytes{};
  for (size_t i = 0; i < bytes.size() && 2 * i + 1 < text.size(); ++i) {
    bytes.at(i) = static_cast<unsigned char>(digit(text[2 * i]) << 4U | digit(text[2 * i + 1]));
  }
  return bytes;
}

// Credited (random(4)), and mixed into what the next reader gets: without RNDRESEEDCRNG it would be
// the template's numbers still for some minutes.
Result<> add_entropy(std::string_view hex) {
  // A rand_pool_info, whose numbers are in an array without a length.
  struct {
    int entropy_count;  // bits
    int buf_size;       // bytes
    std::array<unsigned char, kEntropyBytes> bytes;
  } pool{.entropy_count = static_cast<int>(kEntropyBytes * 8),
         .buf_size = static_cast<int>(kEntropyBytes),
         .bytes = parse_hex(hex)};
  static_assert(offsetof(decltype(pool), bytes) == sizeof(rand_pool_info));
  const UniqueFd random = TRY(open_file("/dev/urandom", O_RDWR));
  if (::ioctl(random.get(), RNDADDENTROPY, &pool) != 0) return fail_errno("ioctl RNDADDENTROPY");
  if (::ioctl(random.get(), RNDRESEEDCRNG) != 0) return fail_errno("ioctl RNDRESEEDCRNG");
  return {};
}

}  // namespace

Result<> set_clock(int64_t unix_ns) {
  constexpr int64_t kSecond = 1'000'000'000;
  if (unix_ns < 0) return fail(ErrorCode::kInvalidArgument, "the time is before 1970");
  const timespec time{.tv_sec = unix_ns / kSecond, .tv_nsec = unix_ns % kSecond};
  if (::clock_settime(CLOCK_REALTIME, &time) != 0) return fail_errno("clock_settime");
  return {};
}

Result<> wake(const Wake& message) {
  TRY(set_clock(message.unix_ns));
  TRY(add_entropy(message.entropy));
  // In place: nobody reads it yet, and to replace a file runs more of the kernel for the first
  // time.
  const UniqueFd file =
      TRY(open_file("/etc/machine-id", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0444));
  return write_all(file.get(), message.machine_id + "\n", "/etc/machine-id");
}

}  // namespace trivet::guest
