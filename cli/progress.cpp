#include "cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "core/error.h"

namespace fovea {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Never throws, unlike fmt::print: a terminal that has closed must not end a run that still has results to
// save.
void say(const std::string& text) {
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

}  // namespace

ProgressLine::ProgressLine() : terminal_(::isatty(STDERR_FILENO) != 0) {}

void ProgressLine::show(double fraction, const std::string& text) {
  constexpr int width = 20;
  const int filled = int(std::clamp(fraction, 0.0, 1.0) * width);
  latest_ = fmt::format("[{}{}] {:3.0f}%  {}", std::string(size_t(filled), '='),
                        std::string(size_t(width - filled), ' '), std::floor(100 * fraction), text);
  if (const double time = now(); time - last_shown_ > (terminal_ ? 0.1 : 10)) {
    last_shown_ = time;
    say(terminal_ ? "\r\x1b[K" + latest_ : latest_ + "\n");
  }
}

void ProgressLine::erase() {
  if (terminal_ && last_shown_ > 0) say("\r\x1b[K");
}

void ProgressLine::message(const std::string& text) {
  erase();
  say(text + "\n");
}

void ProgressLine::finish() {
  erase();
  if (!latest_.empty()) say(latest_ + "\n");
  latest_.clear();
  last_shown_ = 0;
}

std::string time_text(double seconds) {
  const int64_t s = std::llround(std::max(0.0, seconds));
  return s < 3600 ? fmt::format("{}:{:02}", s / 60, s % 60)
                  : fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

std::string progress_text(const TrainProgress& p) {
  std::string text = fmt::format("epoch {:.1f}  step {}/{}  loss {:.4f}  {:.0f} images/s", p.epoch, p.step,
                                 p.steps, p.loss, p.images_per_second);
  if (p.waiting > 0.05) text += fmt::format("  {:.0f}% waiting for images", 100 * p.waiting);
  return text + fmt::format("  {} left", time_text(p.seconds_left));
}

}  // namespace fovea
