#pragma once
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace fovea {

// Each function adds one subcommand to the program. Its callback runs the command and throws Error on
// failure.
void add_train_command(CLI::App& program);
void add_eval_command(CLI::App& program);
void add_predict_command(CLI::App& program);
void add_export_command(CLI::App& program);
void add_quantize_command(CLI::App& program);
void add_info_command(CLI::App& program);
void add_data_command(CLI::App& program);
void add_bench_command(CLI::App& program);
void add_show_command(CLI::App& program);
void add_learn_command(CLI::App& program);

// The help of --augment, for all commands that have it.
inline constexpr const char* augment_help =
    "also run the network on each image flipped as in its training, and merge the results";

// Prints the first few warnings of a data set to standard error, and how many more there are.
void print_warnings(const std::string& name, const std::vector<std::string>& warnings);

}  // namespace fovea
