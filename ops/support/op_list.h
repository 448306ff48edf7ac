#pragma once
#include <string>
#include <vector>

namespace fovea {

// What there is to compute with, as `fovea info ops` shows it. tests/ops/op_list_test.cpp holds both lists
// against the sources: an op or a kernel that is not here fails it. Lists in a field are separated by spaces.

// The ops of one header of ops/, or, where there are none, kernels that something else launches.
struct OpStem {
  std::string stem;     // "matmul": ops/matmul.h, or cuda/kernels/<stem>.h where there are no ops
  std::string ops;      // "matmul linear conv1x1"
  std::string kernels;  // the stems of their kernels' files: "gemm reduction"; none of an op for the CPU only
  std::string tests;    // "tests/ops/matmul_test.cpp"
};
const std::vector<OpStem>& op_stems();

// One file of kernels.
struct KernelFile {
  std::string stem;     // "reduction": cuda/kernels/reduction.cu
  std::string kernels;  // in the order of the file
  std::string dtypes;   // that the file is compiled for, as name(DType) writes them
};
const std::vector<KernelFile>& kernel_files();

}  // namespace fovea
