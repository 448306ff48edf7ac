// fovea learn: the exercises in a student's folder, what a check says of each kind of mistake, hints and
// progress. That the stubs of all exercises fail and the solutions pass is tested by
// exercises/verify_chapter.cmake.
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "tests/support/program.h"

using namespace fovea;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

// A student's folder, as `fovea learn start` makes it.
class Student {
 public:
  Student() { started_ = run_program({"learn", "start", folder()}); }
  std::string folder() const { return folder_ / "exercises"; }
  const ProgramResult& started() const { return started_; }
  std::string offset() const { return folder() + "/01_tensors_and_shapes/01_offset_of.h"; }
  std::string block_sum() const { return folder() + "/04_shared_memory/12_block_sum.cu"; }
  // Puts `code` in the place of what stands between the two lines of a hole.
  void fill(const std::string& file, const std::string& code) const {
    std::string text = read_file(file);
    const size_t begin = text.find('\n', text.find("---- your code")) + 1, end = text.find("  // ---- end");
    write_file_atomically(file, text.substr(0, begin) + code + "\n" + text.substr(end));
  }
  ProgramResult learn(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "learn");
    arguments.insert(arguments.end(), {"--dir", folder()});
    return run_program(arguments);
  }

 private:
  TemporaryFolder folder_;
  ProgramResult started_;
};

const std::string horner =
    "  int64_t offset = 0;\n"
    "  for (size_t i = 0; i < shape.size(); ++i) offset = offset * shape[i] + index[i];\n"
    "  return offset;";

}  // namespace

TEST_CASE("exercises are copied once, and a second copy overwrites nothing") {
  const Student student;
  CHECK(student.started().exit_code == 0);
  CHECK_THAT(student.started().output, Contains("files copied\n"));
  CHECK_FALSE(fs::exists(student.folder() + "/solutions"));
  write_file_atomically(student.offset(), "mine");
  fs::remove(student.block_sum());
  const ProgramResult again = run_program({"learn", "start", student.folder()});
  CHECK_THAT(again.output, Contains(": 1 files copied") && Contains("were there already"));
  CHECK(read_file(student.offset()) == "mine");
  CHECK(fs::exists(student.block_sum()));
  const ProgramResult file = run_program({"learn", "start", student.offset()});
  CHECK(file.exit_code == 1);
  CHECK_THAT(file.errors, Contains("01_offset_of.h is a file: name a folder"));
}

TEST_CASE("a check names what is wrong, and progress is kept") {
  const Student student;
  CHECK_THAT(student.learn({}).output, Contains("0 of ") && Contains("next: 1, where an element lies"));
  ProgramResult result = student.learn({"check", "1"});
  CHECK(result.exit_code == 1);
  CHECK_THAT(result.output, Contains("offset_of({0}, {5}): expected 0, got -1"));
  CHECK_THAT(result.output, Contains("failed: 0 of 5 steps") && Contains("stuck? `fovea learn hint 1`"));

  student.fill(student.offset(), "  (void)shape;\n  return index.empty() ? 0 : index.back();");
  result = student.learn({"check"});  // the next unsolved one is this
  CHECK(result.exit_code == 1);
  CHECK_THAT(
      result.output,
      Contains("FAIL  a step along the first axis of a matrix is a row's length\n        offset_of({1, "
               "0}, {3, 4}): expected 4, got 0"));
  CHECK_THAT(result.output, Contains("failed: 3 of 5 steps"));

  student.fill(student.offset(), horner);
  result = student.learn({"check", "01_offset_of"});
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.output, Contains("passed: 5 of 5 steps") && Contains("\nnext: "));
  CHECK_THAT(student.learn({"list", "1"}).output, Contains("    x  1  where an element lies"));
  const auto progress = nlohmann::json::parse(read_file(student.folder() + "/progress.json"));
  CHECK(progress["01_offset_of"] == nlohmann::json({{"solved", true}, {"checks", 3}, {"hints", 0}}));
}

TEST_CASE("what does not compile, crashes, never ends or leaves early does not pass") {
  const Student student;
  const auto checked = [&](const std::string& code) {
    student.fill(student.offset(), "  (void)index, (void)shape;\n" + code);
    const ProgramResult result = student.learn({"check", "1", "--time-limit", "2"});
    CHECK(result.exit_code == 1);
    return result.output;
  };
  CHECK_THAT(checked("  return nothing;"), Contains("01_offset_of.h:") && Contains("error: ") &&
                                               Contains("does not compile: the first error above"));
  CHECK_THAT(checked("  __builtin_trap();"), Contains("FAIL  the elements of a vector lie one after another\n"
                                                      "        it crashed (Illegal instruction)"));
  CHECK_THAT(checked("  for (volatile int i = 0;; i = i) {}"), Contains("it had not ended after 2 s"));
  CHECK_THAT(checked("  std::exit(0);"), Contains("it ended by itself with code 0"));
  CHECK_THAT(checked("  std::vector<char*> all;\n  for (;;) all.push_back(new char[1 << 20]());"),
             Contains("it used more than 4 GB of memory") || Contains("it had not ended"));
}

TEST_CASE("a mistake in a kernel is reported with the thread and the student's line") {
  const Student student;
  student.fill(student.block_sum(),
               "  for (unsigned half = 32; half > 0; half /= 2)\n"
               "    if (threadIdx.x < half) values[threadIdx.x] += values[threadIdx.x + half];\n"
               "  if (threadIdx.x == 0) sums[blockIdx.x] = values[0];");
  const ProgramResult result = student.learn({"check", "12"});
  CHECK(result.exit_code == 1);
  CHECK_THAT(result.output, Contains("read of uninitialised shared memory") && Contains("thread (0, 0, 0)") &&
                                Contains("at " + student.block_sum() + ":") &&
                                Contains("`fovea show kernel fovea learn check 12`"));
  const std::string page = student.folder() + "/kernel.html";
  run_program({"show", "kernel", "--output", page, "--", FOVEA_PROGRAM, "learn", "check", "12", "--dir",
               student.folder()});
  CHECK_THAT(read_file(page), Contains("block_sums") && Contains("read of uninitialised shared memory"));
}

TEST_CASE("results of many checks are a table for programs") {
  const Student student;
  student.fill(student.offset(), horner);
  fs::remove(student.block_sum());
  const ProgramResult result = student.learn({"check", "1", "12", "--json"});
  CHECK(result.exit_code == 1);
  const auto table = nlohmann::json::parse(result.output);
  REQUIRE(table.size() == 2);
  CHECK(table[0]["outcome"] == "passed");
  CHECK(table[0]["steps_passed"] == 5);
  CHECK(table[1]["outcome"] == "failed");
  CHECK_THAT(table[1]["output"].get<std::string>(),
             Contains("12_block_sum.cu is missing: `fovea learn start"));
}

TEST_CASE("hints come one at a time, and then there is the solution") {
  const Student student;
  CHECK_THAT(student.learn({"hint", "12"}).output, Contains("hint 1 of 3: ") && !Contains("hint 2"));
  CHECK_THAT(student.learn({"hint", "12"}).output, Contains("hint 2 of 3: ") && !Contains("hint 3"));
  CHECK_THAT(student.learn({"hint", "12"}).output, Contains("hint 3 of 3: ") && !Contains("That is all"));
  CHECK_THAT(student.learn({"hint", "12"}).output, Contains("That is all: `fovea learn solution 12`"));
  CHECK_THAT(student.learn({"solution", "12"}).output, Contains("__syncthreads();"));
}

TEST_CASE("learn refuses what is not there in a sentence") {
  const TemporaryFolder empty;
  const ProgramResult nothing = run_program({"learn", "check", "--dir", empty / "."});
  CHECK(nothing.exit_code == 1);
  CHECK_THAT(nothing.errors, Contains("has no exercises: `fovea learn start DIR` copies them"));
  const Student student;
  CHECK_THAT(student.learn({"check", "999"}).errors,
             Contains("there is no exercise 999: they are numbered 1 to "));
  write_file_atomically(student.folder() + "/progress.json", "{\"01_offset_of\": 3}");
  CHECK_THAT(student.learn({"check", "1"}).errors,
             Contains("progress.json: `01_offset_of` needs solved, checks and hints"));
}
