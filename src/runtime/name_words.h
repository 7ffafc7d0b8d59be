// The words of made-up names.
#pragma once

#include <array>

namespace trivet::runtime {

inline constexpr std::array kAdjectives = {
    "able",   "agile",  "airy",    "alert",  "amber",  "ample",   "azure",  "bold",   "brave",
    "breezy", "bright", "brisk",   "calm",   "candid", "clear",   "clever", "cosy",   "crisp",
    "dapper", "daring", "deft",    "eager",  "early",  "earnest", "easy",   "fair",   "fancy",
    "fleet",  "fond",   "frank",   "fresh",  "gentle", "glad",    "golden", "grand",  "green",
    "happy",  "hardy",  "hazel",   "honest", "humble", "jolly",   "keen",   "kind",   "light",
    "lively", "loyal",  "lucid",   "lucky",  "mellow", "merry",   "mild",   "modest", "neat",
    "nimble", "noble",  "patient", "plucky", "polite", "proud",   "quick",  "quiet",  "rapid",
    "ready",  "rosy",   "serene",  "sharp",  "shiny",  "silent",  "smart",  "snug",   "solid",
    "spry",   "steady", "stout",   "sunny",  "swift",  "tender",  "tidy",   "trusty", "upbeat",
    "vivid",  "warm",   "wise",    "witty",  "zesty"};

inline constexpr std::array kNouns = {
    "acorn",   "alder",   "anchor", "apple",  "aspen",   "badger", "barley", "basil",   "beacon",
    "beaver",  "birch",   "bison",  "brook",  "canyon",  "cedar",  "cherry", "clover",  "comet",
    "copper",  "coral",   "crane",  "daisy",  "delta",   "dune",   "eagle",  "elm",     "ember",
    "falcon",  "fern",    "finch",  "fjord",  "forge",   "fox",    "garnet", "glade",   "grove",
    "harbor",  "hazel",   "heron",  "hill",   "holly",   "ibis",   "iris",   "island",  "jasper",
    "juniper", "kestrel", "kettle", "lagoon", "lantern", "lark",   "laurel", "lily",    "linden",
    "lotus",   "lynx",    "maple",  "marten", "meadow",  "mesa",   "moss",   "nectar",  "oak",
    "ocean",   "olive",   "orchid", "osprey", "otter",   "owl",    "pebble", "pine",    "plover",
    "poplar",  "quartz",  "raven",  "reed",   "ridge",   "river",  "robin",  "rowan",   "sage",
    "salmon",  "sparrow", "spruce", "stone",  "stork",   "swan",   "tern",   "thistle", "tiger",
    "trivet",  "tulip",   "valley", "walnut", "willow",  "wren",   "yarrow", "zephyr"};

}  // namespace trivet::runtime
