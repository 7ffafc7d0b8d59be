#include "payload/microvm/kernel_image.h"

#include <cstring>
#include <elf.h>

namespace trivet::payload::microvm {

namespace {

// Offsets in the first sectors of a bzImage, boot protocol 2.08 and later.
constexpr size_t kSetupSectors = 0x1f1;
constexpr size_t kBootMagic = 0x202;
constexpr size_t kProtocol = 0x206;
constexpr size_t kPayloadOffset = 0x248;
constexpr size_t kPayloadLength = 0x24c;
constexpr size_t kSector = 512;
constexpr uint16_t kFirstWithPayload = 0x208;

// XEN_ELFNOTE_PHYS32_ENTRY: the address where a VMM enters the kernel in 32-bit mode.
constexpr uint32_t kPvhNote = 18;
constexpr size_t kMaxHeaders = 64;
constexpr size_t kMaxRelease = 64;

template <typename T>
T read_or_zero(std::string_view bytes, uint64_t offset) {
  T value{};
  if (offset <= bytes.size() && bytes.size() - offset >= sizeof value) {
    std::memcpy(&value, bytes.data() + offset, sizeof value);
  }
  return value;
}

uint64_t align4(uint64_t size) {
  return (size + 3) & ~uint64_t{3};
}

bool has_pvh_note(std::string_view notes) {
  while (notes.size() >= sizeof(Elf64_Nhdr)) {
    const auto note = read_or_zero<Elf64_Nhdr>(notes, 0);
    const std::string_view name = notes.substr(sizeof note).substr(0, note.n_namesz);
    if (note.n_type == kPvhNote && name.starts_with("Xen")) return true;
    const uint64_t whole = sizeof note + align4(note.n_namesz) + align4(note.n_descsz);
    if (whole > notes.size()) return false;
    notes.remove_prefix(whole);
  }
  return false;
}

bool can_boot_directly(std::string_view vmlinux, const Elf64_Ehdr& header) {
  for (uint64_t i = 0; i < header.e_phnum && i < kMaxHeaders; ++i) {
    const auto segment = read_or_zero<Elf64_Phdr>(vmlinux, header.e_phoff + i * sizeof(Elf64_Phdr));
    if (segment.p_type != PT_NOTE || segment.p_offset > vmlinux.size()) continue;
    if (has_pvh_note(vmlinux.substr(segment.p_offset).substr(0, segment.p_filesz))) return true;
  }
  return false;
}

std::string find_release(std::string_view vmlinux) {
  constexpr std::string_view kBanner = "Linux version ";
  for (size_t at = vmlinux.find(kBanner); at != std::string_view::npos;
       at = vmlinux.find(kBanner, at + 1)) {
    const std::string_view text = vmlinux.substr(at + kBanner.size()).substr(0, kMaxRelease);
    // The first of them may be a format, "Linux version %s".
    if (text.empty() || text[0] < '0' || text[0] > '9') continue;
    return std::string(text.substr(0, text.find(' ')));
  }
  return {};
}

}  // namespace

KernelFormat kernel_format(std::string_view bytes) {
  if (bytes.starts_with(ELFMAG)) return KernelFormat::kVmlinux;
  if (bytes.size() > kPayloadLength && bytes.substr(kBootMagic, 4) == "HdrS") {
    return KernelFormat::kBzImage;
  }
  return KernelFormat::kUnknown;
}

Result<Payload> find_payload(std::string_view image) {
  if (kernel_format(image) != KernelFormat::kBzImage) {
    return fail(ErrorCode::kCorrupt, "it is no bzImage");
  }
  if (read_or_zero<uint16_t>(image, kProtocol) < kFirstWithPayload) {
    return fail(ErrorCode::kUnsupported, "its boot protocol is older than 2.08");
  }
  const auto sectors = static_cast<unsigned char>(image[kSetupSectors]);
  const uint64_t setup = ((sectors == 0 ? 4U : sectors) + 1) * kSector;
  const uint64_t begin = setup + read_or_zero<uint32_t>(image, kPayloadOffset);
  const uint64_t length = read_or_zero<uint32_t>(image, kPayloadLength);
  constexpr size_t kSizeBytes = 4;
  if (begin > image.size() || length > image.size() - begin || length <= kSizeBytes) {
    return fail(ErrorCode::kCorrupt, "it is cut off");
  }
  // The build appends the uncompressed size to the output of every compressor; gzip has it there
  // itself, as a part of its own format.
  Payload payload{.compressed = image.substr(begin, length),
                  .size = read_or_zero<uint32_t>(image, begin + length - kSizeBytes)};
  if (!payload.compressed.starts_with("\x1f\x8b")) payload.compressed.remove_suffix(kSizeBytes);
  if (payload.size == 0 || payload.size > kMaxKernelBytes) {
    return fail(ErrorCode::kCorrupt, "it says that its kernel has {} bytes", payload.size);
  }
  return payload;
}

Result<std::string> check_vmlinux(std::string_view vmlinux) {
  const auto header = read_or_zero<Elf64_Ehdr>(vmlinux, 0);
  if (!vmlinux.starts_with(ELFMAG)) return fail(ErrorCode::kCorrupt, "it is no ELF file");
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64) {
    return fail(ErrorCode::kUnsupported, "it is no kernel for x86-64");
  }
  std::string release = find_release(vmlinux);
  if (release.empty()) return fail(ErrorCode::kCorrupt, "it is no Linux kernel");
  if (!can_boot_directly(vmlinux, header)) {
    return std::unexpected(
        Error(ErrorCode::kUnsupported,
              fmt::format("Linux {} can't be booted without a boot loader", release))
            .hint("it must be built with CONFIG_PVH=y, as Debian's kernels are"));
  }
  return release;
}

bool needs_acpi(std::string_view vmlinux, std::string_view config) {
  constexpr std::string_view kOption = "CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES=y";
  if (!config.empty()) return config.find(kOption) == std::string_view::npos;
  // The name of the parameter that takes them, where virtio_mmio is built in.
  return vmlinux.find(std::string_view("virtio_mmio.device\0", 19)) == std::string_view::npos;
}

}  // namespace trivet::payload::microvm
