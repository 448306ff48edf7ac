#pragma once
#include <string>

namespace fovea {

// The library's messages name a setting by its field, in backticks: "`batch_size` is 7". On the command line
// the setting is a flag.

// The flag for a field of TrainConfig: "--batch-size" for "batch_size".
std::string flag_of(std::string field);

// The text with names in backticks replaced by flags: "--batch-size is 7". This applies to the fields of
// TrainConfig and to the few other arguments that have a flag. Other text in backticks, such as a command,
// stays.
std::string with_flags(const std::string& text);

}  // namespace fovea
