#include "cli/learn/run_check.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "core/error.h"
#include "core/file.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// A folder for the program and its result, gone at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "fovea-learn-XXXXXX").string();
    require(::mkdtemp(name.data()) != nullptr, "cannot make a folder {}: {}", name, std::strerror(errno));
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string file(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

struct Finished {
  int status = 0;  // waitpid's
  bool timed_out = false, out_of_memory = false;
  std::string output;  // standard output and standard error
};

constexpr size_t longest_output = 1 << 20;  // a student's loop may print forever

// Bytes of memory that a process has in use. setrlimit is no use here: the simulator reserves far more
// addresses than it touches.
int64_t resident_bytes(pid_t process) {
  FILE* file = std::fopen(fmt::format("/proc/{}/statm", process).c_str(), "r");
  long long total = 0, resident = 0;
  if (!file) return 0;
  if (std::fscanf(file, "%lld %lld", &total, &resident) != 2) resident = 0;
  std::fclose(file);
  return int64_t(resident) * ::sysconf(_SC_PAGESIZE);
}

constexpr int64_t memory_limit = int64_t(4) << 30;

Finished run(const std::vector<std::string>& command, int time_limit) {
  int ends[2];
  require(::pipe2(ends, O_CLOEXEC) == 0, "cannot start {}: {}", command[0], std::strerror(errno));
  const pid_t child = ::fork();
  require(child >= 0, "cannot start {}: {}", command[0], std::strerror(errno));
  if (child == 0) {
    ::setpgid(0, 0);  // so that what it starts ends with it
    ::dup2(ends[1], STDOUT_FILENO);
    ::dup2(ends[1], STDERR_FILENO);
    const rlimit core{0, 0};
    ::setrlimit(RLIMIT_CORE, &core);
    std::vector<char*> arguments;
    for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    ::execvp(arguments[0], arguments.data());
    ::dprintf(STDERR_FILENO, "cannot start %s: %s\n", arguments[0], std::strerror(errno));
    ::_exit(127);
  }
  ::close(ends[1]);
  Finished finished;
  const Clock::time_point start = Clock::now();
  char part[4096];
  for (;;) {
    pollfd waiting{ends[0], POLLIN, 0};
    const double left = time_limit - seconds_since(start);
    finished.timed_out = left <= 0;
    finished.out_of_memory = resident_bytes(child) > memory_limit;
    if (finished.timed_out || finished.out_of_memory) break;
    if (::poll(&waiting, 1, 100) <= 0) continue;  // milliseconds
    const ssize_t count = ::read(ends[0], part, sizeof part);
    if (count <= 0) break;
    if (finished.output.size() < longest_output) finished.output.append(part, size_t(count));
  }
  ::close(ends[0]);
  if (finished.timed_out || finished.out_of_memory) ::kill(-child, SIGKILL);
  while (::waitpid(child, &finished.status, 0) < 0 && errno == EINTR) {
  }
  ::kill(-child, SIGKILL);  // what it may have left running
  return finished;
}

// The last line of the check's result file: "passed 1 of 5 before: <step>" before each step, at the end
// "passed 3 of 5".
std::string last_line(const std::string& path) {
  if (!path_exists(path)) return "";
  std::istringstream lines(read_file(path));
  std::string line, last;
  while (std::getline(lines, line)) last = line;
  return last;
}

}  // namespace

CheckResult run_check(const LearnFiles& files, const std::string& folder, const Exercise& exercise,
                      int time_limit) {
  const TemporaryFolder temporary;
  const std::string object = temporary.file("check.o"), program = temporary.file("check"),
                    counts = temporary.file("result");
  CheckResult result;
  std::vector<std::string> compile = files.compile;
  if (exercise.file.ends_with(".cu"))
    compile.insert(compile.end(), files.kernels.begin(), files.kernels.end());
  // In this order: the student's chapter, and their folder for exercises that use earlier ones.
  for (const std::string& part : {"-I" + folder + "/" + exercise.chapter, "-I" + folder, std::string("-c"),
                                  files.exercises + "/" + exercise.check(), std::string("-o"), object})
    compile.push_back(part);
  std::vector<std::string> link = {files.compile[0], object, "-o", program};
  link.insert(link.end(), files.link.begin(), files.link.end());
  const Clock::time_point start = Clock::now();
  for (const auto& command : {compile, link}) {
    const Finished built = run(command, 300);
    require(!(WIFEXITED(built.status) && WEXITSTATUS(built.status) == 127),
            "{}: install a C++ compiler (on Debian g++)", built.output.substr(0, built.output.find('\n')));
    result.output += built.output;
    if (built.status == 0 && !built.timed_out) continue;
    result.outcome = CheckResult::Outcome::does_not_compile;
    return result;
  }
  result.build_seconds = seconds_since(start);

  const Clock::time_point begin = Clock::now();
  const Finished finished = run({program, "--result", counts}, time_limit);
  result.seconds = seconds_since(begin);
  result.output += finished.output;
  // A file, and not the exit code: what ends the program early, such as exit(0), must not pass.
  const std::string last = last_line(counts);
  std::sscanf(last.c_str(), "passed %d of %d", &result.steps_passed, &result.steps);
  const size_t name = last.find(": ");
  if (result.steps > 0 && name == std::string::npos) {
    const bool passed = result.steps_passed == result.steps;
    result.outcome = passed ? CheckResult::Outcome::passed : CheckResult::Outcome::failed;
    return result;
  }
  result.outcome = CheckResult::Outcome::stopped;
  const std::string step = result.steps > 0 ? last.substr(name + 2) : "before the first step";
  std::string reason;
  if (finished.timed_out)
    reason = fmt::format("it had not ended after {} s: look for a loop that does not end", time_limit);
  else if (finished.out_of_memory)
    reason = fmt::format("it used more than {} GB of memory", memory_limit >> 30);
  else if (WIFSIGNALED(finished.status))
    reason = fmt::format("it crashed ({}){}", ::strsignal(WTERMSIG(finished.status)),
                         result.output.find("'__n < this->size()' failed") == std::string::npos
                             ? ""
                             : ": an index is outside of a vector, of the type that the line above gives");
  else
    reason = fmt::format("it ended by itself with code {}", WEXITSTATUS(finished.status));
  result.output += fmt::format("  FAIL  {}\n        {}\n", step, reason);
  return result;
}

}  // namespace fovea
