// GPUs and other devices that the host describes with CDI, the Container Device Interface
// (cncf-tags/container-device-interface, SPEC.md 1.1.0): what there is, and whether it can be used.
//
// A device is given to a container with RunOptions::devices ("nvidia.com/gpu=all"). Where the
// host's CDI files don't give it, Engine::run and the like fail with a GpuConfigError.
//
// The functions read the files anew each time, need no privilege but to read them, and may be
// called from any thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "trivet/export.h"
#include "trivet/result.h"

namespace trivet {

// What is wrong with the host's CDI files, or missing: kUnsupported, for this host can't give the
// device as it is, with a hint that says what to install, generate or remove. Its notes are the
// files that can't be understood. What is no name of a device at all is kInvalidArgument instead.
using GpuConfigError = Error;

// A device, as the file that counts defines it.
struct CdiDevice {
  std::string name;                                // VENDOR/CLASS=NAME: "nvidia.com/gpu=0"
  std::string file;                                // that defines it
  std::map<std::string, std::string> annotations;  // of the device, for programs
};

// A file, or a directory, that says nothing usable, and why. Two files of the same directory that
// define the same device are broken as far as it goes.
struct BrokenCdiFile {
  std::string path;  // of the file or directory
  Error error;       // the first problem; further ones are its notes
};

// What a host has.
struct CdiInventory {
  std::vector<CdiDevice> devices;     // in the order of their names
  std::vector<BrokenCdiFile> broken;  // in the order of directories and names
};

// In `directories`, the later of which take precedence; empty: in those of TRIVET_CDI_SPEC_DIRS,
// with
// ":" between them, else /etc/cdi and /var/run/cdi. A directory that does not exist is an empty
// one.
[[nodiscard]] TRIVET_API CdiInventory
list_cdi_devices(const std::vector<std::string>& directories = {});

// Whether a container can be given a GPU: there is a CDI device of a class "gpu", of whatever
// vendor, and the host has every device node, file and hook that it names. Whatever is wrong is a
// no.
[[nodiscard]] TRIVET_API bool check_gpu_available(
    const std::vector<std::string>& directories = {}) noexcept;

// The same question, where the answer no has its reason: a GpuConfigError.
TRIVET_API Result<> check_gpu_config(const std::vector<std::string>& directories = {});

}  // namespace trivet
