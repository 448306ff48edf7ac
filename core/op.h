#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <variant>

namespace fovea {

// What an op was called with besides its tensors: {{"stride", 2}, {"padding", "same"}}.
using Attribute = std::variant<int64_t, double, std::string>;
using Attributes = std::map<std::string, Attribute>;  // by name

// How an op presents itself to record() (core/autograd.h): its name, and its attributes, which are only
// computed for an observer that asks.
struct Op {
  Op(const char* op_name, std::function<Attributes()> op_attributes = {})
      : name(op_name), attributes(std::move(op_attributes)) {}
  const char* name;
  std::function<Attributes()> attributes;
};

}  // namespace fovea
