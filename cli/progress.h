#pragma once
#include <string>

#include "train/loop/trainer.h"

namespace fovea {

// A progress bar on standard error. On a terminal it redraws its line; elsewhere (a log file) it prints a new
// line every ten seconds.
class ProgressLine {
 public:
  ProgressLine();
  void show(double fraction, const std::string& text);  // [=====>     ] 45% text
  void message(const std::string& text);                // a line of its own above the bar
  void finish();                                        // leaves the last state visible

 private:
  void erase();
  bool terminal_;
  double last_shown_ = 0;
  std::string latest_;
};

std::string progress_text(const TrainProgress& progress);

// "0:42", "12:05", "3:07:00"
std::string time_text(double seconds);

}  // namespace fovea
