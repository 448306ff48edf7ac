#include "core/print.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <ostream>
#include <type_traits>
#include <vector>

#include "core/dry_run.h"
#include "cuda/kernels/shape_ops.h"

namespace fovea {
namespace {

// NumPy's defaults (numpy.set_printoptions).
constexpr int64_t max_numbers = 1000, max_at_each_end = 3;
constexpr int decimals = 4;
constexpr size_t line_width = 75;

// The indices of an axis that are shown; `gap` stands for those left out.
constexpr int64_t gap = -1;
std::vector<int64_t> shown_indices(int64_t size, bool shortened) {
  std::vector<int64_t> indices;
  const bool cut = shortened && size > 2 * max_at_each_end;
  for (int64_t i = 0; i < size; ++i) {
    if (cut && i == max_at_each_end) {
      indices.push_back(gap);
      i = size - max_at_each_end;
    }
    indices.push_back(i);
  }
  return indices;
}

// How many decimals a number written with `decimals` of them needs: those up to the last that is not 0.
int needed_decimals(const std::string& text) {
  const size_t point = text.find('.'), exponent = std::min(text.find('e'), text.size());
  if (point == std::string::npos) return 0;
  const size_t last = text.find_last_not_of('0', exponent - 1);
  return int(last - point);
}

// Numbers as words of one width, with their points aligned.
std::vector<std::string> words_of(const std::vector<double>& numbers) {
  double largest = 0, smallest = std::numeric_limits<double>::infinity();
  for (const double x : numbers) {
    if (!std::isfinite(x) || x == 0) continue;
    largest = std::max(largest, std::abs(x));
    smallest = std::min(smallest, std::abs(x));
  }
  const bool exponents = largest > 0 && (largest >= 1e8 || smallest < 1e-4 || largest / smallest > 1e3);
  const auto written = [&](double x, int count) {
    return exponents ? fmt::format("{:#.{}e}", x, count) : fmt::format("{:#.{}f}", x, count);
  };
  int most = 0;
  for (const double x : numbers)
    if (std::isfinite(x)) most = std::max(most, needed_decimals(written(x, decimals)));
  std::vector<std::string> words;
  for (const double x : numbers) {
    if (!std::isfinite(x)) {
      words.push_back(std::isnan(x) ? "nan" : x < 0 ? "-inf" : "inf");
      continue;
    }
    std::string word = written(x, most);
    if (!exponents)  // trailing zeros become blanks
      for (size_t i = word.size(); i > 0 && word[i - 1] == '0'; --i) word[i - 1] = ' ';
    words.push_back(word);
  }
  return words;
}

std::vector<std::string> words_of(const std::vector<int64_t>& numbers) {
  std::vector<std::string> words;
  for (const int64_t x : numbers) words.push_back(fmt::to_string(x));
  return words;
}

class Printer {
 public:
  explicit Printer(const Tensor& x) : shape_(x.shape()), shortened_(x.numel() > max_numbers) {
    collect(0, 0);
    with_dtype(x.dtype(), [&]<class T>() {
      using Number = std::conditional_t<std::is_integral_v<T>, int64_t, double>;
      std::vector<Number> numbers;
      for (const int64_t at : offsets_) numbers.push_back(converted<Number>(x.data<T>()[at]));
      words_ = words_of(numbers);
    });
    size_t width = 0;
    for (const std::string& word : words_) width = std::max(width, word.size());
    for (std::string& word : words_) word.insert(0, width - word.size(), ' ');
    print(0);
  }
  const std::string& text() const { return text_; }

 private:
  // Collects the offsets of the numbers that are shown, row by row.
  void collect(int axis, int64_t offset) {
    if (axis == shape_.rank()) return offsets_.push_back(offset);
    for (const int64_t i : shown_indices(shape_[axis], shortened_))
      if (i != gap) collect(axis + 1, offset * shape_[axis] + i);
  }

  void print(int axis) {
    if (axis == shape_.rank()) {
      append(words_[next_++]);
      return;
    }
    append("[");
    bool first = true;
    for (const int64_t i : shown_indices(shape_[axis], shortened_)) {
      if (!first) separate(axis, i == gap ? 3 : words_[std::min(next_, words_.size() - 1)].size());
      first = false;
      if (i == gap)
        append("...");
      else
        print(axis + 1);
    }
    append("]");
  }

  // Rows go on new lines, matrices have an empty line between them, and a long row is wrapped.
  void separate(int axis, size_t next_word) {
    const bool last_axis = axis == shape_.rank() - 1;
    if (last_axis && column_ + 1 + next_word + 1 <= line_width) return append(" ");
    text_.append(last_axis ? 1 : size_t(shape_.rank() - 1 - axis), '\n');
    column_ = 0;
    append(std::string(size_t(axis) + 1, ' '));
  }

  void append(const std::string& part) {
    text_ += part;
    column_ += part.size();
  }

  Shape shape_;
  bool shortened_;
  std::vector<int64_t> offsets_;
  std::vector<std::string> words_;
  size_t next_ = 0, column_ = 0;
  std::string text_;
};

}  // namespace

std::string to_string(const Tensor& x) {
  if (!x.defined()) return "undefined tensor";
  const std::string header = fmt::format("{} {} on {}", x.dtype(), x.shape(), name(x.device()));
  if (!std::less<>()(x.raw(), dry_block())) return header + ", made by a dry run: it has no numbers";
  if (x.numel() == 0) return header + "\n[]";
  return header + "\n" + Printer(x.device() == Device::cpu ? x : x.clone(Device::cpu)).text();
}

std::ostream& operator<<(std::ostream& stream, const Tensor& x) { return stream << to_string(x); }

}  // namespace fovea
