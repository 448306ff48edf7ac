#pragma once
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace fovea {

// Each adds one subcommand to the program; its callback runs the command and throws Error where it cannot.
void add_train_command(CLI::App& program);
void add_eval_command(CLI::App& program);
void add_predict_command(CLI::App& program);
void add_export_command(CLI::App& program);
void add_quantize_command(CLI::App& program);
void add_info_command(CLI::App& program);
void add_data_command(CLI::App& program);
void add_bench_command(CLI::App& program);
void add_show_command(CLI::App& program);

// Warnings of a data set on standard error: the first few, and how many more there are.
void print_warnings(const std::string& name, const std::vector<std::string>& warnings);

}  // namespace fovea
