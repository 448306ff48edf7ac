#pragma once
// Shared by the ladders. A ladder computes one op by several kernels, its rungs. This header has no host code
// that nvcc would have to compile, except for templates.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cuda/runtime/kernel_score.h"
#include "cuda/runtime/memory.h"

namespace ladders {

// An array in device memory, with a name in the scores.
template <class T>
struct Array : fovea::cuda::Workspace<T> {
  int64_t count;

  Array(const char* name, int64_t count_) : fovea::cuda::Workspace<T>(count_), count(count_) {
    fovea::cuda::name_buffer(this->data(), name);
  }
  Array(const char* name, const std::vector<T>& values) : Array(name, int64_t(values.size())) {
    fovea::cuda::copy_to_device(this->data(), values.data(), bytes());
  }
  size_t bytes() const { return size_t(count) * sizeof(T); }
  std::vector<float> values() const {
    std::vector<T> numbers(static_cast<size_t>(count));
    fovea::cuda::copy_to_host(numbers.data(), this->data(), bytes());
    std::vector<float> result;
    for (const T number : numbers) result.push_back(float(number));
    return result;
  }
};

// `count` numbers from -1 to 1, the same on every machine.
template <class T = float>
std::vector<T> numbers(int64_t count) {
  std::vector<T> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(T(float(i * 7919 % 1021) / 510.0f - 1.0f));
  return values;
}

// Functions and structs of one file, each named by a text of its first line.
struct Code {
  std::string file;  // from the root of the tree
  std::vector<std::string> parts;
};

struct Rung {
  std::string name;
  std::vector<Code> code;
  std::function<void()> run;
};

// An input whose reads the table shows.
struct Input {
  std::string name;
  const void* data;
};

struct Ladder {
  std::string title;
  std::vector<Input> inputs;
  double least_bytes = 0;  // inputs and outputs, each once
  std::function<void()> clear;
  std::function<std::vector<float>()> result;
  double tolerance = 1e-5;  // of the largest number of the result
  std::vector<Rung> rungs;
};

// The main function of a ladder. Launches each rung on the simulated device, compares its result with that of
// the first, and prints what it requests from memory. With `--chart FILE` it also writes the chart of the
// page. Returns 1 if a rung has another result than the first. Throws std::runtime_error if a rung's code is
// not in its file.
int run(const Ladder& ladder, int argc, char** argv);

}  // namespace ladders
