#pragma once
#include <string>
#include <vector>

namespace fovea {

// One exercise, as the first lines of its file describe it.
struct Exercise {
  int number = 0;
  std::string chapter;  // "04_shared_memory", its folder
  std::string file;     // "12_block_sum.cu", in that folder
  std::string title;    // "Sum the numbers of a block"
  std::string goal, builds_on, source;
  int minutes = 0;
  int time_limit = 60;        // seconds that its check may run, unless the file says another number
  std::string name() const;   // "12_block_sum"
  std::string check() const;  // "04_shared_memory/12_block_sum.check.cpp"
  std::string path() const { return chapter + "/" + file; }
};

// Where the exercises, the library that checks link, and its headers are: learn.json, which the build writes
// beside the program and `cmake --install` into share/fovea.
struct LearnFiles {
  std::string exercises;             // the folder with chapters, checks and solutions
  std::vector<std::string> compile;  // the compiler and its options, up to the source
  std::vector<std::string> kernels;  // more options, for checks of kernels
  std::vector<std::string> link;     // the libraries
};
// Throws Error where this build has none: one for GPUs, for which there are no checks.
LearnFiles learn_files();

// All exercises below a folder, by number. Throws Error where a file's description lacks a field, naming it.
std::vector<Exercise> read_exercises(const std::string& folder);

// "04_shared_memory" -> "shared memory"
std::string chapter_title(const std::string& chapter);

// The hints of an exercise, from a nudge to the idea.
std::vector<std::string> read_hints(const LearnFiles& files, const Exercise& exercise);

}  // namespace fovea
