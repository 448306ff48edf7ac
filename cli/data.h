#pragma once

namespace CLI {
class App;
}

namespace fovea {

// Each function adds one subcommand to `fovea data`.
void add_data_check(CLI::App& data);
void add_data_convert(CLI::App& data);

}  // namespace fovea
