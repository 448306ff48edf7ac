// Where in the source an address is. It is looked up only after a fault, so another program may do it.
#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include <fmt/format.h>

#include "cuda/sim/simulator.h"

namespace fovea::sim {
namespace {

// The module (program or shared library) that holds an address, and where the module was loaded.
struct Module {
  std::string file;
  uintptr_t base = 0;
};

Module module_of(const void* address) {
  struct Search {
    uintptr_t wanted;
    Module found;
  } search{uintptr_t(address), {}};
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* data) {
        auto& s = *static_cast<Search*>(data);
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& segment = info->dlpi_phdr[i];
          if (segment.p_type != PT_LOAD || s.wanted - (info->dlpi_addr + segment.p_vaddr) >= segment.p_memsz)
            continue;
          s.found = {*info->dlpi_name ? info->dlpi_name : "/proc/self/exe", info->dlpi_addr};
          return 1;
        }
        return 0;
      },
      &search);
  return search.found;
}

// Returns the lines that binutils' addr2line prints, or nothing if it is not installed.
std::string addr2line(const char* flags, const void* address) {
  Module module = module_of(address);
  if (module.file.empty()) return "";
  char path[4096];
  if (module.file == "/proc/self/exe") {  // which would be addr2line's own
    const auto length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length > 0) module.file.assign(path, size_t(length));
  }
  const std::string command = fmt::format("addr2line {} -e '{}' {:#x} 2>/dev/null", flags, module.file,
                                          uintptr_t(address) - module.base);
  std::string text;
  if (FILE* pipe = popen(command.c_str(), "r")) {
    char part[512];
    while (std::fgets(part, sizeof part, pipe)) text += part;
    pclose(pipe);
  }
  return text;
}

std::string line_of(const std::string& text, int index) {
  size_t begin = 0;
  for (int i = 0; i < index && begin != std::string::npos; ++i) {
    begin = text.find('\n', begin);
    if (begin != std::string::npos) ++begin;
  }
  if (begin == std::string::npos || begin >= text.size()) return "";
  return text.substr(begin, text.find('\n', begin) - begin);
}

}  // namespace

std::string short_file(const char* file) {
  // The path from the project's folder on, which a reader opens.
  for (const char* folder : {"/tests/", "/examples/", "/cuda/", "/core/", "/ops/", "/train/"})
    if (const char* found = std::strstr(file, folder)) return found + 1;
  return file;
}

std::string source_line(const void* address) {
  // The address is the one that the call returns to: the call is one byte before it. -i follows inlined
  // functions outwards, so that a fault in a helper also names the kernel's line.
  const std::string text = addr2line("-i", static_cast<const char*>(address) - 1);
  std::string result;
  for (int i = 0; i < 4; ++i) {
    std::string line = line_of(text, i);
    if (line.empty() || line[0] == '?') break;
    line = short_file(line.substr(0, line.find(" (discriminator")).c_str());
    result += (i ? ", called from " : "") + line;
    if (line.find(".cu:") != std::string::npos) break;
  }
  return result.empty() ? fmt::format("address {}", fmt::ptr(address)) : result;
}

std::string function_name(const void* function) {
  // Two lines per function, from the innermost inlined one outwards: the outermost is the kernel.
  const std::string text = addr2line("-f -C -i", function);
  const auto lines = int(std::count(text.begin(), text.end(), '\n'));
  std::string name = line_of(text, std::max(0, lines - 2));
  if (name.empty() || name[0] == '?') return fmt::format("at address {}", fmt::ptr(function));
  // Removes namespaces, return type and parameters.
  for (const std::string noise : {"(anonymous namespace)::", "fovea::", "cuda::", "void "})
    for (size_t at; (at = name.find(noise)) != std::string::npos;) name.erase(at, noise.size());
  int depth = 0;
  for (size_t i = 0; i < name.size(); ++i) {
    depth += name[i] == '<' ? 1 : name[i] == '>' ? -1 : 0;
    if (name[i] == '(' && depth == 0) return name.substr(0, i);
  }
  return name;
}

}  // namespace fovea::sim
