#include "cli/manual.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "cli/help.h"
#include "cli/registry.h"
#include "cli/session.h"

namespace trivet::cli {

namespace {

constexpr const char* kExitCodes =
    "run, exec, start -a and attach end with the exit code of the container's program, 128+N when "
    "signal N ended it. run, create, start and exec end with 125 when trivet itself failed, 126 "
    "when the program can't be executed and 127 when it does not exist. All other commands end "
    "with 0, 1 for a failure and 2 for a wrong command line. 130 means Ctrl-C.";

struct Variable {
  const char* name;
  const char* text;
};
constexpr std::array kVariables{
    Variable{"TRIVET_DATA_DIR", "What --data-dir is by default."},
    Variable{"TRIVET_STATE_DIR", "What --state-dir is by default."},
    Variable{"TRIVET_ERROR_FORMAT",
             "json: errors are JSON objects with code, message, hint, notes."},
};

// ---------------------------------------------------------------- man(7)

std::string roff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  if (out.starts_with('.') || out.starts_with('\'')) out.insert(0, "\\&");
  return out;
}

std::string dashed(std::string_view path) {
  std::string name = "trivet-" + std::string(path);
  std::ranges::replace(name, ' ', '-');
  return name;
}

std::string man_header(std::string_view name) {
  std::string upper(name);
  std::ranges::transform(upper, upper.begin(), [](unsigned char c) { return std::toupper(c); });
  return fmt::format(
      ".\\\" Made by `trivet __man` from the declarations in src/cli: do not edit.\n"
      ".TH {} 1 \"\" \"trivet {}\" \"trivet manual\"\n",
      upper, TRIVET_VERSION);
}

std::string man_options(const std::vector<OptionSpec>& options, std::string_view other_heading) {
  std::string out;
  for (const auto& [heading, group] : grouped_options(options)) {
    std::string title = heading.empty() ? std::string(other_heading) : heading;
    std::ranges::transform(title, title.begin(), [](unsigned char c) { return std::toupper(c); });
    out += fmt::format(".SH \"{}\"\n", title);
    for (const OptionSpec* option : group) {
      std::string names;
      for (const std::string& name : option->all_names()) {
        names += (names.empty() ? "\\fB" : ", \\fB") + roff(name) + "\\fR";
      }
      if (!option->placeholder.empty()) names += " \\fI" + roff(option->placeholder) + "\\fR";
      out += fmt::format(".TP\n{}\n{}.\n", names, roff(option_text(*option)));
    }
  }
  return out;
}

std::string man_synopsis(const Command& command) {
  std::string out = ".SH SYNOPSIS\n";
  const std::string name = "trivet " + command.path;
  for (const std::string& line : usage_lines(command)) {
    out += fmt::format(".B {}\n{}\n.br\n", roff(name), roff(line.substr(name.size() + 1)));
  }
  return out;
}

std::string man_page(const Command& command) {
  const std::string name = dashed(command.path);
  std::string out = man_header(name);
  out += fmt::format(".SH NAME\n{} \\- {}\n", roff(name), roff(command.summary));
  out += man_synopsis(command);
  out += fmt::format(".SH DESCRIPTION\n{}.\n", roff(command.summary));
  if (!command.description.empty()) out += ".PP\n" + roff(command.description) + '\n';
  out += man_options(command.options, "OPTIONS");
  Globals globals;
  out += man_options(global_options(globals), "OPTIONS");
  if (!command.examples.empty()) out += ".SH EXAMPLES\n";
  for (const Example& example : command.examples) {
    out +=
        fmt::format(".TP\n{}\n.nf\n.B {}\n.fi\n", roff(example.what + ":"), roff(example.command));
  }
  out += ".SH \"EXIT STATUS\"\nSee\n.BR trivet (1).\n.SH \"SEE ALSO\"\n.BR trivet (1)\n";
  return out;
}

std::string man_overview() {
  std::string out = man_header("trivet");
  out +=
      ".SH NAME\ntrivet \\- run containers from OCI images\n"
      ".SH SYNOPSIS\n.B trivet\n[OPTIONS] COMMAND [ARG...]\n"
      ".SH DESCRIPTION\nRuns containers from OCI images, shows what they do, limits and removes "
      "them. Each command has a page of its own, and answers \\fB\\-\\-help\\fR.\n";
  std::string heading;
  for (const Entry& entry : entries()) {
    if (std::string_view(entry.group).empty()) continue;
    if (heading != entry.group) {
      heading = entry.group;
      std::string title = heading;
      std::ranges::transform(title, title.begin(), [](unsigned char c) { return std::toupper(c); });
      out += fmt::format(".SH \"{}\"\n", title);
    }
    out += fmt::format(".TP\n.BR {} (1)\n{}.\n", roff(dashed(entry.path)), roff(entry.summary));
  }
  Globals globals;
  out += man_options(global_options(globals), "OPTIONS");
  out += fmt::format(".SH \"EXIT STATUS\"\n{}\n.SH ENVIRONMENT\n", roff(kExitCodes));
  for (const Variable& variable : kVariables) {
    out += fmt::format(".TP\n.B {}\n{}\n", variable.name, roff(variable.text));
  }
  return out;
}

// ---------------------------------------------------------------- Markdown

std::string code(std::string_view text) {
  return fmt::format("`{}`", text);
}

std::string table_cell(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

std::string markdown_options(const std::vector<OptionSpec>& options) {
  std::string out;
  for (const auto& [heading, group] : grouped_options(options)) {
    out += fmt::format("| {} | |\n|---|---|\n", heading.empty() ? "Options" : heading);
    for (const OptionSpec* option : group) {
      out += fmt::format("| {} | {} |\n", table_cell(code(option_term(*option))),
                         table_cell(option_text(*option)));
    }
    out += '\n';
  }
  return out;
}

std::string markdown_command(const Command& command) {
  std::string out = fmt::format("### trivet {}\n\n{}.\n\n```\n", command.path, command.summary);
  for (const std::string& line : usage_lines(command)) out += line + '\n';
  out += "```\n\n";
  if (!command.description.empty()) out += command.description + "\n\n";
  out += markdown_options(command.options);
  if (command.examples.empty()) return out;
  out += "```sh\n";
  for (const Example& example : command.examples) {
    out += fmt::format("# {}\n{}\n", example.what, example.command);
  }
  return out + "```\n\n";
}

}  // namespace

std::vector<std::pair<std::string, std::string>> man_pages() {
  std::vector<std::pair<std::string, std::string>> pages{{"trivet.1", man_overview()}};
  for (const Entry& entry : entries()) {
    if (std::string_view(entry.group).empty()) continue;
    pages.emplace_back(dashed(entry.path) + ".1", man_page(make_command(entry)));
  }
  return pages;
}

std::string markdown_reference() {
  std::string out =
      "<!-- Made by `trivet __markdown` from the declarations in src/cli: do not edit. -->\n"
      "# Commands of trivet\n\n"
      "Every command takes a container by its name, its id or a unique prefix of its id.\n\n";
  out += fmt::format("**Exit codes.** {}\n\n", kExitCodes);
  out += "**Environment.**\n\n";
  for (const Variable& variable : kVariables) {
    out += fmt::format("- `{}`: {}\n", variable.name, variable.text);
  }
  out += "\n**Options of every command**\n\n";
  Globals globals;
  out += markdown_options(global_options(globals));
  std::string heading;
  for (const Entry& entry : entries()) {
    if (std::string_view(entry.group).empty()) continue;
    if (heading != entry.group) {
      heading = entry.group;
      out += fmt::format("## {}\n\n", heading);
    }
    out += markdown_command(make_command(entry));
  }
  out.pop_back();
  return out;
}

}  // namespace trivet::cli
