#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <new>
#include <thread>

#include "cli/commands.h"
#include "cli/flag_names.h"
#include "cli/signals.h"
#include "core/error.h"
#include "core/parallel.h"
#include "train/data/image/image_io.h"
#include "train/loop/nearest_name.h"
#include "train/parallel/data_parallel.h"
#include "train/parallel/mpi_process_group.h"

namespace fovea {
void print_warnings(const std::string& name, const std::vector<std::string>& warnings) {
  constexpr size_t shown = 5;
  for (size_t i = 0; i < warnings.size() && i < shown; ++i)
    fmt::print(stderr, "warning: {}\n", with_flags(warnings[i]));
  if (warnings.size() > shown)
    fmt::print(stderr, "warning: and {} more in {}\n", warnings.size() - shown, name);
}

}  // namespace fovea

// By default libgomp's threads spin for milliseconds while they wait for work. That is best on an idle
// machine and ruinous on a shared one, where a spinning thread keeps the thread it waits for off its core
// (measured beside two compilers on two cores: 5 images/s spinning, 15 to 20 sleeping). On an idle machine a
// short spin costs nothing, and sleeping at once costs a seventh. libgomp reads its environment before
// main(), so the program restarts itself with the variable set.
void use_short_spin(char** argv) {
  if (std::getenv("GOMP_SPINCOUNT") || std::getenv("OMP_WAIT_POLICY")) return;
  ::setenv("GOMP_SPINCOUNT", "3000", 1);
  ::execv("/proc/self/exe", argv);  // if this fails, the program continues with the default spin
}

void complain(const std::string& text) {
  // Rank 0 prints an error that all processes have and ends the others with SIGTERM: they wait for that.
  if (fovea::joined_rank() > 0)
    for (int i = 0; i < 50; ++i, std::this_thread::sleep_for(std::chrono::milliseconds(100)))
      if (fovea::stop_requested()) std::_Exit(1);
  std::fputs(fmt::format("fovea: {}\n", fovea::with_flags(text)).c_str(), stderr);  // may fail: no throw
  fovea::abort_processes();
}

// The command that the arguments chose, such as `data check`, or the program itself; and its name.
std::pair<const CLI::App*, std::string> chosen_command(const CLI::App& program) {
  const CLI::App* command = &program;
  std::string name = "fovea";
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().back();
    name += " " + command->get_name();
  }
  return {command, name};
}

// The error message for an argument that the command does not accept. It suggests the nearest flag.
std::string unexpected_argument(const CLI::App& program) {
  const auto [command, name] = chosen_command(program);
  const std::vector<std::string> extras = program.remaining(true);
  const auto flag =
      std::find_if(extras.begin(), extras.end(), [](const auto& extra) { return extra.starts_with("--"); });
  if (flag == extras.end())
    return fmt::format("unexpected argument '{}': see `{} --help`", fmt::join(extras, " "), name);
  std::vector<std::string> known;
  for (const CLI::Option* option : command->get_options())
    for (const std::string& long_name : option->get_lnames()) known.push_back(long_name);
  const std::string word = flag->substr(2, flag->find('=') - 2);
  return fmt::format("there is no --{}: did you mean --{}? `{} --help` lists all flags", word,
                     fovea::nearest_name(word, known), name);
}

// The error message for a missing command, or for a missing argument of the chosen command.
std::string missing_argument(const CLI::App& program, const CLI::RequiredError& error) {
  const auto [command, name] = chosen_command(program);
  std::vector<std::string> names;
  for (const CLI::App* subcommand : command->get_subcommands({})) names.push_back(subcommand->get_name());
  if (names.empty()) return fmt::format("{}: see `{} --help`", error.what(), name);
  const std::vector<std::string> extras = program.remaining(true);
  return extras.empty() ? fmt::format("`{}` needs a command: choose one of {}", name, fmt::join(names, ", "))
                        : fmt::format("there is no command '{}': choose one of {}", extras.front(),
                                      fmt::join(names, ", "));
}

// Only the descriptions of the flags may throw outside the try block, and that would be a bug.
int main(int argc, char** argv) {  // NOLINT(bugprone-exception-escape)
  use_short_spin(argv);
  fovea::start_signal_thread();
  fovea::set_image_notes(
      [](const std::string& text) {  // prints only the first note: the rest say the same of other images
        static std::once_flag said;
        std::call_once(said, [&] { std::fputs(fmt::format("note: {}\n", text).c_str(), stderr); });
      });
  CLI::App program{
      "Fovea trains EfficientDet detectors and EfficientNet classifiers, and shows how it works.", "fovea"};
  program.require_subcommand(1);
  program.footer(
      "\nStart with:\n"
      "  fovea data synth shapes                          draw a small data set\n"
      "  fovea train --data shapes --run runs/shapes      train on it, then open runs/shapes/report.html\n"
      "  fovea predict runs/shapes/best.safetensors DIR   find objects in images\n"
      "  fovea COMMAND --help                             the options of a command");
  int threads = 0;
  program.add_option("--threads", threads, "number of compute threads (default: one per core)")
      ->check(CLI::Range(1, 1024));
  program.parse_complete_callback([&] {
    if (threads > 0) fovea::set_num_threads(threads);
  });
  fovea::add_train_command(program);
  fovea::add_eval_command(program);
  fovea::add_predict_command(program);
  fovea::add_export_command(program);
  fovea::add_quantize_command(program);
  fovea::add_info_command(program);
  fovea::add_data_command(program);
  fovea::add_bench_command(program);
  fovea::add_show_command(program);
  fovea::add_learn_command(program);
  if (argc == 1) return fmt::print(stderr, "{}", program.help()), 1;
  try {
    program.parse(argc, argv);
    // Output that could not be written, for example to a full disk, must not look like success.
    if (std::fflush(stdout) != 0) fovea::fail("cannot write the output: {}", std::strerror(errno));
    return 0;
  } catch (const CLI::RequiredError& error) {
    fmt::print(stderr, "fovea: {}\n", missing_argument(program, error));
  } catch (const CLI::ExtrasError&) {
    fmt::print(stderr, "fovea: {}\n", unexpected_argument(program));
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? 0 : 1;
  } catch (const std::bad_alloc&) {
    complain("out of memory: try a smaller --batch-size, --image-size or --cache-mb");
  } catch (const std::exception& error) {
    complain(error.what());
  }
  return 1;
}
