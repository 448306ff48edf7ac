#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace onnx {
class GraphProto;
class ModelProto;
}  // namespace onnx

namespace fovea {

// The attributes of an ONNX operator, and the names of values.
using OnnxAttribute =
    std::variant<int64_t, double, std::string, std::vector<int64_t>>;  // INT, FLOAT, STRING, INTS
using OnnxAttributes = std::map<std::string, OnnxAttribute>;           // by name
using OnnxNames = std::vector<std::string>;                            // of values

// The element type of an output.
enum class OnnxType { float32, int64 };

// An ONNX model under construction: operators of opset 13, which every runtime of recent years supports, and
// their constants. Values are identified by their names, which are unique; an empty name is an omitted input.
class OnnxGraph {
 public:
  OnnxGraph();
  ~OnnxGraph();
  OnnxGraph(const OnnxGraph&) = delete;
  OnnxGraph& operator=(const OnnxGraph&) = delete;

  // Nodes and constants made from now on are named after this part of the network: "backbone.conv_stem".
  void set_scope(const std::string& scope) { scope_ = scope; }

  // Adds the operator and returns its first output.
  std::string add(const char* type, const OnnxNames& inputs, const OnnxAttributes& attributes = {});
  OnnxNames add(const char* type, const OnnxNames& inputs, const OnnxAttributes& attributes, int outputs);

  // A constant with its numbers, row by row, under the given name or a similar one that is free.
  std::string constant(const std::string& name, std::span<const int64_t> sizes,
                       std::span<const float> numbers);
  std::string constant(const std::string& name, std::span<const int64_t> sizes,
                       std::span<const int8_t> numbers);
  std::string constant(const std::string& name, std::span<const int64_t> sizes,
                       std::span<const int32_t> numbers);
  // Small constants are named by the scope, and equal ones are stored once. No sizes: a scalar.
  std::string scalar(double number);
  std::string scalar(int64_t number);
  std::string scalar(uint8_t number);
  std::string list(const std::vector<int64_t>& numbers);
  std::string list(const std::vector<float>& numbers);

  // sizes: without the batch, which comes first and is dynamic.
  void input(const std::string& name, const std::vector<int64_t>& sizes);
  // Gives a value the name of an output.
  void output(const std::string& name, const std::string& value, OnnxType type,
              const std::vector<int64_t>& sizes, bool batch = true);
  void metadata(const std::string& key, const std::string& value);

  // The model, without the parts that no output depends on. Throws Error if an output does not depend on the
  // input. Call it last.
  const onnx::ModelProto& finish();

 private:
  onnx::GraphProto& graph();
  std::string unique(const std::string& name);
  std::string in_scope(const std::string& name) {
    return unique(scope_.empty() ? name : scope_ + "/" + name);
  }
  template <class T>
  std::string small(std::map<std::pair<bool, std::vector<T>>, std::string>& known, bool is_list,
                    const std::vector<T>& numbers);

  std::unique_ptr<onnx::ModelProto> model_;
  std::string scope_;
  std::set<std::string> names_;
  std::map<std::string, int> numbered_;                                    // how often a name was requested
  std::map<std::pair<bool, std::vector<int64_t>>, std::string> integers_;  // by (is a list, numbers)
  std::map<std::pair<bool, std::vector<float>>, std::string> floats_;
  std::map<std::pair<bool, std::vector<uint8_t>>, std::string> bytes_;
};

}  // namespace fovea
