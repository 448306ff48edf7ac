#pragma once
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"

namespace fovea {

// What may be wrong with a data set, worst first.
enum class ProblemKind {
  // Training stops at these, or cannot learn anything.
  malformed,
  unknown_class,
  broken_image,
  unknown_size,
  box_order,
  no_object,
  // Training continues, with less or worse data.
  missing_split,
  missing_image,
  missing_annotation,
  listed_twice,
  missing_size,
  unlisted_image,
  missing_labels,
  loose_number,
  not_utf8,
  image_size,
  wrong_ending,
  reversed_box,
  empty_box,
  outside_box,
  duplicate_box,
  duplicate_image,
  leaked_image,
  similar_image,
  absent_class,
  similar_class,
  unlabelled_class,
  small_box,
  // Worth knowing.
  empty_image,
  turned_image,
  drawn_split,
  ignored_field,
};

// The effect of a fault on training: it stops, it continues with less, or there is none.
enum class Severity { error, warning, note };

// The name of a kind of fault.
struct ProblemText {
  Severity severity;
  const char* heading;  // of a list of such faults
};

// The text of a kind.
const ProblemText& text_of(ProblemKind kind);

// One thing that is wrong with a data set.
struct Problem {
  ProblemKind kind;
  std::string text;  // one sentence: file, field, value, and the consequence
};

// The four numbers of a box as they are in the file, and its image's size.
struct RawBox {
  std::array<double, 4> numbers;
  int width, height;
};

// What a reader of annotations records for a check, besides the data set. With a log it continues after what
// would otherwise be an error.
struct ReadLog {
  std::vector<Problem> faults;
  std::vector<RawBox> boxes;  // all that are four numbers, including those that are left out or cut off
};

// "a, b, c", cut short if there are more than ten: "a, ... and 1190 more".
std::string some_of(const std::vector<std::string>& names);

// Faults of one kind in one sentence: their number, what they are, and the first of them; a single one is
// returned as it is.
std::string summary_of(ProblemKind kind, const std::vector<std::string>& texts);

// Puts the summary in front of the warnings, and with a log adds each fault to it. Does nothing if there is
// none.
void warn_of(ProblemKind kind, const std::vector<std::string>& texts, std::vector<std::string>& warnings,
             ReadLog* log);

// An error with its kind of fault; a log keeps other errors as ProblemKind::malformed.
class ProblemError : public Error {
 public:
  ProblemError(ProblemKind which, const std::string& text) : Error(text), kind(which) {}
  const ProblemKind kind;
};

// Throws a ProblemError with the formatted text.
template <class... Args>
[[noreturn]] void fail_as(ProblemKind kind, fmt::format_string<Args...> format, Args&&... args) {
  throw ProblemError(kind, fmt::format(format, std::forward<Args>(args)...));
}

// Calls f(). If there is a log, an Error that f throws becomes a fault in it, and the result is false.
template <class F>
bool attempt(ReadLog* log, F&& f) {
  try {
    f();
    return true;
  } catch (const ProblemError& error) {
    if (!log) throw;
    log->faults.push_back({error.kind, error.what()});
  } catch (const Error& error) {
    if (!log) throw;
    log->faults.push_back({ProblemKind::malformed, error.what()});
  }
  return false;
}

}  // namespace fovea
