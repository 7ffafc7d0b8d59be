// The makers of all commands, one file a topic. registry.cc puts them in order.
#pragma once

#include "cli/command.h"

namespace trivet::cli {

// commands_run.cc
Command make_run();
Command make_create();
Command make_start();
Command make_attach();
Command make_exec();

// commands_state.cc
Command make_stop();
Command make_kill();
Command make_restart();
Command make_pause();
Command make_unpause();
Command make_wait();
Command make_rename();
Command make_rm();
Command make_prune();

// commands_list.cc
Command make_ps();
Command make_inspect();
Command make_port();
Command make_top();

// commands_logs.cc, commands_stats.cc, commands_copy.cc
Command make_logs();
Command make_stats();
Command make_cp();

// commands_transfer.cc, commands_image.cc
Command make_pull();
Command make_push();
Command make_images();
Command make_image_inspect();
Command make_rmi();
Command make_tag();
Command make_image_prune();
Command make_image_import();
Command make_image_save();
Command make_image_bundle();

// commands_volume.cc
Command make_volume_create();
Command make_volume_ls();
Command make_volume_inspect();
Command make_volume_rm();
Command make_volume_prune();

// commands_pod.cc, commands_pod_inside.cc
Command make_pod_run();
Command make_pod_ps();
Command make_pod_inspect();
Command make_pod_stop();
Command make_pod_wait();
Command make_pod_rm();
Command make_pod_logs();
Command make_pod_exec();
Command make_pod_stats();

// commands_vm.cc
Command make_vm_setup();
Command make_vm_ls();
Command make_vm_info();
Command make_vm_rm();

// commands_install.cc
Command make_install();
Command make_uninstall();

// commands_host.cc
Command make_info();
Command make_version();
Command make_completion();
Command make_help();
Command make_man();
Command make_markdown();
Command make_complete();

}  // namespace trivet::cli
