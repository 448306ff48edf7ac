#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cli/predict/kernel_code.h"

namespace fovea::cuda {

// The text of cli/predict/kernel_code.tsv, which predictions use where there is no nvcc.
// scripts/kernel_report --update writes the file. It omits kernels for float64, which no network uses.
std::string write_code_table(const std::vector<KernelCode>& kernels, const std::string& compiler);
struct CodeTable {
  std::string compiler;  // "nvcc 13.0"
  std::map<std::string, KernelCode> kernels;
};
// Throws CudaError, which names the line, if the text is not such a table.
CodeTable read_code_table(std::string_view text);
const CodeTable& code_table();  // the table that this program was built with

}  // namespace fovea::cuda
