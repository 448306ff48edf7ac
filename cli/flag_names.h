#pragma once
#include <string>

namespace fovea {

// The library's messages name settings as a program knows them, in backticks: "`batch_size` is 7". On the
// command line they are flags.

// "--batch-size" of the field batch_size of TrainConfig.
std::string flag_of(std::string field);

// The text with flags in the place of names in backticks, those of TrainConfig's fields and of the few other
// arguments that have a flag: "--batch-size is 7". Whatever else stands in backticks, a command for one,
// stays.
std::string with_flags(const std::string& text);

}  // namespace fovea
