#pragma once
#include <cstdint>
#include <string_view>

namespace fovea {

// Where a tensor's bytes are stored and its ops run.
enum class Device : uint8_t { cpu, cuda };

Device parse_device(std::string_view name);  // "cpu" or "cuda"; throws on any other name

inline std::string_view name(Device device) { return device == Device::cpu ? "cpu" : "cuda"; }

}  // namespace fovea
