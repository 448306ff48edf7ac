#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "cuda/runtime/kernel_score.h"
#include "tests/support/program.h"
#include "tests/support/test_data.h"

using namespace fovea;
using Catch::Contains;

namespace {

// The lesson on kernels, where it was built beside the program.
std::string lesson() {
  return (std::filesystem::path(FOVEA_PROGRAM).parent_path() / "examples" / "lesson_03_kernel").string();
}

// What the page's script draws.
nlohmann::json data_of(const std::string& page) {
  const std::string begin = "<script type=\"application/json\" id=\"film\">";
  const size_t at = page.find(begin);
  REQUIRE(at != std::string::npos);
  return nlohmann::json::parse(
      page.substr(at + begin.size(), page.find("</script>", at) - at - begin.size()));
}

ProgramResult show(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"show", "kernel"});
  return Program(arguments).wait();
}

}  // namespace

TEST_CASE("fovea show kernel draws the launches of a program in one page") {
  if (!std::filesystem::exists(lesson()) || !cuda::ScoreKernels::possible()) return;
  const TemporaryFolder folder;
  const ProgramResult result = show({"--output", folder / "page.html", lesson()});
  REQUIRE(result.exit_code == 0);
  CHECK_THAT(result.output, Contains("sums of 64: 2016 6112 10208 14304\n"));  // the program's own
  CHECK_THAT(result.output, Contains("page.html: 4 launches, step by step"));
  const std::string page = read_file(folder / "page.html");
  CHECK(page.find("http") == std::string::npos);  // all is in the file
  CHECK(page.find("src=") == std::string::npos);

  const nlohmann::json launches = data_of(page);
  REQUIRE(launches.size() == 4);
  const auto& axpy = launches[0];
  CHECK(axpy["kernel"] == "axpy");
  CHECK(axpy["regions"][0]["name"] == "x");
  CHECK(axpy["regions"][0]["count"] == 256);
  CHECK(axpy["code"].size() == axpy["sites"].size());
  REQUIRE(axpy["steps"].size() == 24);  // 2 warps, 4 elements a thread: x and y are read, y is written
  // The second warp, block 1, begins with elements 32 to 63, its threads being 0 to 31 of the block.
  for (size_t lane = 0; lane < 32; ++lane) {
    CHECK(axpy["steps"][12][5 + 3 * lane] == lane);
    CHECK(axpy["steps"][12][6 + 3 * lane] == 32 + lane);
  }
  CHECK(launches[1]["kernel"] == "block_sums");
  size_t barriers = 0;
  for (const auto& step : launches[1]["steps"]) barriers += step.size() == 1;
  CHECK(barriers == 4 * 7);
  CHECK_THAT(launches[2]["fault"].get<std::string>(), Contains("out of bounds"));
  CHECK_THAT(launches[3]["fault"].get<std::string>(), Contains("uninitialised shared memory"));
  CHECK(launches[3]["failed"][1] == 0);  // the thread

  const ProgramResult one = show({"--kernel", "block_sums_", "--output", folder / "one.html", lesson()});
  REQUIRE(one.exit_code == 0);
  CHECK(data_of(read_file(folder / "one.html")).size() == 1);
}

TEST_CASE("fovea show kernel says what it cannot draw") {
  const TemporaryFolder folder;
  const ProgramResult nowhere = show({"--output", folder / "page.html", folder / "nowhere"});
  CHECK(nowhere.exit_code == 1);
  CHECK_THAT(nowhere.errors, Contains("nowhere cannot be run: give the path of a program"));
  CHECK_THAT(show({"--output", folder / "page.html", "true"}).errors,
             Contains("true launches no kernel on a simulated device (exit status 0)"));
  CHECK_FALSE(std::filesystem::exists(folder / "page.html"));
}
