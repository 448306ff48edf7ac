#pragma once
// What the checks are written with: named steps that run one after another, and functions that say in words
// what is wrong.
#include <fmt/format.h>
#include <fovea/core/error.h>
#include <fovea/core/tensor.h>

#include <cmath>
#include <concepts>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::learn {

// A part of a check. `name` completes the sentence "ok: ..." or "FAIL: ...". Steps run in the order in which
// they stand in the file; all of them run, whichever fail.
struct Step {
  Step(const char* name, void (*run)());
};
// STEP("a scalar takes the other's shape") { expect_equal(...); }
#define FOVEA_LEARN_JOIN_(a, b) a##b
#define FOVEA_LEARN_JOIN(a, b) FOVEA_LEARN_JOIN_(a, b)
#define STEP(name)                                                         \
  static void FOVEA_LEARN_JOIN(step_, __LINE__)();                         \
  static const fovea::learn::Step FOVEA_LEARN_JOIN(registered_, __LINE__)( \
      name, FOVEA_LEARN_JOIN(step_, __LINE__));                            \
  static void FOVEA_LEARN_JOIN(step_, __LINE__)()

// Ends the step with this sentence, or lines, for the student.
[[noreturn]] void wrong(const std::string& sentence);
template <class... Args>
void expect(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) wrong(fmt::format(format, std::forward<Args>(args)...));
}

// A line under the step's "ok", such as a count that the student may want to lower.
void note(const std::string& line);

// The same values: `what` is the expression that was evaluated, "broadcast({3, 1}, {4})".
template <class T>
void expect_equal(const T& got, const T& expected, std::string_view what) {
  if (!(got == expected)) wrong(fmt::format("{}: expected {}, got {}", what, expected, got));
}
// Lists: the message shows both.
void expect_equal(std::span<const int64_t> got, std::span<const int64_t> expected, std::string_view what);
inline void expect_equal(const std::vector<int64_t>& got, const std::vector<int64_t>& expected,
                         std::string_view what) {
  expect_equal(std::span<const int64_t>(got), std::span<const int64_t>(expected), what);
}

// |got - expected| <= tolerance * max(1, |expected|). A NaN is never close. The lists' message has the first
// wrong element and how many there are; with a shape, its indices.
void expect_close(double got, double expected, std::string_view what, double tolerance = 1e-6);
void expect_close(std::span<const double> got, std::span<const double> expected, std::string_view what,
                  double tolerance = 1e-6, const Shape& shape = {});
void expect_close(std::span<const float> got, std::span<const double> expected, std::string_view what,
                  double tolerance = 1e-5, const Shape& shape = {});
void expect_close(const Tensor& got, const Tensor& expected, std::string_view what, double tolerance = 1e-5);

// f() must throw an exception derived from std::exception, whose text is not empty.
void expect_refused(const std::function<void()>& f, std::string_view what);

// The gradient that the student computed, d(loss)/d(inputs), against central differences of loss() in
// float64: (loss(x + h) - loss(x - h)) / 2h for each element.
void expect_gradient(std::span<const double> got, const std::function<double(std::span<const double>)>& loss,
                     std::span<const double> inputs, std::string_view what, double tolerance = 1e-6,
                     const Shape& shape = {});

// Numbers to try things on, in [-1, 1), the same on every machine.
std::vector<double> sample(int64_t count, uint64_t seed = 1);
std::vector<float> sample_float(int64_t count, uint64_t seed = 1);

// Runs the steps and prints them; what main() returns: 0 where all passed. --result FILE also gets the count.
int run_steps(int argc, char** argv);

}  // namespace fovea::learn
