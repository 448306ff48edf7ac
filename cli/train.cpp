#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/flag_names.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "core/error.h"
#include "core/file.h"
#include "train/parallel/data_parallel.h"
#include "train/parallel/mpi_process_group.h"
#include "train/run/run.h"
#include "train/run/task_kind.h"

namespace fovea {
namespace {

struct TrainFlags {
  TrainConfig config;  // the values of the flags, and defaults for the rest
  std::string config_file, run, resume;
  bool find_learning_rate = false;
  std::vector<std::pair<std::string, CLI::Option*>> fields;
};

// The settings of the configuration file, overridden by the flags.
nlohmann::json given_settings(const TrainFlags& flags) {
  nlohmann::json given = nlohmann::json::object();
  const auto take = [&](const TrainConfig& config, const std::vector<std::string>& names) {
    const nlohmann::json all = nlohmann::json::parse(config_to_json(config));
    for (const std::string& name : names) given[name] = all[name];
  };
  std::vector<std::string> in_file, in_flags;
  if (!flags.config_file.empty()) {
    const TrainConfig config = config_from_json(read_file(flags.config_file), flags.config_file, &in_file);
    take(config, in_file);
  }
  for (const auto& [name, option] : flags.fields) {
    if (option->count() == 0) continue;
    require(in_flags.empty() || in_flags.back() != name,  // the option with the former name comes right after
            "{} is given twice, once under its former name: leave one of them out", flag_of(name));
    in_flags.push_back(name);
  }
  take(flags.config, in_flags);
  return given;
}

// The configuration with these settings, and defaults for the rest.
TrainConfig chosen_config(nlohmann::json given) {
  if (given.contains("task") && !given.contains("model"))
    given["model"] = task_kind(given["task"]).default_model;
  return config_from_json(given.dump(), "the command line");
}

std::string next_run_folder(ProcessGroup& group) {
  int i = 1;
  while (std::filesystem::exists(fmt::format("runs/{}", i))) ++i;
  return fmt::format("runs/{}", int(all_gather(group, {double(i)})[0][0]));  // the same in all processes
}

// Called before the first step: the run's files must not overwrite files that are read.
void require_run_apart(const TrainFlags& flags, const TrainingRun& run, const std::string& folder) {
  protect_files(run.files());
  protect_files(std::vector{run.config().init_from});
  if (!std::filesystem::exists(folder + "/last.safetensors")) protect_files(std::vector{flags.config_file});
  for (const char* place : {"", "/pictures"}) require_unprotected(folder + place);
}

// A new run, or the one that is already in the folder.
TrainingRun open_run(const TrainFlags& flags, const std::string& folder, ProcessGroup& group) {
  if (!flags.resume.empty()) {
    require(flags.run.empty() && flags.config_file.empty(),
            "--resume takes everything from the run's folder: leave out --run and --config");
    for (const auto& [name, option] : flags.fields)
      require(option->count() == 0 || name == "data",
              "--resume continues with the settings the run was started with: leave out {}", flag_of(name));
    return resume_run(folder, group, flags.config.data);
  }
  const nlohmann::json given = given_settings(flags);
  if (!holds_run(folder)) return start_run(chosen_config(given), folder, group);
  std::vector<std::string> names;
  for (const auto& item : given.items()) names.push_back(item.key());
  TrainingRun run = continue_run(folder, chosen_config(given), names, group);
  if (group.is_main_process())
    fmt::print(stderr, "{} already holds this run: {}\n", folder,
               run.complete() ? "it is complete" : "continuing it");
  return run;
}

void show_learning_rates(const TrainFlags& flags, const TrainHooks& hooks, ProgressLine& line) {
  require(flags.resume.empty() && (flags.run.empty() || !holds_run(flags.run)),
          "--find-learning-rate comes before a training, and {} already holds one: choose another --run for "
          "learning_rate.svg and .csv, or leave it out",
          flags.resume.empty() ? flags.run : flags.resume);
  const LearningRateSearch search = search_learning_rate(chosen_config(given_settings(flags)), hooks);
  line.finish();
  fmt::print("{}", with_flags(learning_rate_table(search)));
  if (flags.run.empty()) return;
  write_learning_rate_search(search, flags.run);
  fmt::print("curve: {}/learning_rate.svg\n", flags.run);
}

void run_train(const TrainFlags& flags) {
  std::unique_ptr<ProcessGroup> joined = join_processes();
  ProcessGroup& group = joined ? *joined : single_process();
  ProgressLine line;
  TrainHooks hooks;
  hooks.stop = &stop_requested();
  if (group.is_main_process()) {
    hooks.on_message = [&](const std::string& text) { line.message(with_flags(text)); };
    hooks.on_step = [&](const TrainProgress& p) {
      line.show(double(p.step) / double(p.steps), progress_text(p));
    };
  }
  require(!flags.find_learning_rate || group.size() == 1,
          "--find-learning-rate runs in one process: start it without mpirun");
  if (flags.find_learning_rate) return show_learning_rates(flags, hooks, line);

  const std::string folder = !flags.resume.empty() ? flags.resume
                             : !flags.run.empty()  ? flags.run
                                                   : next_run_folder(group);
  const std::string go_on = fmt::format("`fovea train --resume {}` continues", folder);
  TrainingRun run = open_run(flags, folder, group);
  const std::string description = run.description();
  if (group.is_main_process()) {
    require_run_apart(flags, run, folder);
    print_warnings(run.name(), run.warnings());
    fmt::print(stderr, "{}\n", description);
  }
  if (group.size() > 1)
    set_last_words(
        fmt::format("fovea: process {} ends because another process ended or the training was stopped: {} "
                    "from the last checkpoint\n",
                    group.rank(), go_on));
  const bool complete = run.train(hooks);
  line.finish();
  const TaskResult results = complete ? run.finish() : TaskResult{};
  set_last_words("");
  const bool main_process = group.is_main_process();
  joined.reset();  // waits for the other processes
  if (!main_process) throw CLI::RuntimeError(complete && results.failure.empty() ? 0 : 1);
  require(complete, "stopped at step {}: {} from there", run.step(), go_on);
  fmt::print("{}", results.text);
  require(results.failure.empty(), "{}", results.failure);
}

}  // namespace

void add_train_command(CLI::App& program) {
  auto flags = std::make_shared<TrainFlags>();
  CLI::App* command = program.add_subcommand("train", "Train a model on a data set");
  command->footer(
      "\nExamples:\n"
      "  fovea train --data bccd --model efficientdet_d-2 --epochs 60\n"
      "  fovea train --task classification --data flowers       (one folder of images for each class)\n"
      "  fovea train --resume runs/1                            (after Ctrl-C, or a crash)\n"
      "  fovea train --data bccd --overfit 4                    (a check: overfits four images)\n"
      "  mpirun -np 2 fovea train --data bccd                   (two processes; each takes half of every "
      "batch)\n"
      "The run's folder gets augmented.jpg (the first images that the network is shown), report.html, "
      "best.safetensors, "
      "last.safetensors, metrics.csv and TensorBoard "
      "events.");
  command->add_option("--run", flags->run,
                      "folder for the run's files (default: runs/1, runs/2, ...); if it holds a run with the "
                      "same settings, continue that run");
  command->add_option("--resume", flags->resume,
                      "folder of a stopped run: continue it to the same weights, bit for bit; add --data if "
                      "the same images and boxes are now in another folder");
  command->add_option("--config", flags->config_file,
                      "JSON file with these settings, such as a run's config.json; flags override it");
  command->add_flag("--find-learning-rate", flags->find_learning_rate,
                    "instead of training, take 120 steps at increasing learning rates, print their losses "
                    "and suggest a rate; with --run, also write the curve to that folder");
  for_each_field(flags->config, [&](const char* name, auto& field, const char* explanation) {
    flags->fields.emplace_back(name, command->add_option(flag_of(name), field, with_flags(explanation))
                                         ->capture_default_str()
                                         ->take_last());
    for (const auto& [former, present] : former_names)
      if (std::string_view(present) == name)  // still accepted, but not in the help
        flags->fields.emplace_back(name, command->add_option(flag_of(former), field)->group("")->take_last());
  });
  command->callback([flags] { run_train(*flags); });
}

}  // namespace fovea
