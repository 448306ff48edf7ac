#include "models/onnx/graph.h"

#include <onnx/onnx_pb.h>

#include <bit>

#include "core/error.h"

namespace fovea {
namespace {

static_assert(std::endian::native == std::endian::little,
              "ONNX stores numbers little-endian, and so must this machine");

constexpr int ir_version = 7, opset = 13;  // ONNX 1.8, of 2020
constexpr const char* batch_dimension = "batch";

int32_t type_of(OnnxType type) {
  return type == OnnxType::float32 ? onnx::TensorProto::FLOAT : onnx::TensorProto::INT64;
}

// Of an element.
int32_t type_of(float) { return onnx::TensorProto::FLOAT; }
int32_t type_of(int64_t) { return onnx::TensorProto::INT64; }
int32_t type_of(int32_t) { return onnx::TensorProto::INT32; }
int32_t type_of(int8_t) { return onnx::TensorProto::INT8; }
int32_t type_of(uint8_t) { return onnx::TensorProto::UINT8; }

void describe(onnx::ValueInfoProto& info, const std::string& name, OnnxType type,
              const std::vector<int64_t>& sizes, bool batch) {
  info.set_name(name);
  auto& tensor = *info.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(type_of(type));
  if (batch) tensor.mutable_shape()->add_dim()->set_dim_param(batch_dimension);
  for (int64_t size : sizes) tensor.mutable_shape()->add_dim()->set_dim_value(size);
}

void set_value(onnx::AttributeProto& attribute, int64_t value) {
  attribute.set_type(onnx::AttributeProto::INT);
  attribute.set_i(value);
}
void set_value(onnx::AttributeProto& attribute, double value) {
  attribute.set_type(onnx::AttributeProto::FLOAT);
  attribute.set_f(float(value));
}
void set_value(onnx::AttributeProto& attribute, const std::string& value) {
  attribute.set_type(onnx::AttributeProto::STRING);
  attribute.set_s(value);
}
void set_value(onnx::AttributeProto& attribute, const std::vector<int64_t>& values) {
  attribute.set_type(onnx::AttributeProto::INTS);
  for (int64_t value : values) attribute.add_ints(value);
}

template <class T>
void set_numbers(onnx::TensorProto& tensor, const std::string& name, std::span<const int64_t> sizes,
                 std::span<const T> numbers) {
  tensor.set_name(name);
  tensor.set_data_type(type_of(T()));
  for (int64_t size : sizes) tensor.add_dims(size);
  tensor.set_raw_data(numbers.data(), numbers.size_bytes());
}

// Keeps those elements of a repeated field for which f is true, in their order.
template <class Field, class F>
void keep_if(Field& field, F&& f) {
  int kept = 0;
  for (int i = 0; i < field.size(); ++i)
    if (f(field.Get(i))) field.SwapElements(kept++, i);
  field.DeleteSubrange(kept, field.size() - kept);
}

}  // namespace

OnnxGraph::OnnxGraph() : model_(std::make_unique<onnx::ModelProto>()) {
  model_->set_ir_version(ir_version);
  model_->set_producer_name("fovea");
  model_->set_producer_version(FOVEA_VERSION);
  model_->add_opset_import()->set_version(opset);
  graph().set_name("fovea");
}
OnnxGraph::~OnnxGraph() = default;

onnx::GraphProto& OnnxGraph::graph() { return *model_->mutable_graph(); }

std::string OnnxGraph::unique(const std::string& name) {
  std::string free = name;
  while (!names_.insert(free).second) free = fmt::format("{}.{}", name, ++numbered_[name]);
  return free;
}

OnnxNames OnnxGraph::add(const char* type, const OnnxNames& inputs, const OnnxAttributes& attributes,
                         int outputs) {
  onnx::NodeProto& node = *graph().add_node();
  node.set_op_type(type);
  for (const std::string& input : inputs) node.add_input(input);
  OnnxNames names;
  for (int i = 0; i < outputs; ++i) node.add_output(names.emplace_back(in_scope(type)));
  node.set_name(names[0]);
  for (const auto& [name, value] : attributes) {
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(name);
    std::visit([&](const auto& v) { set_value(attribute, v); }, value);
  }
  return names;
}

std::string OnnxGraph::add(const char* type, const OnnxNames& inputs, const OnnxAttributes& attributes) {
  return add(type, inputs, attributes, 1)[0];
}

std::string OnnxGraph::constant(const std::string& name, std::span<const int64_t> sizes,
                                std::span<const float> numbers) {
  const std::string free = unique(name);
  set_numbers(*graph().add_initializer(), free, sizes, numbers);
  return free;
}
std::string OnnxGraph::constant(const std::string& name, std::span<const int64_t> sizes,
                                std::span<const int8_t> numbers) {
  const std::string free = unique(name);
  set_numbers(*graph().add_initializer(), free, sizes, numbers);
  return free;
}
std::string OnnxGraph::constant(const std::string& name, std::span<const int64_t> sizes,
                                std::span<const int32_t> numbers) {
  const std::string free = unique(name);
  set_numbers(*graph().add_initializer(), free, sizes, numbers);
  return free;
}

template <class T>
std::string OnnxGraph::small(std::map<std::pair<bool, std::vector<T>>, std::string>& known, bool is_list,
                             const std::vector<T>& numbers) {
  std::string& name = known[{is_list, numbers}];
  if (!name.empty()) return name;
  name = unique("constant");
  const int64_t count = int64_t(numbers.size());
  set_numbers<T>(*graph().add_initializer(), name, std::span(&count, is_list ? 1 : 0), numbers);
  return name;
}

std::string OnnxGraph::scalar(double number) { return small<float>(floats_, false, {float(number)}); }
std::string OnnxGraph::scalar(int64_t number) { return small<int64_t>(integers_, false, {number}); }
std::string OnnxGraph::scalar(uint8_t number) { return small<uint8_t>(bytes_, false, {number}); }
std::string OnnxGraph::list(const std::vector<int64_t>& numbers) { return small(integers_, true, numbers); }
std::string OnnxGraph::list(const std::vector<float>& numbers) { return small(floats_, true, numbers); }

void OnnxGraph::input(const std::string& name, const std::vector<int64_t>& sizes) {
  require(names_.insert(name).second, "[onnx] two values are named {}", name);
  describe(*graph().add_input(), name, OnnxType::float32, sizes, true);
}

void OnnxGraph::output(const std::string& name, const std::string& value, OnnxType type,
                       const std::vector<int64_t>& sizes, bool batch) {
  require(names_.insert(name).second, "[onnx] two values are named {}", name);
  describe(*graph().add_output(), name, type, sizes, batch);
  // Adds a node, since the value may also be an input or a constant, or have other readers. Runtimes leave it
  // out.
  onnx::NodeProto& node = *graph().add_node();
  node.set_op_type("Identity");
  node.set_name(name);
  node.add_input(value);
  node.add_output(name);
}

void OnnxGraph::metadata(const std::string& key, const std::string& value) {
  auto& property = *model_->add_metadata_props();
  property.set_key(key);
  property.set_value(value);
}

const onnx::ModelProto& OnnxGraph::finish() {
  std::set<std::string> needed;
  for (const auto& output : graph().output()) needed.insert(output.name());
  for (int i = graph().node_size() - 1; i >= 0; --i) {  // each node after those it reads
    const onnx::NodeProto& node = graph().node(i);
    for (const std::string& output : node.output())
      if (needed.contains(output)) needed.insert(node.input().begin(), node.input().end());
  }
  keep_if(*graph().mutable_node(), [&](const onnx::NodeProto& node) {
    for (const std::string& output : node.output())
      if (needed.contains(output)) return true;
    return false;
  });
  keep_if(*graph().mutable_initializer(),
          [&](const onnx::TensorProto& t) { return needed.contains(t.name()); });
  for (const auto& input : graph().input())
    require(needed.contains(input.name()),
            "[onnx] no output depends on the input {}: the network must compute from the same tensor that it "
            "was given",
            input.name());
  return *model_;
}

}  // namespace fovea
