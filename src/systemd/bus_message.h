// Values in words, as busctl(1) takes them, to D-Bus messages.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <systemd/sd-bus.h>

#include "base/result.h"

namespace trivet::systemd {

struct Unref {
  void operator()(sd_bus* bus) const { sd_bus_flush_close_unref(bus); }
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
  void operator()(sd_bus_slot* slot) const { sd_bus_slot_unref(slot); }
};
using Bus = std::unique_ptr<sd_bus, Unref>;
using Message = std::unique_ptr<sd_bus_message, Unref>;
using Slot = std::unique_ptr<sd_bus_slot, Unref>;

// What is left of a command line.
using Words = std::span<const std::string>;

// The next word, which is taken off; kInvalidArgument names `what` when there is none.
Result<std::string> next_word(Words& words, std::string_view what);

// Takes the words of values of these types off and appends them: a basic type is one word, an array
// its length and the elements, a structure its members, a variant its signature and the value.
// kInvalidArgument for what does not fit.
Result<> append_values(sd_bus_message* message, std::string_view signature, Words& words);

// Takes NAME SIGNATURE WORD… off until nothing is left and appends an a(sv).
Result<> append_properties(sd_bus_message* message, Words words);

}  // namespace trivet::systemd
