#pragma once
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/test_data.h"

namespace fovea {

struct ProgramResult {
  int exit_code = -1;  // 128 + signal if one ended it
  std::string output, errors;
};

// A run of the program `fovea`, or of another one, with its output in files of a temporary folder.
class Program {
 public:
  // max_file_bytes > 0: the disk is "full" for a file that grows beyond it. max_memory_bytes > 0 limits the
  // address space, of which the libraries take a part.
  explicit Program(std::vector<std::string> arguments, int64_t max_file_bytes = 0,
                   int64_t max_memory_bytes = 0, const char* path = FOVEA_PROGRAM) {
    process_ = ::fork();
    if (process_ != 0) return;
    std::freopen((folder_ / "out").c_str(), "w", stdout);
    std::freopen((folder_ / "err").c_str(), "w", stderr);
    if (max_file_bytes > 0) {
      std::signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{rlim_t(max_file_bytes), rlim_t(max_file_bytes)};
      ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    if (max_memory_bytes > 0) {
      const rlimit limit{rlim_t(max_memory_bytes), rlim_t(max_memory_bytes)};
      ::setrlimit(RLIMIT_AS, &limit);
    }
    std::vector<char*> argv{const_cast<char*>("fovea")};
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    ::execv(path, argv.data());
    std::_Exit(127);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    if (process_ <= 0) return;
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }

  pid_t id() const { return process_; }
  void signal(int number) const { ::kill(process_, number); }

  ProgramResult wait() {
    int status = 0;
    while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) {
    }
    process_ = -1;
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), text("out"), text("err")};
  }

 private:
  std::string text(const std::string& name) const {
    std::ifstream file(folder_ / name);
    std::stringstream content;
    content << file.rdbuf();
    return content.str();
  }

  TemporaryFolder folder_;
  pid_t process_ = -1;
};

inline ProgramResult run_program(const std::vector<std::string>& arguments, int64_t max_file_bytes = 0,
                                 int64_t max_memory_bytes = 0) {
  return Program(arguments, max_file_bytes, max_memory_bytes).wait();
}

// The arguments of a training of a few seconds at most: a small detector on `data`, in the folder `run`. What
// comes later in `more` replaces what is here.
inline std::vector<std::string> tiny_training(const std::string& data, const std::string& run,
                                              const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments{"train",   "--data",           data,           "--run", run,
                                     "--model", "efficientdet_d-3", "--image-size", "64"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace fovea
