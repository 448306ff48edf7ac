#pragma once
#include <string>

namespace fovea {

// A page that draws launches of kernels step by step: one file without links, for any browser. `launches` is
// a JSON array of what the simulator wrote (cuda/sim/film.h), each with "code": the text of the lines that
// "sites" names, where it is known.
std::string kernel_page(const std::string& title, const std::string& launches);

}  // namespace fovea
