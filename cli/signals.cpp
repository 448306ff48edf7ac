#include "cli/signals.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

namespace fovea {
namespace {

std::atomic<bool> armed = false, stop = false;
std::mutex words_mutex;
char last_words[400] = "";  // outlives main(), as the thread does

sigset_t watched_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  // SIGHUP: the terminal was closed. If it were blocked, it would arrive even though nohup ignores it.
  struct sigaction hangup {};
  if (::sigaction(SIGHUP, nullptr, &hangup) == 0 && hangup.sa_handler != SIG_IGN) sigaddset(&set, SIGHUP);
  return set;
}

// Gives the signal its default effect: it ends the program, unless the parent process had it ignored.
void deliver(int number) {
  const sigset_t set = watched_signals();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  std::raise(number);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

void wait_for_signals() {
  const sigset_t set = watched_signals();
  for (int number = 0; sigwait(&set, &number) == 0;) {
    if (number == SIGTERM) {
      const std::lock_guard lock(words_mutex);
      std::fputs(last_words, stderr);
    }
    if (!armed)
      deliver(number);
    else if (stop.exchange(true))
      std::_Exit(128 + number);
  }
}

}  // namespace

void start_signal_thread() {
  const sigset_t set = watched_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);  // threads started from now on inherit this
  std::thread(wait_for_signals).detach();
}

const std::atomic<bool>& stop_requested() {
  armed = true;
  return stop;
}

void set_last_words(const std::string& text) {
  const std::lock_guard lock(words_mutex);
  std::snprintf(last_words, sizeof last_words, "%s", text.c_str());
}

}  // namespace fovea
