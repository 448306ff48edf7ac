#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/commands.h"
#include "cli/kernel_page.h"
#include "core/error.h"
#include "core/file.h"

namespace fovea {
namespace {

struct ShowFlags {
  std::vector<std::string> program;  // and its arguments
  std::string output = "kernel.html", kernel;
};

// Runs the program, with its output where this one's goes, and returns its exit status.
int run_filmed(const std::vector<std::string>& program, const std::string& film) {
  std::vector<char*> argv;
  for (const std::string& word : program) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::setenv("FOVEA_SIM_FILM", film.c_str(), 1);
  std::fflush(stdout);
  const pid_t process = ::fork();
  require(process >= 0, "{} cannot be started: {}", program[0], std::strerror(errno));
  if (process == 0) {  // only what a process of several threads may call between fork and exec
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(process, &status, 0) < 0)
    require(errno == EINTR, "{} cannot be waited for: {}", program[0], std::strerror(errno));
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// The text of the kernel's own line, the last in "vector.h:44, called from main.cu:18"; "" where the file is
// not there: the names are relative to the project's folder.
std::string code_at(const std::string& site) {
  std::string place = site.substr(site.rfind(' ') + 1);
  const size_t colon = place.rfind(':');
  if (colon == std::string::npos) return "";
  std::ifstream file(place.substr(0, colon));
  std::string line;
  for (int i = std::atoi(place.c_str() + colon + 1); i > 0; --i)
    if (!std::getline(file, line)) return "";
  line.erase(0, line.find_first_not_of(" \t"));
  return line;
}

void show_kernel(const ShowFlags& flags) {
  const std::string& program = flags.program[0];
  std::string film = (std::filesystem::temp_directory_path() / "fovea_film_XXXXXX").string();
  const int file = ::mkstemp(film.data());
  require(file >= 0, "{} cannot be made: {}", film, std::strerror(errno));
  ::close(file);
  const struct Remover {
    const std::string& path;
    ~Remover() { std::remove(path.c_str()); }
  } remover{film};
  const int status = run_filmed(flags.program, film);
  require(status != 127, "{} cannot be run: give the path of a program, build/examples/lesson_03_kernel",
          program);

  nlohmann::json launches = nlohmann::json::array();
  std::string too_large;
  std::istringstream lines(read_file(film));
  for (std::string line; std::getline(lines, line);) {
    nlohmann::json launch = nlohmann::json::parse(line, nullptr, false);
    if (launch.is_discarded()) continue;  // the last line of a program that died
    const auto name = launch["kernel"].get<std::string>();
    if (name.find(flags.kernel) == std::string::npos) continue;
    if (launch.contains("too_large")) {
      too_large += fmt::format("\n  {}: {}", name, launch["too_large"].get<std::string>());
      continue;
    }
    for (const auto& site : launch["sites"]) launch["code"].push_back(code_at(site.get<std::string>()));
    launches.push_back(std::move(launch));
  }
  require(!launches.empty() || !too_large.empty(),
          "{} launches no kernel{} on a simulated device (exit status {}): choose a program that does, from "
          "a build "
          "for the simulator without sanitizers",
          program, flags.kernel.empty() ? "" : fmt::format(" with {} in its name", flags.kernel), status);
  require(!launches.empty(), "every launch is too large for a film; choose smaller sizes:{}", too_large);
  std::string text = launches.dump();
  for (size_t at = 0; (at = text.find('<', at)) != std::string::npos;) text.replace(at, 1, "\\u003c");
  write_file_atomically(
      flags.output, kernel_page("Kernels of " + std::filesystem::path(program).filename().string(), text));
  fmt::print("{}: {} launch{}, step by step\n", flags.output, launches.size(),
             launches.size() == 1 ? "" : "es");
  if (!too_large.empty()) fmt::print("left out, because they are too large:{}\n", too_large);
  if (status != 0) fmt::print(stderr, "note: {} ended with exit status {}\n", program, status);
}

}  // namespace

void add_show_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("show", "Draw how a kernel runs, as a page for the browser");
  command->require_subcommand(1);
  auto flags = std::make_shared<ShowFlags>();
  CLI::App* kernel = command->add_subcommand(
      "kernel", "Run a program and draw each small launch: which thread touches which word, step by step");
  kernel->footer(
      "\nExamples:\n"
      "  fovea show kernel build/examples/lesson_03_kernel                          kernel.html, of all "
      "launches\n"
      "  fovea show kernel --kernel axpy --output axpy.html build/examples/lesson_03_kernel\n"
      "  fovea show kernel -- ./program --its-own-flags");
  kernel->add_option("program", flags->program, "a program that launches kernels, and its arguments")
      ->required();
  kernel->add_option("--output", flags->output, "the page to write (default: kernel.html)");
  kernel->add_option("--kernel", flags->kernel, "only launches of kernels with this in their name");
  kernel->callback([flags] { show_kernel(*flags); });
}

}  // namespace fovea
