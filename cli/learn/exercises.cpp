#include "cli/learn/exercises.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <sstream>

#include "core/error.h"
#include "core/file.h"
#include "nn/io/json.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

// The number that a name begins with, "12_block_sum" for one; 0 where there is none.
int leading_number(const std::string& name) {
  int number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  return error == std::errc() && *end == '_' ? number : 0;
}

bool is_exercise(const fs::path& path) {
  const std::string name = path.filename().string();
  return leading_number(name) > 0 && (path.extension() == ".h" || path.extension() == ".cu");
}

// The first lines of an exercise are
//   // Exercise 12: sum the numbers of a block
//   //
//   // Goal:      ...
//   //            (continued)
//   // Builds on: 9, 11
//   // Minutes:   20
//   // Source:    ...
//   // Time limit: 600
// where the last, in seconds, may be left out.
Exercise read_exercise(const fs::path& path) {
  Exercise exercise;
  exercise.chapter = path.parent_path().filename().string();
  exercise.file = path.filename().string();
  exercise.number = leading_number(exercise.file);
  const std::string start = fmt::format("// Exercise {}: ", exercise.number);
  std::istringstream lines(read_file(path.string()));
  std::string line, minutes, time_limit;
  std::string* field = nullptr;
  while (std::getline(lines, line) && line.starts_with("//")) {
    if (line.starts_with(start)) exercise.title = line.substr(start.size());
    std::string_view rest = line;
    bool goes_on = line.starts_with("//     ");  // the line before, indented; any other line ends the field
    rest.remove_prefix(2);
    for (const auto& [label, target] :
         {std::pair{"// Goal:", &exercise.goal}, std::pair{"// Builds on:", &exercise.builds_on},
          std::pair{"// Minutes:", &minutes}, std::pair{"// Source:", &exercise.source},
          std::pair{"// Time limit:", &time_limit}})
      if (line.starts_with(label)) {
        field = target;
        rest = std::string_view(line).substr(std::string_view(label).size());
        goes_on = true;
      }
    if (!goes_on) field = nullptr;
    const size_t text = rest.find_first_not_of(' ');
    if (field && text != std::string_view::npos) {
      if (!field->empty()) field->push_back(' ');
      field->append(rest.substr(text));
    }
  }
  std::from_chars(minutes.data(), minutes.data() + minutes.size(), exercise.minutes);
  std::from_chars(time_limit.data(), time_limit.data() + time_limit.size(), exercise.time_limit);
  for (const auto& [label, present] :
       {std::pair{start.c_str(), !exercise.title.empty()}, std::pair{"// Goal:", !exercise.goal.empty()},
        std::pair{"// Builds on:", !exercise.builds_on.empty()},
        std::pair{"// Minutes:", exercise.minutes > 0}, std::pair{"// Source:", !exercise.source.empty()}})
    require(
        present,
        "{}: the comment at the top has no line `{}`: restore it from `fovea learn start` in a new folder",
        path.string(), label);
  return exercise;
}

}  // namespace

std::string Exercise::name() const { return fs::path(file).stem().string(); }

std::string Exercise::check() const { return chapter + "/" + name() + ".check.cpp"; }

LearnFiles learn_files() {
  const fs::path program = fs::read_symlink("/proc/self/exe").parent_path();
  for (const fs::path& folder : {program, program / "../share/fovea"}) {
    const fs::path description = folder / "learn.json";
    if (!path_exists(description.string())) continue;
    const auto json =
        parse_json(read_file(description.string()), description.string(), "a description of the exercises");
    // Paths are relative to the file, so that an installed Fovea can be moved.
    const auto resolve = [&](std::string text) {
      for (size_t at; (at = text.find("@here@")) != std::string::npos;)
        text.replace(at, 6, fs::canonical(folder).string());
      return text;
    };
    LearnFiles files{resolve(json.at("exercises").get<std::string>()), {}, {}, {}};
    for (const std::string part : json.at("compile")) files.compile.push_back(resolve(part));
    for (const std::string part : json.at("kernels")) files.kernels.push_back(resolve(part));
    for (const std::string part : json.at("link")) files.link.push_back(resolve(part));
    return files;
  }
  fail(
      "this build of Fovea has no exercises: they are checked in the simulator, by a build with "
      "FOVEA_DEVICE=sim");
}

std::vector<Exercise> read_exercises(const std::string& folder) {
  std::vector<Exercise> exercises;
  for (const fs::directory_entry& chapter : fs::directory_iterator(folder)) {
    if (!chapter.is_directory() || leading_number(chapter.path().filename().string()) == 0) continue;
    for (const fs::directory_entry& entry : fs::directory_iterator(chapter))
      if (is_exercise(entry.path())) exercises.push_back(read_exercise(entry.path()));
  }
  std::sort(exercises.begin(), exercises.end(),
            [](const Exercise& a, const Exercise& b) { return a.number < b.number; });
  return exercises;
}

std::string chapter_title(const std::string& chapter) {
  std::string title = chapter.substr(chapter.find('_') + 1);
  std::replace(title.begin(), title.end(), '_', ' ');
  return title;
}

std::vector<std::string> read_hints(const LearnFiles& files, const Exercise& exercise) {
  const std::string text =
      read_file(fmt::format("{}/{}/{}.hints.md", files.exercises, exercise.chapter, exercise.name()));
  std::vector<std::string> hints;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find("\n---\n", begin), text.size());
    std::string hint = text.substr(begin, end - begin);
    while (hint.ends_with('\n')) hint.pop_back();
    hints.push_back(hint);
    begin = end + 5;
  }
  return hints;
}

}  // namespace fovea
