// The part of libkrun's interface that is used here, as <libkrun.h> of version 1.17 has it. Nothing
// links these: the library is loaded where it is installed. For C and C++.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

int32_t krun_init_log(int target_fd, uint32_t level, uint32_t style, uint32_t options);
int32_t krun_create_ctx();
int32_t krun_set_vm_config(uint32_t ctx_id, uint8_t num_vcpus, uint32_t ram_mib);
int32_t krun_set_kernel(uint32_t ctx_id, const char* kernel_path, uint32_t kernel_format,
                        const char* initramfs, const char* cmdline);
int32_t krun_disable_implicit_console(uint32_t ctx_id);
int32_t krun_disable_implicit_vsock(uint32_t ctx_id);
int32_t krun_add_serial_console_default(uint32_t ctx_id, int input_fd, int output_fd);
int32_t krun_add_virtio_console_multiport(uint32_t ctx_id);
int32_t krun_add_console_port_inout(uint32_t ctx_id, uint32_t console_id, const char* name,
                                    int input_fd, int output_fd);
int32_t krun_add_disk2(uint32_t ctx_id, const char* block_id, const char* disk_path,
                       uint32_t disk_format, bool read_only);
int32_t krun_add_net_unixstream(uint32_t ctx_id, const char* c_path, int fd, uint8_t* const c_mac,
                                uint32_t features, uint32_t flags);
int32_t krun_start_enter(uint32_t ctx_id);

#ifdef __cplusplus
}
#endif
