#pragma once
#include <string>

#include "cli/learn/exercises.h"

namespace fovea {

// What a check came to.
struct CheckResult {
  enum class Outcome { passed, failed, does_not_compile, stopped };
  Outcome outcome = Outcome::failed;
  int steps_passed = 0, steps = 0;
  double build_seconds = 0, seconds = 0;
  std::string output;  // what the compiler or the check printed, and why the check was stopped
};

// Compiles the check of an exercise with the student's file, which is folder/<exercise.path()>, and runs it.
// A check that takes longer than `time_limit` seconds, or uses more than 4 GB of memory, is stopped.
// Throws Error where there is no compiler, or no space for what it makes.
CheckResult run_check(const LearnFiles& files, const std::string& folder, const Exercise& exercise,
                      int time_limit);

}  // namespace fovea
