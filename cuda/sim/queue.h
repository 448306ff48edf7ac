#pragma once
#include <cstdint>
#include <functional>

// The work requested of a deferred device (Options::deferred) and not yet done, in the order of the requests
// of all streams together: a GPU may run its streams that way.
namespace fovea::sim {

// Whether work is to be queued now. Not while finish() runs: what queued work requests is a part of it.
bool defers();
bool is_running();  // finish() is

// Returns the number of the request, counted from 1.
int64_t enqueue(std::function<void()> work);

// Does the work up to that request. Exceptions are kept for rethrow_failure(): on a GPU as well, the host
// gets an error when it next waits.
void finish(int64_t request);
void finish_all();
bool is_finished(int64_t request);

// Throws the first fault since the last call.
void rethrow_failure();

}  // namespace fovea::sim
