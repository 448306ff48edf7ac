#pragma once
// For the checks of chapter 17: what the simulator finds in a broken kernel, compared with the student's
// answer.
#include <fovea/cuda/runtime/error.h>

#include <cstdlib>
#include <fstream>

#include "check.h"
#include "detective.h"
#include "kernels.h"

namespace fovea::learn {

inline const char* name(Fault fault) {
  switch (fault) {
    case Fault::race:
      return "a race";
    case Fault::out_of_bounds:
      return "an access out of bounds";
    case Fault::bank_conflict:
      return "a bank conflict";
    case Fault::uninitialized_read:
      return "a read of uninitialized memory";
    case Fault::divergent_barrier:
      return "a divergent barrier";
    case Fault::index_overflow:
      return "an index that overflows";
    case Fault::unordered_sum:
      return "a sum in no fixed order";
    case Fault::unpacked_store:
      return "a store that is not packed";
    default:
      return "unknown";
  }
}

// What the simulator reports; Fault::unknown where it reports nothing.
struct Report {
  Fault fault = Fault::unknown;
  int thread = -1, line = 0;
  std::string text;
};

// The number behind the last occurrence of `before`.
inline int number_after(const std::string& text, const std::string& before) {
  const size_t at = text.rfind(before);
  return at == std::string::npos ? -1 : std::atoi(text.c_str() + at + before.size());
}

inline Report report_of(const std::function<void()>& launches) {
  Report report;
  try {
    launches();
  } catch (const CudaError& error) {
    report.text = error.what();
    for (const auto& [words, fault] :
         {std::pair{"barrier: ", Fault::divergent_barrier}, std::pair{"race: ", Fault::race},
          std::pair{"out of bounds: ", Fault::out_of_bounds},
          std::pair{"uninitialised", Fault::uninitialized_read}})
      if (report.text.find(words) != std::string::npos) report.fault = fault;
    report.thread = number_after(report.text, "thread (");
    report.line = number_after(report.text, ".cu:");
  }
  return report;
}

// A line of the student's file, without the comment, and the letter in it; '?' where it has none.
struct LetteredLine {
  std::string code;
  char letter = '?';
};
inline std::vector<LetteredLine> lines_of(const Line& answer) {
  std::vector<LetteredLine> lines;
  std::ifstream file(answer.file);
  for (std::string text; std::getline(file, text);) {
    LetteredLine line;
    const size_t end = text.size() < 4 ? 0 : text.size() - 4;
    if (text.compare(end, 3, "// ") == 0) line.letter = text.back();
    line.code = text.substr(0, line.letter == '?' ? text.size() : end);
    const size_t first = line.code.find_first_not_of(' '), last = line.code.find_last_not_of(' ');
    line.code = first == std::string::npos ? "" : line.code.substr(first, last + 1 - first);
    lines.push_back(line);
  }
  return lines;
}

// By its number, from 1, and by what it contains: '?' where there is no such line with a letter.
inline char letter_of(const Line& answer, int number) {
  const std::vector<LetteredLine> lines = lines_of(answer);
  return number < 1 || number > int(lines.size()) ? '?' : lines[number - 1].letter;
}
inline char letter_of(const Line& answer, std::string_view part) {
  for (const LetteredLine& line : lines_of(answer))
    if (line.letter != '?' && line.code.find(part) != std::string::npos) return line.letter;
  return '?';
}

inline constexpr const char broken_was_edited[] =
    "broken() is not as it was given: restore it from a new folder of `fovea learn start`";

inline void expect_fault(Fault got, Fault found) {
  expect(found != Fault::unknown, broken_was_edited);
  expect(got != Fault::unknown, "`fault` is Fault::unknown: which of the faults in detective.h is it?");
  expect(got == found, "the check has run broken(), and what is wrong with it is not {}", name(got));
}

inline void expect_line(const Line& got, char found) {
  expect(found != '?', broken_was_edited);
  expect(got.letter != '?', "`line` is '?': fill in the letter of a line of broken()");
  if (got.letter == found) return;
  for (const LetteredLine& line : lines_of(got))
    if (line.letter == got.letter) wrong(fmt::format("it is not line {}, `{}`", got.letter, line.code));
  wrong(fmt::format("broken() has no line '{}'", got.letter));
}

inline void expect_number(const char* what, int got, int found, const std::string& sentence) {
  expect(got >= 0, "`{}` is {}: fill in a number", what, got);
  expect(got == found, "`{}` is {}: {}", what, got, sentence);
}

}  // namespace fovea::learn
