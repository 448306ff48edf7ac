#include "cuda/sim/queue.h"

#include <deque>
#include <exception>
#include <utility>

#include "cuda/sim/simulator.h"

namespace fovea::sim {
namespace {

// Never destroyed: tensors in static storage may outlive any static destructor.
std::deque<std::function<void()>>& queue() {
  static auto* const instance = new std::deque<std::function<void()>>;
  return *instance;
}
int64_t finished = 0;  // requests
bool running = false;
std::exception_ptr failure;

}  // namespace

bool is_running() { return running; }
bool defers() { return options().deferred && !running; }

int64_t enqueue(std::function<void()> work) {
  queue().push_back(std::move(work));
  return finished + int64_t(queue().size());
}

void finish(int64_t request) {
  if (running || queue().empty()) return;
  running = true;
  while (finished < request) {
    try {
      queue().front()();
    } catch (...) {
      if (!failure) failure = std::current_exception();
    }
    queue().pop_front();
    ++finished;
  }
  running = false;
}

void finish_all() { finish(finished + int64_t(queue().size())); }
bool is_finished(int64_t request) { return request <= finished; }

void rethrow_failure() {
  if (failure) std::rethrow_exception(std::exchange(failure, nullptr));
}

}  // namespace fovea::sim
