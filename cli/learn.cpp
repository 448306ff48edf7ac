#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <memory>
#include <set>

#include "cli/commands.h"
#include "cli/learn/exercises.h"
#include "cli/learn/progress.h"
#include "cli/learn/run_check.h"
#include "core/error.h"
#include "core/file.h"
#include "nn/io/json.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

struct LearnFlags {
  std::string folder = ".", new_folder;
  std::vector<std::string> which;
  int time_limit = 0;  // 0: the exercise's own
  bool json = false;
};

bool is_solved(const Progress& progress, const Exercise& exercise) {
  const auto found = progress.find(exercise.name());
  return found != progress.end() && found->second.solved;
}

// The exercises as they are shipped, in the student's folder.
struct Course {
  LearnFiles files = learn_files();
  std::string folder;
  bool shipped;  // the course's own folder, or that of its solutions: no student's progress
  std::vector<Exercise> exercises;

  explicit Course(const std::string& student) : folder(fs::absolute(student).lexically_normal().string()) {
    while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
    exercises = read_exercises(files.exercises);
    const std::string real = fs::weakly_canonical(folder).string(),
                      own = fs::weakly_canonical(files.exercises).string();
    shipped = real == own || real.starts_with(own + "/");
    const bool any = std::any_of(exercises.begin(), exercises.end(),
                                 [&](const Exercise& e) { return path_exists(folder + "/" + e.path()); });
    require(any,
            "{} has no exercises: `fovea learn start DIR` copies them to a folder of yours, and there, or "
            "with --dir, you go on",
            student);
  }

  const Exercise& find(const std::string& which) const {
    int number = 0;
    std::from_chars(which.data(), which.data() + which.size(), number);
    for (const Exercise& exercise : exercises)
      if (exercise.number == number || exercise.name() == which) return exercise;
    fail("there is no exercise {}: they are numbered 1 to {}, and `fovea learn list` shows them", which,
         exercises.back().number);
  }
  // The first that is not solved, or the last.
  const Exercise& next(const Progress& progress) const {
    for (const Exercise& exercise : exercises)
      if (!is_solved(progress, exercise)) return exercise;
    return exercises.back();
  }
};

void start(const LearnFlags& flags) {
  const LearnFiles files = learn_files();
  const std::vector<Exercise> exercises = read_exercises(files.exercises);
  const fs::path to = flags.new_folder;
  require(!path_exists(to.string()) || is_folder(to.string()), "{} is a file: name a folder", to.string());
  std::set<std::string> pages = {"README.md"};
  for (const Exercise& exercise : exercises) pages.insert({exercise.chapter + "/README.md", exercise.path()});
  // The headers that exercises include, for reading: a check uses Fovea's own.
  for (const fs::directory_entry& entry : fs::directory_iterator(files.exercises + "/support"))
    if (entry.path().extension() == ".h") pages.insert("support/" + entry.path().filename().string());
  int copied = 0, kept = 0;
  for (const std::string& page : pages) {
    const fs::path target = to / page;
    if (path_exists(target.string())) {
      ++kept;
      continue;
    }
    create_folder(target.parent_path().string());
    write_file_atomically(target.string(), read_file(files.exercises + "/" + page));
    ++copied;
  }
  // For editors (clangd): where the headers are.
  const fs::path options = to / "compile_flags.txt";
  if (!path_exists(options.string())) {
    std::string text = "-xc++\n";
    for (size_t i = 1; i < files.compile.size(); ++i)
      if (files.compile[i].starts_with("-I") || files.compile[i].starts_with("-D") ||
          files.compile[i].starts_with("-std"))
        text += files.compile[i] + "\n";
    write_file_atomically(options.string(), text);
  }
  fmt::print("{}: {} files copied", to.string(), copied);
  if (kept > 0) fmt::print(", {} were there already and are as they were", kept);
  fmt::print("\nStart with {}/{}, fill its hole, then: cd {} && fovea learn check\n", to.string(),
             exercises.front().path(), to.string());
}

// The chapters; with `exercises` also those of the chapters in flags.which, or of all if it is empty.
void list(const LearnFlags& flags, bool exercises) {
  const Course course(flags.folder);
  const Progress progress = read_progress(course.folder);
  const auto solved = std::count_if(course.exercises.begin(), course.exercises.end(),
                                    [&](const Exercise& e) { return is_solved(progress, e); });
  fmt::print("{} of {} exercises solved\n\n", solved, course.exercises.size());
  for (auto begin = course.exercises.begin(); begin != course.exercises.end();) {
    const auto end = std::find_if(begin, course.exercises.end(),
                                  [&](const Exercise& e) { return e.chapter != begin->chapter; });
    const auto done = std::count_if(begin, end, [&](const Exercise& e) { return is_solved(progress, e); });
    int minutes = 0;
    for (auto e = begin; e != end; ++e) minutes += e->minutes;
    const int chapter = std::atoi(begin->chapter.c_str());
    fmt::print("{:>2}  {:<34} {} of {} solved, {} minutes\n", chapter, chapter_title(begin->chapter), done,
               std::distance(begin, end), minutes);
    const bool chosen = flags.which.empty() || std::find(flags.which.begin(), flags.which.end(),
                                                         std::to_string(chapter)) != flags.which.end();
    for (auto e = begin; e != end && exercises && chosen; ++e)
      fmt::print("    {} {:>2}  {} ({} minutes)\n", is_solved(progress, *e) ? "x" : " ", e->number, e->title,
                 e->minutes);
    begin = end;
  }
  const Exercise& next = course.next(progress);
  fmt::print("\nnext: {}, {} ({} minutes)\n      {}/{}\n", next.number, next.title, next.minutes,
             course.folder, next.path());
}

const char* word(CheckResult::Outcome outcome) {
  switch (outcome) {
    case CheckResult::Outcome::passed:
      return "passed";
    case CheckResult::Outcome::failed:
      return "failed";
    case CheckResult::Outcome::does_not_compile:
      return "does not compile";
    case CheckResult::Outcome::stopped:
      return "stopped";
  }
  return "";
}

// Whether all passed.
bool check(const LearnFlags& flags) {
  const Course course(flags.folder);
  Progress progress = read_progress(course.folder);
  std::vector<const Exercise*> chosen;
  if (flags.which == std::vector<std::string>{"all"})
    for (const Exercise& exercise : course.exercises) chosen.push_back(&exercise);
  for (const std::string& which : flags.which)
    if (which != "all") chosen.push_back(&course.find(which));
  if (flags.which.empty()) chosen.push_back(&course.next(progress));
  bool all_passed = true;
  nlohmann::ordered_json table = nlohmann::ordered_json::array();
  for (const Exercise* exercise : chosen) {
    const std::string file = course.folder + "/" + exercise->path();
    CheckResult result;
    if (path_exists(file))
      result = run_check(course.files, course.folder, *exercise,
                         flags.time_limit > 0 ? flags.time_limit : exercise->time_limit);
    else
      result.output =
          fmt::format("  FAIL  {} is missing: `fovea learn start {}` restores it\n", file, course.folder);
    const bool passed = result.outcome == CheckResult::Outcome::passed;
    all_passed &= passed;
    if (!course.shipped) {
      ExerciseProgress& entry = progress[exercise->name()];
      ++entry.checks;
      entry.solved |= passed;
      write_progress(course.folder, progress);
    }
    if (flags.json) {
      table.push_back({{"exercise", exercise->number},
                       {"name", exercise->name()},
                       {"outcome", word(result.outcome)},
                       {"steps_passed", result.steps_passed},
                       {"steps", result.steps},
                       {"seconds", result.build_seconds + result.seconds},
                       {"output", result.output}});
      continue;
    }
    fmt::print("exercise {}: {}\n{}", exercise->number, exercise->title, result.output);
    if (result.outcome == CheckResult::Outcome::does_not_compile)
      fmt::print("{} does not compile: the first error above is the one to mend first\n", file);
    else
      fmt::print("{}: {} of {} steps ok (built in {:.1f} s, ran {:.1f} s)\n", word(result.outcome),
                 result.steps_passed, result.steps, result.build_seconds, result.seconds);
    if (!passed && chosen.size() == 1) {
      fmt::print("stuck? `fovea learn hint {}`", exercise->number);
      // The film's environment variable reaches the check through the program in between.
      if (exercise->file.ends_with(".cu"))
        fmt::print("; `fovea show kernel fovea learn check {}` draws what each thread does",
                   exercise->number);
      fmt::print("\n");
    }
    std::fflush(stdout);
  }
  if (flags.json) fmt::print("{}\n", dump_json(table, 1));
  if (!flags.json && chosen.size() == 1 && all_passed && !course.shipped) {
    const Exercise& next = course.next(progress);
    if (!is_solved(progress, next)) fmt::print("next: {}, {} ({})\n", next.number, next.title, next.path());
  }
  return all_passed;
}

void hint(const LearnFlags& flags) {
  const Course course(flags.folder);
  Progress progress = read_progress(course.folder);
  const Exercise& exercise = flags.which.empty() ? course.next(progress) : course.find(flags.which[0]);
  const std::vector<std::string> hints = read_hints(course.files, exercise);
  ExerciseProgress& entry = progress[exercise.name()];
  const size_t shown = std::min(size_t(entry.hints) + 1, hints.size());
  for (size_t i = 0; i < shown; ++i) fmt::print("hint {} of {}: {}\n", i + 1, hints.size(), hints[i]);
  if (size_t(entry.hints) == hints.size())
    fmt::print("That is all: `fovea learn solution {}` shows a solution.\n", exercise.number);
  entry.hints = int(shown);
  if (!course.shipped) write_progress(course.folder, progress);
}

void solution(const LearnFlags& flags) {
  const Course course(flags.folder);
  const std::string path = course.files.exercises + "/solutions/" + course.find(flags.which.at(0)).path();
  require(path_exists(path), "{} is not there: this installation has no solutions", path);
  fmt::print("{}\n{}", path, read_file(path));
}

}  // namespace

void add_learn_command(CLI::App& program) {
  auto flags = std::make_shared<LearnFlags>();
  CLI::App* learn =
      program.add_subcommand("learn", "Exercises that check themselves: fill the hole, run the check");
  learn->require_subcommand(0, 1);
  const auto add_dir = [flags](CLI::App* command) {
    command->add_option("--dir", flags->folder, "folder with your exercises, made by `fovea learn start`")
        ->capture_default_str();
  };
  add_dir(learn);
  learn->callback([flags, learn] {
    if (learn->get_subcommands().empty()) list(*flags, false);
  });

  CLI::App* start_command =
      learn->add_subcommand("start", "Copy the exercises to a folder of yours; files that are there stay");
  start_command->add_option("folder", flags->new_folder, "where to copy them")->required();
  start_command->callback([flags] { start(*flags); });

  CLI::App* list_command =
      learn->add_subcommand("list", "Show the exercises of chapters, and which are solved");
  list_command->add_option("chapters", flags->which, "numbers of chapters (default: all)");
  add_dir(list_command);
  list_command->callback([flags] { list(*flags, true); });

  CLI::App* check_command =
      learn->add_subcommand("check", "Build an exercise, run its checks, and say what is wrong");
  check_command->add_option("exercises", flags->which,
                            "numbers or names, or `all` (default: the next unsolved one)");
  add_dir(check_command);
  check_command
      ->add_option("--time-limit", flags->time_limit,
                   "seconds that a check may run (default: 60, or what the exercise says)")
      ->check(CLI::Range(1, 3600));
  check_command->add_flag("--json", flags->json, "print the results as JSON");
  check_command->callback([flags] {
    if (!check(*flags)) throw CLI::RuntimeError(1);
  });

  CLI::App* hint_command =
      learn->add_subcommand("hint", "Show a hint; each call shows one more, up to three");
  hint_command->add_option("exercise", flags->which, "its number or name (default: the next unsolved one)")
      ->expected(0, 1);
  add_dir(hint_command);
  hint_command->callback([flags] { hint(*flags); });

  CLI::App* solution_command = learn->add_subcommand("solution", "Print a solution of an exercise");
  solution_command->add_option("exercise", flags->which, "its number or name")->required()->expected(1);
  add_dir(solution_command);
  solution_command->callback([flags] { solution(*flags); });
}

}  // namespace fovea
