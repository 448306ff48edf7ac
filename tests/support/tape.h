#pragma once
#include <fmt/format.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <regex>
#include <string>
#include <vector>

#include "core/autograd.h"
#include "ops/arithmetic.h"
#include "ops/reduction.h"

// Checks that no function drops the tape: each that takes tensors and returns some has a row that calls it,
// and the headers list these functions.
namespace fovea {

// A function, and tensors to call it with.
struct TapeRow {
  std::string name;  // "softmax", "Tensor::to": each overload has a row
  std::function<Tensors(const Tensors& inputs)> call;
  Tensors inputs;
  std::vector<size_t> refused = {};  // inputs for which the function throws if they require a gradient
};

// Calls the function with each floating input in turn as the only one that requires a gradient: it must be
// recorded and return a gradient that is not 0, or throw where the row says so.
inline void check_tape(const TapeRow& row) {
  for (size_t i = 0; i < row.inputs.size(); ++i) {
    if (row.inputs[i].dtype() != DType::float32) continue;
    CAPTURE(row.name, i);
    Tensors inputs = row.inputs;
    const Tensor leaf = inputs[i] = inputs[i].clone();
    inputs[i].set_requires_grad();
    if (std::find(row.refused.begin(), row.refused.end(), i) != row.refused.end()) {
      CHECK_THROWS_WITH(row.call(inputs), Catch::Contains("requires a gradient"));
      NoGrad no_grad;
      CHECK_NOTHROW(row.call(inputs));
      continue;
    }
    Tensor loss;
    for (const Tensor& output : row.call(inputs)) {
      CHECK(output.requires_grad());
      const Tensor squares = sum(output * output).to(Device::cpu);
      loss = loss.defined() ? loss + squares : squares;
    }
    if (!loss.requires_grad()) continue;  // this has failed already
    loss.backward();
    REQUIRE(leaf.grad().defined());
    CHECK(sum(leaf.grad() * leaf.grad()).item() > 0);
  }
}

// The names of the public functions of a header that take tensors and return some, in their order: "softmax",
// and "EfficientDet::forward" for a member. A member of Tensor takes one.
class TensorFunctions {
 public:
  explicit TensorFunctions(const std::string& header) {
    static const std::regex ignored(R"re(//[^\n]*|"(\\.|[^"\\])*"|\n#(\\\n|[^\n])*)re");
    const std::string text = std::regex_replace("\n" + header, ignored, " ");
    int parentheses = 0, body = 0;  // depths
    std::string declaration;
    for (const char c : text) {
      if (body > 0) {
        body += c == '{' ? 1 : c == '}' ? -1 : 0;
        continue;
      }
      parentheses += c == '(' ? 1 : c == ')' ? -1 : 0;
      if (parentheses == 0 && (c == '{' || c == '}' || c == ';')) {
        if (c == '}' && !scopes_.empty()) scopes_.pop_back();
        if (c == '{' && !enter(declaration)) body = 1;
        if (c == ';' || body == 1) add(declaration);
        declaration.clear();
      } else if (c == ':' && set_access(declaration)) {
        declaration.clear();
      } else {
        declaration += c;
      }
    }
  }
  const std::vector<std::string>& names() const { return names_; }

 private:
  struct Scope {
    std::string prefix;  // "EfficientDet::"
    bool hidden = false, is_public = true;
  };
  std::string prefix() const { return scopes_.empty() ? "" : scopes_.back().prefix; }
  bool visible() const { return scopes_.empty() || (!scopes_.back().hidden && scopes_.back().is_public); }

  // Whether the brace after this text opens a namespace or a class.
  bool enter(const std::string& text) {
    static const std::regex type(R"(^\s*(?:template\s*<[^>]*>\s*)?(class|struct)\s+(\w+)[^()=]*$)");
    static const std::regex space(R"(^\s*namespace\b)");
    std::smatch match;
    if (std::regex_search(text, match, type))
      scopes_.push_back({prefix() + match.str(2) + "::", !visible(), match.str(1) == "struct"});
    else if (std::regex_search(text, space))
      scopes_.push_back({prefix(), !visible(), true});
    else
      return false;
    return true;
  }

  bool set_access(const std::string& text) {
    static const std::regex access(R"(\s*(public|protected|private)\s*)");
    std::smatch match;
    if (!std::regex_match(text, match, access)) return false;
    scopes_.back().is_public = match.str(1) == "public";
    return true;
  }

  void add(const std::string& text) {
    static const std::regex function(R"(^([^(]*?)\b(operator\s*[^\s\w(]+|\w+)\s*\(([\s\S]*)$)");
    static const std::regex tensor(R"(\b(Tensor|Tensors|NamedTensor|DetectorOutput)\b)");
    std::smatch match;
    if (!visible() || !std::regex_search(text, match, function)) return;
    const std::string result = match.str(1), arguments = match.str(3);
    if (std::regex_search(result, tensor) && (prefix() == "Tensor::" || std::regex_search(arguments, tensor)))
      names_.push_back(prefix() + match.str(2));
  }

  std::vector<Scope> scopes_;
  std::vector<std::string> names_;
};

// Checks that the rows, and the functions documented as off the tape, are those that the headers of these
// folders declare.
inline void check_complete(const std::vector<std::string>& folders, const std::vector<TapeRow>& rows,
                           const std::vector<std::string>& off_the_tape) {
  struct Counts {
    int functions = 0, rows = 0;
    std::string headers;
  };
  std::map<std::string, Counts> counts;  // by name
  for (const std::string& folder : folders)
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(fmt::format("{}/{}", FOVEA_SOURCE_DIR, folder))) {
      if (entry.path().extension() != ".h") continue;
      std::ifstream file(entry.path(), std::ios::binary);
      const TensorFunctions functions({std::istreambuf_iterator<char>(file), {}});
      for (const std::string& name : functions.names()) {
        ++counts[name].functions;
        counts[name].headers += fmt::format(" {}", entry.path().string());
      }
    }
  CHECK(counts.size() > 10);
  for (const TapeRow& row : rows) ++counts[row.name].rows;
  for (const std::string& name : off_the_tape) ++counts[name].rows;
  for (const auto& [name, count] : counts) {
    INFO(name << ", declared in" << count.headers << ": each overload needs a row, and none is left over");
    CHECK(count.rows == count.functions);
  }
}

}  // namespace fovea
