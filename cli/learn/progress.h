#pragma once
#include <map>
#include <string>

namespace fovea {

// What a student has done, in progress.json in their folder, by the exercise's name.
struct ExerciseProgress {
  bool solved = false;  // its check passed at least once
  int checks = 0;       // how often it was checked
  int hints = 0;        // how many hints were shown
};
using Progress = std::map<std::string, ExerciseProgress>;

// Empty where there is no such file yet. Throws Error on a file that is something else, naming it.
Progress read_progress(const std::string& folder);
void write_progress(const std::string& folder, const Progress& progress);

}  // namespace fovea
