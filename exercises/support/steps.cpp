#include "exercises/support/steps.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include <fovea/core/random.h>
#include <fovea/cuda/runtime/error.h>
#include "exercises/support/kernels.h"

namespace fovea::learn {
namespace {

struct NamedStep {
  const char* name;
  void (*run)();
};
std::vector<NamedStep>& steps() {
  static std::vector<NamedStep> list;
  return list;
}
std::vector<std::string> notes;

struct Wrong : std::runtime_error {
  using std::runtime_error::runtime_error;
};

bool is_close(double got, double expected, double tolerance) {
  return std::abs(got - expected) <= tolerance * std::max(1.0, std::abs(expected));
}

// Fresh device memory is full of this NaN (cuda/sim/README.md).
bool was_never_written(float value) { return std::bit_cast<uint32_t>(value) == 0x7FA07FA0; }
bool was_never_written(double) { return false; }

std::string position(size_t index, const Shape& shape) {
  if (shape.rank() < 2) return fmt::format("element {}", index);
  std::vector<int64_t> place(size_t(shape.rank()));
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    place[size_t(axis)] = int64_t(index) % shape[axis];
    index /= size_t(shape[axis]);
  }
  return fmt::format("element [{}]", fmt::join(place, ", "));
}

template <class T>
void compare(std::span<const T> got, std::span<const double> expected, std::string_view what,
             double tolerance, const Shape& shape, const char* source = "expected") {
  expect(got.size() == expected.size(), "{}: expected {} numbers, got {}", what, expected.size(), got.size());
  size_t first = got.size(), count = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    if (is_close(double(got[i]), expected[i], tolerance)) continue;
    first = std::min(first, i);
    ++count;
  }
  if (count == 0) return;
  expect(!was_never_written(got[first]),
         "{}: {} should be {:.7g} ({}) and was never written; {} of {} elements are wrong", what,
         position(first, shape), expected[first], source, count, got.size());
  wrong(fmt::format("{}: {} should be {:.7g} ({}) and is {:.7g}; {} of {} elements are wrong", what,
                    position(first, shape), expected[first], source, double(got[first]), count, got.size()));
}

// What the simulator says, a clause a line.
std::string in_lines(std::string text) {
  for (const char* clause : {": kernel ", ", block (", ", at "})
    if (const size_t at = text.find(clause); at != std::string::npos) text.replace(at + 1, 1, "\n        ");
  return text;
}

}  // namespace

Step::Step(const char* name, void (*run)()) { steps().push_back({name, run}); }

void wrong(const std::string& sentence) { throw Wrong(sentence); }

void note(const std::string& line) { notes.push_back(line); }

void expect_equal(std::span<const int64_t> got, std::span<const int64_t> expected, std::string_view what) {
  if (!std::equal(got.begin(), got.end(), expected.begin(), expected.end()))
    wrong(fmt::format("{}: expected {{{}}}, got {{{}}}", what, fmt::join(expected, ", "),
                      fmt::join(got, ", ")));
}

void expect_close(double got, double expected, std::string_view what, double tolerance) {
  if (!is_close(got, expected, tolerance))
    wrong(fmt::format("{}: expected {:.7g}, got {:.7g}", what, expected, got));
}

void expect_close(std::span<const double> got, std::span<const double> expected, std::string_view what,
                  double tolerance, const Shape& shape) {
  compare(got, expected, what, tolerance, shape);
}

void expect_close(std::span<const float> got, std::span<const double> expected, std::string_view what,
                  double tolerance, const Shape& shape) {
  compare(got, expected, what, tolerance, shape);
}

void expect_close(const Tensor& got, const Tensor& expected, std::string_view what, double tolerance) {
  expect(got.defined(), "{}: the tensor is empty", what);
  expect(got.shape() == expected.shape(), "{}: expected the shape {}, got {}", what, expected.shape(),
         got.shape());
  compare<double>(got.values(), expected.values(), what, tolerance, expected.shape());
}

void expect_refused(const std::function<void()>& f, std::string_view what) {
  try {
    f();
  } catch (const std::exception& error) {
    expect(std::strlen(error.what()) > 0, "{}: the exception has no text", what);
    return;
  }
  wrong(fmt::format("{}: this must be refused by an exception, and was accepted", what));
}

void expect_gradient(std::span<const double> got, const std::function<double(std::span<const double>)>& loss,
                     std::span<const double> inputs, std::string_view what, double tolerance,
                     const Shape& shape) {
  std::vector<double> x(inputs.begin(), inputs.end()), numeric(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double h = 1e-5 * std::max(1.0, std::abs(inputs[i]));
    x[i] = inputs[i] + h;
    const double above = loss(x);
    x[i] = inputs[i] - h;
    numeric[i] = (above - loss(x)) / (2 * h);
    x[i] = inputs[i];
  }
  compare(got, std::span<const double>(numeric), what, tolerance, shape, "by central differences");
}

std::vector<double> sample(int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<double> values(static_cast<size_t>(count));
  for (double& value : values) value = random.uniform(-1, 1);
  return values;
}

std::vector<float> sample_float(int64_t count, uint64_t seed) {
  const std::vector<double> values = sample(count, seed);
  return {values.begin(), values.end()};
}

std::vector<float> in_every_order(const std::function<std::vector<float>()>& launches) {
  struct Restore {
    cuda::ThreadOrder before = cuda::thread_order();
    ~Restore() { cuda::set_thread_order(before); }
  } restore;
  std::vector<float> first;
  for (const auto& [order, name] :
       {std::pair{cuda::ThreadOrder::forward, "in order"}, std::pair{cuda::ThreadOrder::reverse, "backwards"},
        std::pair{cuda::ThreadOrder::shuffled, "shuffled"}}) {
    cuda::set_thread_order(order);
    const std::vector<float> result = launches();
    if (order == cuda::ThreadOrder::forward) first = result;
    // By their bits: a NaN equals itself.
    const auto [a, b] = std::mismatch(
        first.begin(), first.end(), result.begin(), result.end(),
        [](float x, float y) { return std::bit_cast<uint32_t>(x) == std::bit_cast<uint32_t>(y); });
    if (a == first.end() && b == result.end()) continue;
    wrong(fmt::format(
        "the result depends on the order in which threads run: element {} is {} where they begin in "
        "order and {} where they begin {}",
        a - first.begin(), *a, *b, name));
  }
  return first;
}

cuda::KernelScore score_of(const std::function<void()>& launches) {
  const cuda::ScoreKernels scoring;
  launches();
  const std::vector<cuda::KernelScore> scores = scoring.scores();
  expect(scores.size() == 1, "the check counts one launch, and there were {}", scores.size());
  return scores[0];
}

void note_score(std::string_view buffer, std::string_view verb, const cuda::AccessScore& score) {
  note(fmt::format("{}: {} {:.2f} times over, {:.1f} sectors of 32 bytes a request", buffer, verb,
                   score.times(), score.sectors_per_request()));
}

void expect_times(std::string_view buffer, std::string_view verb, const cuda::AccessScore& score,
                  double enough) {
  expect(score.requests > 0, "{} is never {}", buffer, verb);
  expect(score.times() <= enough + 1e-9, "{} is {} {:.2f} times over; {:.2f} times are enough", buffer, verb,
         score.times(), enough);
}

void expect_sectors(std::string_view buffer, std::string_view verb, const cuda::AccessScore& score,
                    double enough) {
  expect(score.requests > 0, "{} is never {}", buffer, verb);
  expect(score.sectors_per_request() <= enough + 1e-9,
         "each time a warp's 32 threads access {} ({}), they touch {:.1f} sectors of 32 bytes; {:.1f} are "
         "enough: "
         "neighbouring threads should access neighbouring numbers",
         buffer, verb, score.sectors_per_request(), enough);
}

int run_steps(int argc, char** argv) {
  FILE* result = nullptr;
  if (argc == 3 && std::strcmp(argv[1], "--result") == 0) result = std::fopen(argv[2], "w");
  const auto record = [&](const std::string& line) {
    if (!result) return;
    std::fputs(line.c_str(), result);
    std::fflush(result);  // the next step may end the program
  };
  size_t passed = 0;
  std::string before;  // the fault of the step before: the simulator reports one mistake in every step
  for (const NamedStep& step : steps()) {
    notes.clear();
    record(fmt::format("passed {} of {} before: {}\n", passed, steps().size(), step.name));
    std::string fault;
    try {
      step.run();
      ++passed;
    } catch (const CudaError& error) {
      fault = in_lines(error.what());
    } catch (const std::exception& error) {
      fault = error.what();
    }
    std::string text = fmt::format("  {}  {}\n", fault.empty() ? "ok  " : "FAIL", step.name);
    for (const std::string& line : notes) text += fmt::format("        {}\n", line);
    if (!fault.empty())
      text += fmt::format("        {}\n", fault == before ? "the same as in the step before" : fault);
    before = fault;
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
  }
  record(fmt::format("passed {} of {}\n", passed, steps().size()));
  if (result) std::fclose(result);
  return passed == steps().size() ? 0 : 1;
}

}  // namespace fovea::learn
