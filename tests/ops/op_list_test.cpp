// Compares the list that `fovea info ops` shows with the sources.
#include "ops/support/op_list.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>

#include "core/dtype.h"
#include "tests/support/tape.h"

using namespace fovea;

namespace {

const std::filesystem::path root = FOVEA_SOURCE_DIR;

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The stems of a folder's files with this extension, in order.
std::vector<std::string> stems_of(const std::string& folder, const std::string& extension) {
  std::vector<std::string> stems;
  for (const auto& entry : std::filesystem::directory_iterator(root / folder))
    if (entry.path().extension() == extension) stems.push_back(entry.path().stem());
  std::sort(stems.begin(), stems.end());
  return stems;
}

// Without duplicates, separated by spaces.
std::string listed(const std::vector<std::string>& names) {
  std::set<std::string> seen;
  std::string list;
  for (const std::string& name : names)
    if (seen.insert(name).second) list += (list.empty() ? "" : " ") + name;
  return list;
}

// The functions of ops/<stem>.h that take tensors and return some; each operator has such a function.
std::string declared_ops(const std::string& stem) {
  std::vector<std::string> names = TensorFunctions(text_of(root / "ops" / (stem + ".h"))).names();
  std::erase_if(names, [](const std::string& name) { return name.starts_with("operator"); });
  return listed(names);
}

std::string defined_kernels(const std::string& source) {
  static const std::regex kernel(R"(__global__ void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\()");
  std::vector<std::string> names;
  for (std::sregex_iterator it(source.begin(), source.end(), kernel), end; it != end; ++it)
    names.push_back(it->str(1));
  return listed(names);
}

// The types in the arguments of the templates' instantiations; float if no launcher is a template.
std::string instantiated_dtypes(const std::string& source) {
  static const std::regex instance(R"((INSTANTIATE|FOR_EACH)[A-Z_]*\([^)]*\)|template void [^(]*\()");
  std::string instances;
  for (std::sregex_iterator it(source.begin(), source.end(), instance), end; it != end; ++it)
    instances += it->str() + "\n";
  std::vector<std::string> names;
  const std::pair<const char*, DType> types[] = {{"float", DType::float32},     {"double", DType::float64},
                                                 {"bfloat16", DType::bfloat16}, {"int32_t", DType::int32},
                                                 {"int64_t", DType::int64},     {"uint8_t", DType::uint8}};
  for (const auto& [type, dtype] : types)
    if (std::regex_search(instances, std::regex(fmt::format("[ (<]{}[,)>]", type))))
      names.emplace_back(name(dtype));
  return names.empty() ? "float32" : listed(names);
}

}  // namespace

TEST_CASE("the list of ops has every op that a header of ops declares, and no other") {
  std::vector<std::string> stems;
  for (const OpStem& row : op_stems()) {
    if (row.ops.empty()) continue;
    stems.push_back(row.stem);
    CAPTURE(row.stem);
    CHECK(row.ops == declared_ops(row.stem));
  }
  CHECK(stems == stems_of("ops", ".h"));
}

TEST_CASE("the list of ops has every kernel, and the dtypes it is compiled for") {
  std::vector<std::string> stems;
  for (const KernelFile& file : kernel_files()) {
    stems.push_back(file.stem);
    CAPTURE(file.stem);
    const std::string source = text_of(root / "cuda/kernels" / (file.stem + ".cu"));
    const std::string kernels = defined_kernels(source);
    CHECK(file.kernels == (kernels.empty() ? "cuBLASLt" : kernels));
    CHECK(file.dtypes == instantiated_dtypes(source));
  }
  CHECK(stems == stems_of("cuda/kernels", ".cu"));
}

TEST_CASE("each row of the list of ops has its kernels and tests, each file of kernels its row") {
  std::set<std::string> files, used;
  for (const KernelFile& file : kernel_files()) files.insert(file.stem);
  for (const OpStem& row : op_stems()) {
    CAPTURE(row.stem);
    CHECK(std::filesystem::exists(root / row.tests));
    if (row.ops.empty()) CHECK(row.kernels == row.stem);
    std::istringstream names(row.kernels);
    for (std::string name; names >> name;) {
      CHECK(files.contains(name));
      used.insert(name);
    }
  }
  CHECK(used == files);
}
