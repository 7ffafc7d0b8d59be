// What microVMs are made of: archives, modules, kernels as files, and the store of kernels.
#include <cstring>
#include <elf.h>
#include <fcntl.h>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "base/sha256.h"
#include "payload/microvm/cpio.h"
#include "payload/microvm/initramfs.h"
#include "payload/microvm/kernel_image.h"
#include "payload/microvm/kernel_modules.h"
#include "payload/microvm/kernel_store.h"
#include "payload/scratch.h"

namespace trivet::payload::microvm {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename T>
void append(std::string& out, const T& value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// An ELF64 object with one named section.
std::string make_object(const std::string& section, const std::string& content) {
  const std::string names = std::string(1, '\0') + section + '\0' + ".shstrtab" + '\0';
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_machine = EM_X86_64;
  header.e_shoff = sizeof header + content.size() + names.size();
  header.e_shnum = 3;
  header.e_shstrndx = 2;
  Elf64_Shdr data{};
  data.sh_name = 1;
  data.sh_offset = sizeof header;
  data.sh_size = content.size();
  Elf64_Shdr strings{};
  strings.sh_name = static_cast<Elf64_Word>(section.size() + 2);
  strings.sh_offset = sizeof header + content.size();
  strings.sh_size = names.size();
  std::string object;
  append(object, header);
  object += content + names;
  append(object, Elf64_Shdr{});
  append(object, data);
  append(object, strings);
  return object;
}

std::string make_module(const std::string& depends, const std::string& softdep = "") {
  std::string info = std::string("license=GPL") + '\0';
  if (!softdep.empty()) info += "softdep=" + softdep + '\0';
  info += "depends=" + depends + '\0';
  return make_object(".modinfo", info);
}

// As the kernel's build leaves it: an ELF file with a PVH note and a banner.
std::string make_vmlinux(uint32_t note_type = 18) {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_machine = EM_X86_64;
  header.e_phoff = sizeof header;
  header.e_phnum = 1;
  std::string notes;
  for (const uint32_t type : {6U, note_type}) {
    append(notes, Elf64_Nhdr{.n_namesz = 4, .n_descsz = 8, .n_type = type});
    notes += std::string("Xen\0", 4) + std::string(8, 'd');
  }
  Elf64_Phdr segment{};
  segment.p_type = PT_NOTE;
  segment.p_offset = sizeof header + sizeof segment;
  segment.p_filesz = notes.size();
  std::string vmlinux;
  append(vmlinux, header);
  append(vmlinux, segment);
  return vmlinux + notes + "Linux version %s (%s)" + '\0' + "Linux version 6.1.7-test (gcc) #1" +
         '\0';
}

// ---------------------------------------------------------------- cpio

TEST(Cpio, IsWhatTheKernelUnpacks) {
  CpioWriter cpio;
  cpio.add_directory("etc");
  cpio.add_file("etc/hi", "hello", CpioWriter::Access::kData);
  const auto entry = [](const char* inode, const char* mode, const char* links, const char* size,
                        const char* name_size) {
    return fmt::format(
        "070701{}{}0000000000000000{}00000000{}00000000000000000000000000000000{}00000000", inode,
        mode, links, size, name_size);
  };
  std::string expected = entry("00000001", "000041ED", "00000002", "00000000", "00000004");
  expected += std::string("etc\0\0\0", 6);
  expected += entry("00000002", "000081A4", "00000001", "00000005", "00000007");
  expected += std::string("etc/hi\0\0\0\0", 10) + std::string("hello\0\0\0", 8);
  expected += entry("00000000", "00000000", "00000001", "00000000", "0000000B");
  expected += std::string("TRAILER!!!\0\0\0\0", 14);
  EXPECT_EQ(cpio.finish(), expected);
}

TEST(Initramfs, ListsTheModulesInOrder) {
  const std::string archive = make_initramfs(
      "vminit", {{.file_name = "b.ko", .object = "B"}, {.file_name = "a.ko", .object = "A"}});
  EXPECT_THAT(archive, HasSubstr("b.ko\na.ko\n"));
  EXPECT_THAT(archive, HasSubstr("000081ED"));  // /init can be executed
  EXPECT_EQ(archive, make_initramfs("vminit", {{.file_name = "b.ko", .object = "B"},
                                               {.file_name = "a.ko", .object = "A"}}));
}

// ---------------------------------------------------------------- modules

TEST(Modules, AreNamedAsTheKernelNamesThem) {
  EXPECT_EQ(module_name("kernel/drivers/char/hw_random/virtio-rng.ko"), "virtio_rng");
  EXPECT_EQ(module_name("erofs.ko.xz"), "erofs");
  EXPECT_THAT(parse_builtin_list("kernel/fs/ext4/ext4.ko\nkernel/net/packet/af_packet.ko\n"),
              ElementsAre("af_packet", "ext4"));
}

TEST(Modules, SayWhatTheyNeed) {
  const auto needs = module_needs(make_module("virtio,virtio-ring", "pre: crc32c x post: y"), "m");
  ASSERT_TRUE(needs);
  EXPECT_THAT(needs->depends, ElementsAre("virtio", "virtio_ring"));
  EXPECT_THAT(needs->soft, ElementsAre("crc32c_generic", "x"));
  EXPECT_EQ(module_needs("not an object", "m").error().code(), ErrorCode::kCorrupt);
}

TEST(Modules, ThatAreCutOffAreRefused) {
  const std::string module = make_module("virtio");
  for (size_t size = 0; size < module.size(); ++size) {
    (void)module_needs(module.substr(0, size), "m");  // without reading outside
  }
}

TEST(Modules, ComeAfterWhatTheyNeed) {
  std::map<std::string, std::string> modules{{"virtio_mmio", make_module("virtio,virtio_ring")},
                                             {"virtio", make_module("virtio_ring")},
                                             {"virtio_ring", make_module("")},
                                             {"virtio_net", make_module("net_failover")},
                                             {"net_failover", make_module("failover")},
                                             {"failover", make_module("")},
                                             {"erofs", make_module("libcrc32c")},
                                             {"libcrc32c", make_module("", "pre: crc32c")},
                                             {"crc32c_generic", make_module("")},
                                             {"unrelated", make_module("")}};
  const std::set<std::string> built_in{"virtio_console", "virtio_blk", "overlay", "ext4"};
  const auto order = order_modules(modules, built_in);
  ASSERT_TRUE(order) << order.error().message();
  EXPECT_THAT(*order,
              ElementsAre("virtio_ring", "virtio", "virtio_mmio", "failover", "net_failover",
                          "virtio_net", "crc32c_generic", "libcrc32c", "erofs"));
}

TEST(Modules, ThatAGuestCanNotDoWithoutAreMissed) {
  const auto order =
      order_modules({}, {"virtio_mmio", "virtio_console", "virtio_blk", "virtio_net"});
  ASSERT_FALSE(order);
  EXPECT_EQ(order.error().code(), ErrorCode::kUnsupported);
  EXPECT_THAT(order.error().message(), HasSubstr("overlay"));
}

TEST(Modules, LoseTheirSignature) {
  const std::string magic = "~Module signature appended~\n";
  std::string info(12, '\0');
  info[3] = 1;   // the signer's name
  info[4] = 2;   // the key's id
  info[11] = 5;  // the signature
  EXPECT_EQ(strip_signature("module" + std::string(8, 's') + info + magic), "module");
  EXPECT_EQ(strip_signature("module"), "module");
  info[8] = 1;  // more than there is
  EXPECT_EQ(strip_signature("module" + info + magic), "module" + info + magic);
  EXPECT_EQ(strip_signature(magic), magic);
}

struct TestSection {
  std::string name;
  std::string content;
  uint32_t type = SHT_PROGBITS;
  uint32_t info = 0;
  uint64_t alignment = 1;
};

// An object of these sections, numbered from 1, with the names behind them.
std::string make_object_of(const std::vector<TestSection>& parts) {
  std::string names(1, '\0');
  std::string object(sizeof(Elf64_Ehdr), '\0');
  std::vector<Elf64_Shdr> sections(1);
  const auto add = [&](const TestSection& part) {
    Elf64_Shdr section{};
    section.sh_name = static_cast<Elf64_Word>(names.size());
    names += part.name + '\0';
    section.sh_type = part.type;
    section.sh_info = part.info;
    section.sh_addralign = part.alignment;
    section.sh_offset = object.size();
    section.sh_size = part.name == ".shstrtab" ? names.size() : part.content.size();
    object += part.name == ".shstrtab" ? names : part.content;
    sections.push_back(section);
  };
  for (const TestSection& part : parts) add(part);
  add({.name = ".shstrtab", .content = {}, .type = SHT_STRTAB});
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_shoff = object.size();
  header.e_shnum = static_cast<Elf64_Half>(sections.size());
  header.e_shstrndx = static_cast<Elf64_Half>(sections.size() - 1);
  std::memcpy(object.data(), &header, sizeof header);
  for (const Elf64_Shdr& section : sections) append(object, section);
  return object;
}

Elf64_Shdr section_of(const std::string& object, size_t index) {
  Elf64_Ehdr header{};
  std::memcpy(&header, object.data(), sizeof header);
  Elf64_Shdr section{};
  std::memcpy(&section, object.data() + header.e_shoff + index * sizeof section, sizeof section);
  return section;
}

std::string content_of(const std::string& object, size_t index) {
  const Elf64_Shdr section = section_of(object, index);
  return object.substr(section.sh_offset, section.sh_size);
}

TEST(Modules, LoseWhatTheyAreDebuggedBy) {
  const std::string module = make_object_of({{.name = ".text", .content = "code"},
                                             {.name = ".BTF", .content = "many types"},
                                             {.name = "__mcount_loc", .content = "places"},
                                             {.name = ".rela__mcount_loc",
                                              .content = "relocations of places",
                                              .type = SHT_RELA,
                                              .info = 3},
                                             {.name = ".rela.text",
                                              .content = "relocations of code",
                                              .type = SHT_RELA,
                                              .info = 1,
                                              .alignment = 8},
                                             {.name = ".bss", .content = {}, .type = SHT_NOBITS}});
  const std::string trimmed = trim_module(module);
  EXPECT_LT(trimmed.size(), module.size());
  for (const char* gone : {"many types", "places"}) {
    EXPECT_THAT(trimmed, testing::Not(HasSubstr(gone)));
  }
  EXPECT_EQ(content_of(trimmed, 1), "code");
  for (const size_t gone : {2, 3, 4}) EXPECT_EQ(section_of(trimmed, gone).sh_type, SHT_NULL);
  EXPECT_EQ(content_of(trimmed, 5), "relocations of code");
  EXPECT_EQ(section_of(trimmed, 5).sh_offset % 8, 0U);
  EXPECT_EQ(section_of(trimmed, 6).sh_type, SHT_NOBITS);
  EXPECT_EQ(trim_module(trimmed), trimmed);
}

TEST(Modules, ThatCanNotBeTrimmedStayAsTheyAre) {
  EXPECT_EQ(trim_module("not an object"), "not an object");
  const std::string module = make_object_of({{.name = ".text", .content = "code"}});
  for (size_t size = 0; size < module.size(); ++size) {
    EXPECT_EQ(trim_module(module.substr(0, size)), module.substr(0, size));
  }
  // Relocations of relocations of themselves.
  const std::string odd =
      make_object_of({{.name = ".rela.BTF", .content = "odd", .type = SHT_RELA, .info = 1}});
  EXPECT_EQ(content_of(trim_module(odd), 1), "odd");
}

// ---------------------------------------------------------------- kernels as files

TEST(KernelImage, IsFoundInABzImage) {
  std::string image(1024, '\0');
  image[0x1f1] = 1;
  std::memcpy(image.data() + 0x202, "HdrS", 4);
  image[0x206] = 0x0f;
  image[0x207] = 0x02;
  image[0x248] = 0x10;
  image[0x24c] = 0x0a;
  image += std::string(0x10, '.') +
           "\x02\x21LP"
           "zz" +
           std::string("\x39\x30\0\0", 4) + "behind";
  EXPECT_EQ(kernel_format(image), KernelFormat::kBzImage);
  const auto payload = find_payload(image);
  ASSERT_TRUE(payload) << payload.error().message();
  EXPECT_EQ(payload->compressed, "\x02\x21LPzz");
  EXPECT_EQ(payload->size, 12345U);
  for (size_t size = 0; size < image.size() - 6; ++size) {
    EXPECT_FALSE(find_payload(image.substr(0, size))) << size;
  }
}

TEST(KernelImage, MustHaveADirectEntry) {
  EXPECT_EQ(check_vmlinux(make_vmlinux()).value_or(""), "6.1.7-test");
  EXPECT_EQ(check_vmlinux(make_vmlinux(17)).error().code(), ErrorCode::kUnsupported);
  EXPECT_EQ(check_vmlinux("\x7f"
                          "ELF")
                .error()
                .code(),
            ErrorCode::kUnsupported);
  EXPECT_EQ(check_vmlinux("MZ").error().code(), ErrorCode::kCorrupt);
}

TEST(KernelImage, TellsHowDevicesAreFound) {
  EXPECT_TRUE(needs_acpi("", "CONFIG_ACPI=y\n# CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES is not set\n"));
  EXPECT_FALSE(needs_acpi("", "CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES=y\n"));
  EXPECT_TRUE(needs_acpi("nothing", ""));
  EXPECT_FALSE(needs_acpi(std::string("x\0virtio_mmio.device\0", 21), ""));
}

// ---------------------------------------------------------------- the store

KernelFiles some_files(const std::string& vmlinux = "kernel") {
  return {.release = "6.1.7-test",
          .source = "test",
          .acpi = false,
          .vmlinux = vmlinux,
          .modules = {{"virtio", "module"}}};
}

TEST(KernelStore, HasNothingAtFirst) {
  const Scratch scratch;
  EXPECT_TRUE(list_kernels(scratch / "vm")->empty());
  const auto guest = find_guest(scratch / "vm", "/bin/true");
  ASSERT_FALSE(guest);
  EXPECT_EQ(guest.error().code(), ErrorCode::kUnsupported);
  EXPECT_THAT(guest.error().hint_text(), HasSubstr("trivet vm setup"));
  EXPECT_THAT(find_guest(scratch / "vm", "").error().message(), HasSubstr("trivet-vminit"));
}

TEST(KernelStore, KeepsWhatWasAdded) {
  const Scratch scratch;
  const auto added = add_kernel(scratch / "vm", some_files());
  ASSERT_TRUE(added) << added.error().message();
  EXPECT_EQ(added->id, sha256_of("kernel").substr(0, 16));
  const auto kernel = current_kernel(scratch / "vm");
  ASSERT_TRUE(kernel);
  EXPECT_EQ(kernel->release, "6.1.7-test");
  EXPECT_FALSE(kernel->acpi);
  EXPECT_EQ(kernel->modules.at(0).path, "modules/virtio.ko");
  // Again, and another one: the newest is the current one.
  ASSERT_TRUE(add_kernel(scratch / "vm", some_files()));
  ASSERT_TRUE(add_kernel(scratch / "vm", some_files("other")));
  const auto all = list_kernels(scratch / "vm");
  ASSERT_EQ(all->size(), 2U);
  EXPECT_EQ(all->front().id, sha256_of("other").substr(0, 16));
  EXPECT_EQ(list_dir(AT_FDCWD, scratch / "vm/kernels")->size(), 2U);
  EXPECT_EQ(find_kernel(scratch / "vm", "6.1.7-test").error().code(), ErrorCode::kInvalidArgument);
  ASSERT_TRUE(remove_kernel(scratch / "vm", all->front()));
  EXPECT_EQ(current_kernel(scratch / "vm")->id, added->id);
  ASSERT_TRUE(remove_kernel(scratch / "vm", *added));
  EXPECT_FALSE(current_kernel(scratch / "vm"));
  EXPECT_THAT(*list_dir(AT_FDCWD, scratch.path() + "/vm"), ElementsAre("kernels", "lock"));
}

TEST(KernelStore, LeavesNothingOfACrash) {
  const Scratch scratch;
  fs::create_directories(scratch / "vm/kernels/.new-dead/modules");
  ASSERT_TRUE(add_kernel(scratch / "vm", some_files()));
  EXPECT_EQ(list_dir(AT_FDCWD, scratch / "vm/kernels")->size(), 1U);
}

TEST(KernelStore, RefusesADirectoryOfOthers) {
  const Scratch scratch;
  fs::create_directories(scratch / "vm");
  fs::permissions(scratch / "vm", fs::perms::others_write, fs::perm_options::add);
  EXPECT_EQ(add_kernel(scratch / "vm", some_files()).error().code(), ErrorCode::kPermissionDenied);
}

TEST(Guest, IsMadeOfTheKernelAndTheAgent) {
  const Scratch scratch;
  ASSERT_TRUE(add_kernel(scratch / "vm", some_files()));
  write(scratch / "vminit", "agent 1");
  const auto first = find_guest(scratch / "vm", scratch / "vminit");
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(first->kernel_digest, sha256_of("kernel"));
  const std::string archive = *read_file(first->initramfs);
  EXPECT_EQ(archive, make_initramfs("agent 1", {{.file_name = "virtio.ko", .object = "module"}}));
  EXPECT_EQ(first->initramfs_digest, sha256_of(archive));
  EXPECT_EQ(find_guest(scratch / "vm", scratch / "vminit")->initramfs, first->initramfs);
  write(scratch / "vminit", "agent 2, longer");
  const auto second = find_guest(scratch / "vm", scratch / "vminit");
  EXPECT_NE(second->initramfs, first->initramfs);
  EXPECT_THAT(*read_file(second->initramfs), HasSubstr("agent 2"));
}

TEST(Guest, GetsNoArchiveThatWasChanged) {
  const Scratch scratch;
  ASSERT_TRUE(add_kernel(scratch / "vm", some_files()));
  write(scratch / "vminit", "agent");
  const auto first = find_guest(scratch / "vm", scratch / "vminit");
  const std::string archive = *read_file(first->initramfs);
  write(first->initramfs, "evil");
  const auto again = find_guest(scratch / "vm", scratch / "vminit");
  ASSERT_TRUE(again);
  EXPECT_EQ(*read_file(again->initramfs), archive);
}

TEST(Guest, GetsNoKernelThatWasChanged) {
  const Scratch scratch;
  const auto kernel = add_kernel(scratch / "vm", some_files());
  write(scratch / "vminit", "agent");
  // A copy has other inodes and times, and is hashed.
  write(kernel->directory + "/vmlinux", "kernel");
  EXPECT_TRUE(find_guest(scratch / "vm", scratch / "vminit"));
  const auto recorded = current_kernel(scratch / "vm");
  EXPECT_EQ(recorded->vmlinux.identity, *identify_file(AT_FDCWD, kernel->directory + "/vmlinux"));
  write(kernel->directory + "/vmlinux", "kernal");
  const auto guest = find_guest(scratch / "vm", scratch / "vminit");
  ASSERT_FALSE(guest);
  EXPECT_EQ(guest.error().code(), ErrorCode::kDigestMismatch);
}

TEST(Guest, IsNotLeftWithArchivesOfRemovedKernels) {
  const Scratch scratch;
  const auto kernel = add_kernel(scratch / "vm", some_files());
  write(scratch / "vminit", "agent");
  ASSERT_TRUE(find_guest(scratch / "vm", scratch / "vminit"));
  EXPECT_EQ(list_dir(AT_FDCWD, scratch / "vm/initramfs")->size(), 2U);
  ASSERT_TRUE(remove_kernel(scratch / "vm", *kernel));
  ASSERT_TRUE(collect_initramfs(scratch / "vm"));
  EXPECT_TRUE(list_dir(AT_FDCWD, scratch / "vm/initramfs")->empty());
}

TEST(KernelRecord, IsRefusedWithFilesElsewhere) {
  Kernel kernel{.vmlinux = {.path = "../../etc/passwd", .digest = "d"}};
  EXPECT_EQ(parse_kernel(print_kernel(kernel)).error().code(), ErrorCode::kCorrupt);
  kernel.vmlinux.path = "/etc/passwd";
  EXPECT_FALSE(parse_kernel(print_kernel(kernel)));
  EXPECT_FALSE(parse_kernel("{}"));
  EXPECT_FALSE(parse_kernel("["));
}

}  // namespace
}  // namespace trivet::payload::microvm
