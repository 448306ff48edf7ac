#pragma once
#include <cstdint>
#include <functional>

// What a deferred device (Options::deferred) has been asked for and has not done yet, in the order of the
// requests, those of all streams together: a GPU may run its streams that way.
namespace fovea::sim {

// Whether work is to be queued now. Not while finish() runs: what queued work asks for is a part of it.
bool defers();
bool is_running();  // finish() is

// The number of the request, counted from 1.
int64_t enqueue(std::function<void()> work);

// Does the work up to that request. What it throws is kept for rethrow_failure(): on a GPU, too, the host
// hears of a fault when it next waits.
void finish(int64_t request);
void finish_all();
bool is_finished(int64_t request);

// Throws the first fault since the last call.
void rethrow_failure();

}  // namespace fovea::sim
