#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <variant>

namespace fovea {

// The arguments of an op other than its tensors: {{"stride", 2}, {"padding", "same"}}.
using Attribute = std::variant<int64_t, double, std::string>;
using Attributes = std::map<std::string, Attribute>;  // by name

// How an op describes itself to record() (core/autograd.h): its name, and its attributes, which are computed
// only if an observer reads them.
struct Op {
  Op(const char* op_name, std::function<Attributes()> op_attributes = {})
      : name(op_name), attributes(std::move(op_attributes)) {}
  const char* name;
  std::function<Attributes()> attributes;
};

}  // namespace fovea
