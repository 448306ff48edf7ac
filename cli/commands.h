#pragma once
#include <atomic>
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
void add_info_command(CLI::App& program);
void add_data_command(CLI::App& program);
void add_bench_command(CLI::App& program);

// Set by Ctrl-C (SIGINT) and SIGTERM from the first call on. A second Ctrl-C ends the program at once.
const std::atomic<bool>& stop_requested();

// What is printed on SIGTERM, by which mpirun ends the processes that are left when one is lost: they wait
// for it in vain, and say no more. At most 400 bytes count; "": nothing.
void set_last_words(const std::string& text);

// Warnings of a data set on standard error: the first few, and how many more there are.
void print_warnings(const std::string& name, const std::vector<std::string>& warnings);

}  // namespace fovea
