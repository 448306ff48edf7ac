#include "cuda/runtime/profile.h"

#include <cxxabi.h>

#include <cstdlib>
#include <map>
#include <regex>
#include <utility>

#include "cuda/platform.h"
#include "cuda/runtime/error.h"
#ifdef FOVEA_SIM
#include "cuda/sim/simulator.h"
#endif

namespace fovea::cuda {
namespace {
thread_local LaunchTimer* current = nullptr;
}

LaunchTimer::LaunchTimer() : previous_(std::exchange(current, this)) {}
LaunchTimer::~LaunchTimer() {
  if (!end_) current = previous_;
}

bool LaunchTimer::running() { return current != nullptr; }
void LaunchTimer::note_kernel(const void* kernel, const LaunchShape& shape, int64_t bytes) {
  if (current) current->add(kernel, nullptr, shape, bytes);
}
void LaunchTimer::note(const char* work, int64_t bytes) {
  if (current) current->add(nullptr, work, {}, bytes);
}

void LaunchTimer::add(const void* kernel, const char* work, const LaunchShape& shape, int64_t bytes) {
  launches_.push_back(std::unique_ptr<Launch>(new Launch{kernel, work, shape, bytes, {}}));
  launches_.back()->begin.record(current_stream());
}

void LaunchTimer::stop() {
  if (end_) throw CudaError("a LaunchTimer was stopped twice");
  current = previous_;
  end_ = std::make_unique<Event>();
  end_->record(current_stream());
}

std::vector<LaunchTime> LaunchTimer::launches() const {
  std::map<const void*, std::string> names;
  std::vector<LaunchTime> result;
  for (const auto& launch : launches_) {
    std::string& name = names[launch->kernel];
    if (launch->kernel && name.empty()) name = kernel_name(launch->kernel);
    result.push_back({launch->kernel ? name : launch->work, launch->bytes, 0, launch->shape});
  }
  return result;
}

std::vector<LaunchTime> LaunchTimer::times() const {
  if (!end_) throw CudaError("a LaunchTimer was read before it was stopped");
  end_->synchronize();
  std::vector<LaunchTime> result = launches();
  for (size_t i = 0; i < result.size(); ++i) {
    const Event& end = i + 1 < result.size() ? launches_[i + 1]->begin : *end_;
    result[i].seconds = end.milliseconds_since(launches_[i]->begin) / 1e3;
  }
  return result;
}

std::string kernel_name(const void* kernel) {
#ifdef FOVEA_SIM
  return short_kernel_name(sim::function_name(kernel));
#else
  const char* mangled = nullptr;
  return cudaFuncGetName(&mangled, kernel) == cudaSuccess ? kernel_name_of_symbol(mangled) : "?";
#endif
}

std::string kernel_name_of_symbol(const char* mangled) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(mangled, nullptr, nullptr, &status), &std::free);
  return short_kernel_name(text ? text.get() : mangled);
}

std::string short_kernel_name(const std::string& demangled) {
  static const std::regex noise("\\(anonymous namespace\\)::|[A-Za-z_0-9]+::|^void |\\([a-z]+\\)(?=\\d)");
  std::string name = std::regex_replace(demangled, noise, "");
  int depth = 0;  // of <>
  for (size_t i = 0; i < name.size(); ++i) {
    depth += name[i] == '<' ? 1 : name[i] == '>' ? -1 : 0;
    if (name[i] == '(' && depth == 0) return name.substr(0, i);
  }
  return name;
}

}  // namespace fovea::cuda
