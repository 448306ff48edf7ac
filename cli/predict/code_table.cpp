#include "cli/predict/code_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "cuda/runtime/error.h"

namespace fovea::cuda {
namespace {

constexpr std::string_view columns =
    "kernel\tregisters\tshared\tonce: instructions\trounds\tloaded\tstored\tbarriers\tproducts\t"
    "step: instructions\trounds\tloaded\tstored\tbarriers\tproducts\t"
    "last: instructions\trounds\tloaded\tstored\tbarriers\tproducts\tvaries";

}  // namespace

std::string write_code_table(const std::vector<KernelCode>& kernels, const std::string& compiler) {
  std::string text = fmt::format(
      "# What {} makes of each kernel for sm_90: scripts/kernel_report --update\n{}\n", compiler, columns);
  std::map<std::string, const KernelCode*> sorted;
  for (const KernelCode& kernel : kernels)
    if (kernel.name.find("double") == std::string::npos) sorted.emplace(kernel.name, &kernel);
  for (const auto& [name, kernel] : sorted) {
    text += fmt::format("{}\t{}\t{}", name, kernel->registers, kernel->shared_bytes);
    for (const CodeCost* cost : {&kernel->once, &kernel->step, &kernel->last})
      text += fmt::format("\t{:.0f}\t{:.2g}\t{:.0f}\t{:.0f}\t{:.0f}\t{:.0f}", cost->instructions,
                          cost->rounds, cost->loaded, cost->stored, cost->barriers, cost->products);
    text += kernel->varies ? "\t1\n" : "\t0\n";
  }
  return text;
}

const CodeTable& code_table() {
  static const CodeTable instance = read_code_table(
#include "kernel_code.inc"
  );
  return instance;
}

CodeTable read_code_table(std::string_view text) {
  CodeTable table;
  int number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line(text.substr(at, end - at));
    at = end + 1;
    ++number;
    if (number == 1) {
      const size_t begin = line.find("nvcc "), stop = line.find(" makes");
      if (begin == std::string::npos || stop == std::string::npos)
        throw CudaError("line 1 of the table of kernels does not name the version of nvcc");
      table.compiler = line.substr(begin, stop - begin);
      continue;
    }
    if (number == 2 && line != columns)
      throw CudaError(
          "line 2 of the table of kernels has the wrong columns: run scripts/kernel_report --update");
    if (number <= 2 || line.empty()) continue;
    std::vector<std::string> fields;
    for (size_t from = 0; from <= line.size();) {
      const size_t tab = std::min(line.find('\t', from), line.size());
      fields.push_back(line.substr(from, tab - from));
      from = tab + 1;
    }
    if (fields.size() != 22)
      throw CudaError(
          fmt::format("line {} of the table of kernels has {} columns, not 22", number, fields.size()));
    std::vector<double> values;
    for (size_t i = 1; i < fields.size(); ++i) {
      char* stop = nullptr;
      values.push_back(std::strtod(fields[i].c_str(), &stop));
      if (*stop || fields[i].empty())
        throw CudaError(
            fmt::format("line {} of the table of kernels: '{}' is not a number", number, fields[i]));
    }
    KernelCode code;
    code.name = fields[0];
    code.architecture = "sm_90";
    code.registers = int(values[0]);
    code.shared_bytes = int(values[1]);
    const auto cost_from = [&](size_t i) {
      return CodeCost{values[i], values[i + 1], values[i + 2], values[i + 3], values[i + 4], values[i + 5]};
    };
    code.once = cost_from(2);
    code.step = cost_from(8);
    code.last = cost_from(14);
    code.varies = values[20] != 0;
    table.kernels[code.name] = code;
  }
  return table;
}

}  // namespace fovea::cuda
