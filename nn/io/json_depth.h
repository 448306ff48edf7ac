#pragma once
#include <string>
#include <string_view>

namespace fovea {

// JSON's grammar has no limit to how deep lists and objects may lie in one another, and a value is written
// out for a message by a function that calls itself: a file of a million brackets would end the program (RFC
// 8259, section 9, lets a reader set a limit). Throws Error naming `source` where the text goes deeper than
// 100; whether it is JSON it does not say. Call it before parsing.
void check_json_depth(std::string_view text, const std::string& source);

}  // namespace fovea
