#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/progress.h"
#include "core/error.h"
#include "core/file.h"
#include "train/run.h"

namespace fovea {
namespace {

struct TrainFlags {
  TrainConfig config;  // what the flags say, the rest as by default
  std::string config_file, run, resume;
  std::vector<std::pair<std::string, CLI::Option*>> fields;
};

std::string flag_of(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return "--" + name;
}

// The defaults, overridden by the configuration file, overridden by flags.
TrainConfig chosen_config(const TrainFlags& flags) {
  nlohmann::json chosen = nlohmann::json::object();
  if (!flags.config_file.empty()) {
    const std::string text = read_file(flags.config_file);
    config_from_json(text, flags.config_file);  // its errors name the file
    chosen = nlohmann::json::parse(text);
  }
  const nlohmann::json given = nlohmann::json::parse(config_to_json(flags.config));
  for (const auto& [name, option] : flags.fields)
    if (option->count() > 0) chosen[name] = given[name];
  if (chosen.value("task", "") == "classification" && !chosen.contains("model"))
    chosen["model"] = "efficientnet_b-2";
  return config_from_json(chosen.dump(), "the command line");
}

std::string next_run_folder() {
  for (int i = 1;; ++i)
    if (const std::string folder = fmt::format("runs/{}", i); !std::filesystem::exists(folder)) return folder;
}

void run_train(const TrainFlags& flags) {
  ProgressLine line;
  TrainHooks hooks;
  hooks.stop = &stop_requested();
  hooks.on_message = [&](const std::string& text) { line.message(text); };
  hooks.on_step = [&](const TrainProgress& p) {
    line.show(double(p.step) / double(p.steps), progress_text(p));
  };

  std::string folder = flags.run;
  if (!flags.resume.empty()) {
    folder = flags.resume;
    require(flags.run.empty() && flags.config_file.empty(),
            "--resume takes everything from the run's folder: leave out --run and --config");
    for (const auto& [name, option] : flags.fields)
      require(option->count() == 0,
              "--resume goes on with the settings the run was started with: leave out {}", flag_of(name));
  } else if (folder.empty()) {
    folder = next_run_folder();
  }
  TrainingRun run = flags.resume.empty() ? start_run(chosen_config(flags), folder) : resume_run(folder);
  print_warnings(run.name(), run.warnings());
  fmt::print(stderr, "{}\n", run.description());
  const bool complete = run.train(hooks);
  line.finish();
  require(complete, "stopped at step {}: `fovea train --resume {}` goes on from there", run.step(), folder);
  fmt::print("{}", run.finish());
}

}  // namespace

void add_train_command(CLI::App& program) {
  auto flags = std::make_shared<TrainFlags>();
  CLI::App* command = program.add_subcommand("train", "Learn from a data set");
  command->footer(
      "\nExamples:\n"
      "  fovea train --data bccd --model efficientdet_d-2 --epochs 60\n"
      "  fovea train --task classification --data flowers       (one folder of pictures for each class)\n"
      "  fovea train --resume runs/1                            (after Ctrl-C, or a crash)\n"
      "The run's folder gets augmented.jpg (what the network is shown first), report.html, best.safetensors, "
      "last.safetensors, metrics.csv and TensorBoard "
      "events.");
  command->add_option("--run", flags->run,
                      "folder for what the training makes (default: runs/1, runs/2, ...)");
  command->add_option("--resume", flags->resume,
                      "folder of a run that was stopped: go on to the same weights, bit for bit");
  command->add_option("--config", flags->config_file,
                      "JSON file of these settings, as a run's config.json; flags override it");
  for_each_field(flags->config, [&](const char* name, auto& field, const char* explanation) {
    flags->fields.emplace_back(
        name, command->add_option(flag_of(name), field, explanation)->capture_default_str()->take_last());
  });
  command->callback([flags] { run_train(*flags); });
}

}  // namespace fovea
