#pragma once
#include <string>
#include <vector>

namespace fovea {

// All ops and kernels, as `fovea info ops` shows them. tests/ops/op_list_test.cpp compares both lists with
// the sources and fails if an op or a kernel is missing here. Lists in a field are separated by spaces.

// The ops of one header of ops/, or kernels that something other than an op launches.
struct OpStem {
  std::string stem;     // "matmul": ops/matmul.h, or cuda/kernels/<stem>.h where there are no ops
  std::string ops;      // "matmul linear conv1x1"
  std::string kernels;  // the stems of their kernels' files: "gemm reduction"; empty for a CPU-only op
  std::string tests;    // "tests/ops/matmul_test.cpp"
};
const std::vector<OpStem>& op_stems();

// One file of kernels.
struct KernelFile {
  std::string stem;     // "reduction": cuda/kernels/reduction.cu
  std::string kernels;  // in the order of the file
  std::string dtypes;   // dtypes that the file is compiled for, as name(DType) writes them
};
const std::vector<KernelFile>& kernel_files();

}  // namespace fovea
