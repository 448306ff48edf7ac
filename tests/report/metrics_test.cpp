#include "train/report/metrics.h"

#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <csignal>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "tests/support/test_data.h"

using namespace fovea;
using Catch::Contains;

namespace {

// The disk is full after `bytes` of any file: the system then refuses to write, as it does with no space
// left.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int);
};

std::vector<int64_t> steps(const std::vector<MetricsRow>& rows) {
  std::vector<int64_t> result;
  for (const MetricsRow& row : rows) result.push_back(row.step);
  return result;
}

std::vector<std::string> event_files(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.find("tfevents") != name.npos) names.push_back(name);
  }
  return names;
}

}  // namespace

TEST_CASE("metrics.csv has one line per number, with the digits that read back the same") {
  const TemporaryFolder folder;
  MetricsWriter writer(folder / "run", 0);
  writer.write(20, 0.5, 1.25, {{"train/loss", 0.1 + 0.2}, {"train/learning_rate", 3e-4}});
  CHECK(read_file(folder / "run/metrics.csv") ==
        "step,epoch,seconds,name,value\n"
        "20,0.5,1.25,train/loss,0.30000000000000004\n"
        "20,0.5,1.25,train/learning_rate,0.0003\n");

  const double third = 1 / 3.0, tiny = 4.9406564584124654e-324;
  writer.write(40, third, 1e17 / 3, {{"a", tiny}, {"b", -INFINITY}, {"c", NAN}});
  const std::vector<MetricsRow> rows = read_metrics(folder / "run/metrics.csv");
  REQUIRE(steps(rows) == std::vector<int64_t>{20, 20, 40, 40, 40});
  CHECK(rows[0].name == "train/loss");
  CHECK(rows[0].value == 0.1 + 0.2);
  CHECK(rows[2].epoch == third);
  CHECK(rows[2].seconds == 1e17 / 3);
  CHECK(rows[2].value == tiny);
  CHECK(rows[3].value == -INFINITY);
  CHECK(std::isnan(rows[4].value));
}

TEST_CASE("a resumed run drops the rows it will compute again") {
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.csv";
  {
    MetricsWriter writer(folder.path(), 0);
    for (const int64_t step : {20, 40, 60})
      writer.write(step, double(step) / 40, 1, {{"loss", 1 / double(step)}});
  }
  const std::string before = read_file(path);
  const size_t third = before.find("60,");
  {
    MetricsWriter writer(folder.path(), 40);
    CHECK(read_file(path) == before.substr(0, third));
    writer.write(60, 1.5, 1, {{"loss", 1 / 60.0}});
    CHECK(read_file(path) == before);
    CHECK(event_files(folder.path()).size() == 1);
  }
  write_file_atomically(path, before.substr(0, before.size() - 4));  // the last line is torn by a crash
  CHECK(steps(read_metrics(path)) == std::vector<int64_t>{20, 40});
  {
    MetricsWriter writer(folder.path(), 60);
    CHECK(read_file(path) == before.substr(0, third));
  }
  MetricsWriter writer(folder.path(), 0);  // a new run in an old folder
  CHECK(read_file(path) == "step,epoch,seconds,name,value\n");
  CHECK(event_files(folder.path()).size() == 1);
}

TEST_CASE("resuming without metrics.csv starts one, and foreign event files stay") {
  const TemporaryFolder folder;
  write_file_atomically(folder / "events.out.tfevents.1.someone", "");
  MetricsWriter writer(folder.path(), 100);
  CHECK(read_metrics(folder / "metrics.csv").empty());
  CHECK(event_files(folder.path()).size() == 2);
}

TEST_CASE("a full disk is an error and leaves no half line") {
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.csv";
  MetricsWriter writer(folder.path(), 0);
  for (int64_t step = 1; step <= 10; ++step) writer.write(step, 0, 0, {{"train/loss", 0.3}});
  const std::string before = read_file(path);
  {
    const FullDisk full(before.size() + 7);
    CHECK_THROWS_WITH(
        writer.write(11, 0, 0, {{"train/loss", 0.25}}),
        Contains(path + " cannot be written: File too large") && Contains("what it had before is kept"));
  }
  CHECK(read_file(path) == before);
  writer.write(11, 0, 0, {{"train/loss", 0.25}});  // there is space again
  CHECK(read_file(path) == before + "11,0,0,train/loss,0.25\n");

  const TemporaryFolder other;
  const FullDisk full(10);
  CHECK_THROWS_WITH(MetricsWriter(other.path(), 0), Contains("metrics.csv cannot be written"));
}

TEST_CASE("a malformed metrics.csv is refused with the line's number") {
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.csv", head = "step,epoch,seconds,name,value\n",
                    good = "1,0.5,2,loss,0.25\n";
  const auto error_for = [&](const std::string& content) {
    write_file_atomically(path, content);
    try {
      read_metrics(path);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  for (const char* bad :
       {"1,0.5,2,loss", "1,0.5,2,loss,0.25,1", "x,0.5,2,loss,0.25", "1,,2,loss,0.25", "1,0.5,2 ,loss,0.25",
        "1,0.5,2,,0.25", "1,0.5,2,loss,0.25x", "1.5,0.5,2,loss,0.25", ""})
    CHECK(error_for(head + good + bad + "\n" + good) ==
          path + ", line 3: '" + bad + "' is not step,epoch,seconds,name,value; correct or remove the line");
  CHECK_THAT(error_for("loss\n0.25\n"),
             Contains("line 1: expected the columns 'step,epoch,seconds,name,value'"));
  CHECK(error_for(head + good + "1,0.5") == "no error");  // torn, as a crash does
  CHECK(error_for("step,ep") == "no error");
  CHECK_THROWS_WITH(MetricsWriter(folder / "metrics.csv", 0), Contains("cannot be created"));
  CHECK_THROWS_WITH(read_metrics(folder / "nowhere.csv"),
                    Contains("nowhere.csv cannot be read: No such file"));
}

TEST_CASE("a name that would break the table is refused, and nothing of its call is written") {
  const TemporaryFolder folder;
  MetricsWriter writer(folder.path(), 0);
  for (const char* name : {"", "a,b", "a\nb", "a\"b"})
    CHECK_THROWS_WITH(writer.write(1, 0, 0, {{"fine", 1}, {name, 1}}),
                      Contains("cannot be a name in metrics.csv"));
  CHECK(read_metrics(folder / "metrics.csv").empty());
}
